"""Broker URLs: what they name, and that no password is ever repeated."""

import pytest

from thyme.broker import check_url, make_amqp_url
from thyme.broker.amqp.url import BrokerAddress, Tls, parse
from thyme.errors import BadInvocation


@pytest.mark.parametrize(
    ("url", "places"),
    [
        ("amqp://broker", [BrokerAddress("broker", 5672, "/", "guest", "guest")]),
        ("amqp://broker/", [BrokerAddress("broker", 5672, "/", "guest", "guest")]),
        (
            "amqp://worker:pw@broker:1234/site",
            [BrokerAddress("broker", 1234, "site", "worker", "pw")],
        ),
        ("amqp://u%40x:p%2F%3A%40@b/%2F", [BrokerAddress("b", 5672, "/", "u@x", "p/:@")]),
        ("amqp://u:p:q@b", [BrokerAddress("b", 5672, "/", "u", "p:q")]),
        ("amqp://u:@b", [BrokerAddress("b", 5672, "/", "u", "")]),
        ("amqp://[2001:db8::1]:99/v", [BrokerAddress("2001:db8::1", 99, "v")]),
        ("amqps://broker", [BrokerAddress("broker", 5671, tls=Tls())]),
        (
            "amqps://w:p@b/v?cafile=/etc/ca%20s.pem&server_name=rabbit",
            [BrokerAddress("b", 5671, "v", "w", "p", Tls("/etc/ca s.pem", "", "", "rabbit"))],
        ),
        (
            "amqps://b?certfile=/c.pem&keyfile=/k.pem",
            [BrokerAddress("b", 5671, "/", "", "", Tls("", "/c.pem", "/k.pem"))],
        ),
        (
            "amqp://w:p@a,b:2,[::1]:3/v?heartbeat=10&timeout=2.5",
            [
                BrokerAddress("a", 5672, "v", "w", "p", None, 10, 2.5),
                BrokerAddress("b", 2, "v", "w", "p", None, 10, 2.5),
                BrokerAddress("::1", 3, "v", "w", "p", None, 10, 2.5),
            ],
        ),
        (
            " amqp://w:p@a/v\n amqps://w:q@b/v\n",
            [
                BrokerAddress("a", 5672, "v", "w", "p"),
                BrokerAddress("b", 5671, "v", "w", "q", Tls()),
            ],
        ),
    ],
)
def test_a_url_names_places_in_its_order(url: str, places: list[BrokerAddress]) -> None:
    assert list(parse(url)) == places
    assert check_url(url) == url


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("amqp://", "write amqp://USER:PASSWORD@HOST:PORT/VHOST"),
        ("amqp://w:sec#ret@b", "characters like / ? # @ % in the user, the password"),
        ("amqp://w:sec/ret@b", "characters like / ? # @ % in the user, the password"),
        ("amqp://w:123/secret@b/v", "characters like / ? # @ % in the user, the password"),
        ("amqp://w:123?secret@b/v", "characters like / ? # @ % in the user, the password"),
        ("amqp://w:123?secret=x@b/v", "characters like / ? # @ % in the user, the password"),
        ("amqp://w:s@cret@b@c/x/y?q", "option 'q'"),
        ("amqp://secret@b", "write USER:PASSWORD before the @"),
        ("amqp://:secret@b", "write USER:PASSWORD before the @"),
        ("amqp://w:secret@b:0", "port 0 is not between 1 and 65535"),
        ("amqp://w:secret@b:70000", "port 70000 is not"),
        ("amqp://w:secret@b,,c", "a host is written NAME:PORT"),
        ("amqp://w:secret@2001:db8::1", "[2001:db8::1]:PORT"),
        ("amqp://w:secret@b/v?cafile=/ca", "option 'cafile' is for amqps:// only"),
        ("amqps://w:secret@b/v?certfile=/c", "are given both or not at all"),
        ("amqps://w:secret@b/v?ca_file=/c", "unknown option 'ca_file'; did you mean 'cafile'?"),
        ("amqps://w:secret@b/v?zzz=1", "unknown option 'zzz'; known are cafile, certfile"),
        ("amqp://w:secret@b/v?heartbeat", "option 'heartbeat' needs one value"),
        ("amqp://w:secret@b/v?heartbeat=9&heartbeat=9", "option 'heartbeat' needs one value"),
        ("amqp://w:secret@b/v?heartbeat=1", "'heartbeat' is a number of seconds between 5 and"),
        ("amqp://w:secret@b/v?timeout=soon", "'timeout' is a number of seconds between 0.1 and"),
        ("amqp://w:secret%ff@b/v", "the password is not UTF-8"),
        ("amqp://w:secret@b/" + "v" * 256, "the vhost is too long"),
        ("amqp://w:secret@b/v sqlite:////x", "write amqp://USER:PASSWORD@HOST:PORT/VHOST"),
        ("redis://w:secret@b/v", "unknown scheme 'redis'; use amqp://USER:PASSWORD@HOST/VHOST"),
        ("w:secret@b", "no URL; use amqp://USER:PASSWORD@HOST/VHOST, amqps://... or sqlite:"),
        ("", "no URL"),
    ],
)
def test_a_bad_url_is_explained_without_its_password(url: str, said: str) -> None:
    with pytest.raises(BadInvocation) as refused:
        check_url(url)

    text = str(refused.value)
    assert text.startswith("broker URL: ")
    assert said in text
    assert "secret" not in text and "sec" not in text.replace("seconds", "")
    assert "\n" not in text


def test_an_address_never_shows_its_password() -> None:
    (place,) = parse("amqps://worker:secret@broker:1/site")

    assert str(place) == "amqps://broker:1"
    assert "secret" not in repr(place)
    assert str(parse("amqp://[::1]")[0]) == "amqp://[::1]:5672"


def test_the_broker_of_2017_is_still_understood() -> None:
    assert parse(make_amqp_url("broker.cern.ch:5673")) == (BrokerAddress("broker.cern.ch", 5673),)
    assert parse(make_amqp_url("broker")) == (BrokerAddress("broker", 5672),)
    with pytest.raises(BadInvocation, match="THYME_RABBITMQ: write HOST or HOST:PORT") as refused:
        make_amqp_url("worker:secret@broker")
    assert "secret" not in str(refused.value)
    with pytest.raises(BadInvocation, match=r"IPv6 as \[2001:db8::1\]:PORT"):
        make_amqp_url("::1")
