"""What ``-name`` and ``-pool`` may say, and what a title shows of an address."""

import pytest

from vobox.commands.schedd_names import format_address, is_pool, is_schedd

OURS = "vobox1.example.org"


@pytest.mark.parametrize("name", [OURS, "VOBOX1.Example.org", "vobox1", "localhost"])
def test_our_schedd_answers_to_its_names(name: str) -> None:
    assert is_schedd(name, OURS)
    assert is_schedd(name, "alice@" + OURS)


@pytest.mark.parametrize("name", ["", "vobox", "vobox2.example.org", "x@vobox1.example.org"])
def test_other_names_are_other_schedds(name: str) -> None:
    assert not is_schedd(name, OURS)


def test_a_schedd_with_a_name_at_a_host_answers_to_it() -> None:
    assert is_schedd("Alice@vobox1.example.org", "alice@" + OURS)


@pytest.mark.parametrize(
    "pool",
    [OURS, OURS + ":9619", "vobox1:9618?sock=x", "localhost", "127.0.0.1:9618", "[::1]:9618"],
)
def test_our_pool_is_our_host(pool: str) -> None:
    assert is_pool(pool, OURS)


@pytest.mark.parametrize("pool", ["", ":9619", "ce.elsewhere.org", "10.0.0.1:9618"])
def test_other_pools_are_not_ours(pool: str) -> None:
    assert not is_pool(pool, OURS)


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("<127.0.0.1:36097?addrs=127.0.0.1-36097&alias=vm>", "<127.0.0.1:36097?..."),
        ("<10.1.2.3:9618>", "<10.1.2.3:9618?..."),
        ("</run/thyme/schedd.sock>", "<127.0.0.1:0?..."),
        ("<127.0.0.1:0?sock=/run/x>", "<127.0.0.1:0?..."),
    ],
)
def test_a_title_shows_ip_and_port(address: str, shown: str) -> None:
    assert format_address(address) == shown
