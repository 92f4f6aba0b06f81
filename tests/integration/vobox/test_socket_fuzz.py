"""Any bytes, and any command, on the socket of a real schedd: an answer, and it serves the next."""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.command_socket import COMMANDS, exchange_messages, request
from tests.support.schedd_process import LiveSchedd

OFTEN = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
#: No slash: condor_submit writes the files that it is told to. No -f of condor_tail: it lasts.
WORD = st.one_of(
    st.sampled_from(
        ["-constraint", "true", "-af", "JobStatus", "-long", "1.0", "1", "-all", "-name", "x",
         "-totals", "-terse", "-append", "a=1", "-queue", "2", "-json", "-reason", "A", "-p"]
    ),
    st.text(st.characters(blacklist_characters="/\0", blacklist_categories=["Cs"]), max_size=8),
).filter(lambda word: not word.startswith(("-f", "--f", "-au", "-du", "-dr")))  # fmt: skip
DESCRIPTION = st.lists(
    st.one_of(
        st.sampled_from(
            [b"executable = /bin/true", b"queue", b"queue 2", b"arguments = a", b"+A = 1", b"a\\",
             b"queue x in (a b)", b"if true", b"endif", b"periodic_remove = JobStatus =="]
        ),
        st.binary(max_size=20).filter(lambda text: b"/" not in text and b"|" not in text),
    ),
    max_size=5,
).map(b"\n".join)  # fmt: skip


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveSchedd]:
    made = LiveSchedd(tmp_path_factory.mktemp("live"))
    made.start()
    yield made
    # whatever came: it lives, it answers, and nothing of it was a surprise
    assert made.process is not None and made.process.poll() is None, made.said()
    assert made.run("condor_q", "-totals").returncode == 0
    assert "Traceback" not in made.said(), made.said()
    made.close()


@given(data=st.binary(max_size=300))
@OFTEN
def test_any_bytes_are_answered(live: LiveSchedd, data: bytes) -> None:
    assert exchange_messages(live.socket, data + b"\n").endswith(b"x000000011")


@given(
    size=st.one_of(st.integers(0, 10**9), st.integers(10**18, 10**30)),
    body=st.binary(max_size=200),
)
@OFTEN
def test_any_length_is_answered_when_the_client_is_done(
    live: LiveSchedd, size: int, body: bytes
) -> None:
    answer = exchange_messages(live.socket, b"thyme-rpc 1 %d\n" % size + body, is_all=True)
    assert answer.endswith((b"x000000011", b"x000000010"))


@given(
    command=st.sampled_from([*COMMANDS, "condor_nothing", ""]),
    argv=st.lists(WORD, max_size=6),
    env=st.dictionaries(st.sampled_from(["HOME", "X", "_condor_A", ""]), st.just("é"), max_size=2),
    stdin=DESCRIPTION,
)
@OFTEN
def test_any_command_is_answered(
    live: LiveSchedd, command: str, argv: list[str], env: dict[str, str], stdin: bytes
) -> None:
    pairs = [f"{name}={value}" for name, value in env.items()]
    answer = exchange_messages(live.socket, request(command, argv, str(live.home), pairs), stdin)
    assert answer[-10:-1] in (b"x00000001",) and answer[-1:] in b"01", (command, argv, answer)
    assert b"failed in the schedd" not in answer, (command, argv, stdin)
