"""Points on their way to a real InfluxDB: with users, with TLS, away, hung, full, restarted."""

import contextlib
import logging
import os
import signal
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from telemetry.influx import Influx, PointsRefused, TargetAway
from telemetry.points import Point
from telemetry.sender import TargetSender
from telemetry.targets import parse
from tests.support.services.certificates import Authority
from tests.support.services.influx import ADMIN, ADMIN_PASSWORD, InfluxServer
from tests.support.waiting import wait_until
from tests.unit.plancton.metrics.test_metrics import Node

LOG = logging.getLogger("test-telemetry")
MakeInflux = Callable[..., InfluxServer]


def points(number: int, first: int = 0) -> list[Point]:
    """Each a microsecond after the one before."""
    begin = 1_760_000_000.0
    return [
        Point("weather", {"place": "here"}, {"warmth": float(n), "drops": n}, begin + n * 1e-6)
        for n in range(first, first + number)
    ]


def arrived(server: InfluxServer, database: str) -> int:
    rows = server.query(database, 'SELECT count("drops") AS n FROM weather')
    return int(rows[0]["n"]) if rows else 0


class Sending:
    """A sender whose back-off is short."""

    def __init__(self) -> None:
        self.senders: list[TargetSender] = []

    def to(self, url: str, capacity: int = 10_000, timeout: float = 5.0) -> TargetSender:
        made = TargetSender(
            parse(url), LOG, lambda target: Influx(target, timeout), capacity, retry=(0.1, 0.5)
        )
        self.senders.append(made)
        return made


@pytest.fixture
def sending() -> Iterator[Sending]:
    made = Sending()
    yield made
    for sender in made.senders:
        sender.close(10.0)


@pytest.fixture
def database() -> str:
    return f"db-{uuid.uuid4().hex[:8]}"


def test_the_database_is_made_when_it_is_missing(
    influxdb: InfluxServer, sending: Sending, database: str
) -> None:
    sender = sending.to(f"http://127.0.0.1:{influxdb.port}#{database}")
    sender.add(points(5000))
    sender.flush()
    wait_until(lambda: sender.state.sent == 5000, "all to be sent", state=lambda: sender.state)
    assert database in influxdb.databases()
    assert arrived(influxdb, database) == 5000, "points a microsecond apart stay apart"
    (row,) = influxdb.query(database, "SELECT * FROM weather LIMIT 1")
    assert (row["place"], row["warmth"], row["drops"]) == ("here", 0.0, 0)


def test_a_field_of_another_type_is_refused_for_good_and_counted(
    influxdb: InfluxServer, database: str
) -> None:
    target = Influx(parse(f"http://127.0.0.1:{influxdb.port}#{database}"))
    target.write([Point("weather", {}, {"drops": 1}, 1e9)])
    with pytest.raises(PointsRefused, match=f"127.0.0.1:{influxdb.port}#{database}: .*type"):
        target.write([Point("weather", {}, {"drops": "many"}, 1e9)])
    target.close()


def test_every_name_is_taken_and_none_for_another(influxdb: InfluxServer, database: str) -> None:
    """Names of pools may be any printable text."""
    names = [
        "a b", "a,b", "a=b", 'a"b', "a'b", "a/b", "a\\b", "end\\", "two\\\\", "\\,", "#x", "üñ☃",
        "$site", ".*",
    ]  # fmt: skip
    target = Influx(parse(f"http://127.0.0.1:{influxdb.port}#{database}"))
    target.write([Point("weather", {"place": one}, {"drops": 1}, 1e9) for one in names])
    target.close()
    (row,) = influxdb.query(database, "SELECT count(drops) AS n FROM weather")
    assert row["n"] == len(names)
    known = influxdb.query(database, "SHOW TAG VALUES FROM weather WITH KEY = place")
    plain = {one for one in names if "\\" not in one}
    assert plain < {one["value"] for one in known}
    assert len(known) == len(names)


#: As Plancton 0.6 wrote them: numbers without ``i`` are floats to InfluxDB.
POINTS_OF_2017 = """\
daemon,hostname=old uptime=12.5,containers=3,status="active" 1500000000000000000
measurement,hostname=old cpu_eff=37.5 1500000000000000000
container,hostname=old,started=True,killed=False uptime=60.25 1500000000000000000
"""


def test_a_database_with_points_of_2017_takes_those_of_today(
    influxdb: InfluxServer, sending: Sending, database: str, tmp_path: Path
) -> None:
    client = influxdb.client(database)
    client.create_database(database)
    client.write(POINTS_OF_2017.splitlines(), {"db": database}, protocol="line")
    client.close()
    node = Node(tmp_path, max_docks=2)
    node.look()
    node.engine.end(node.engine.running()[0], 0)
    node.look(10.0)
    node.look(30.0)
    (end,) = [one for one in node.points if one.series == "container"]
    sender = sending.to(f"http://127.0.0.1:{influxdb.port}#{database}")
    sender.add(node.points)
    sender.flush()
    wait_until(
        lambda: sender.state.waiting == 0 and sender.state.sent, "all to be sent",
        state=lambda: sender.state,
    )  # fmt: skip
    assert (sender.state.sent, sender.state.dropped) == (len(node.points), 0)
    (row,) = influxdb.query(database, "SELECT last(containers) AS n, status FROM daemon")
    assert (row["n"], row["status"]) == (2.0, "active")
    (row,) = influxdb.query(
        database, "SELECT count(containers) AS n FROM daemon WHERE hostname = 'old'"
    )
    assert row["n"] == 1, "those of 2017 are still there"
    (row,) = influxdb.query(
        database, "SELECT last(uptime) AS n FROM container WHERE hostname = 'node1'"
    )
    assert row["n"] == end.fields["uptime"]


def test_of_a_batch_only_the_refused_points_are_lost_and_the_log_says_so_once(
    influxdb: InfluxServer, sending: Sending, database: str, caplog: pytest.LogCaptureFixture
) -> None:
    target = Influx(parse(f"http://127.0.0.1:{influxdb.port}#{database}"))
    target.write([Point("weather", {}, {"drops": 1}, 1e9)])
    target.close()
    sender = sending.to(f"http://127.0.0.1:{influxdb.port}#{database}")
    for sent in (9, 18):
        sender.add([*points(9), Point("weather", {}, {"drops": 0.5}, 1e9 + sent)])
        sender.flush()
        wait_until(lambda: sender.state.sent == sent, "a batch", state=lambda: sender.state)  # noqa: B023
    assert (sender.state.dropped, sender.state.waiting) == (2, 0)
    assert arrived(influxdb, database) == 10
    said = [one.getMessage() for one in caplog.records if "refused" in one.getMessage()]
    assert len(said) == 1
    assert said[0].startswith("metrics: 1 points were refused")


def test_points_that_cannot_be_parsed_are_counted_as_lost(
    influxdb: InfluxServer, sending: Sending, database: str
) -> None:
    """InfluxDB names them, and says dropped=0."""
    sender = sending.to(f"http://127.0.0.1:{influxdb.port}#{database}")
    large = [Point("weather", {}, {"drops": 2**64}, 1e9 + at) for at in range(2)]
    sender.add([*points(9), *large])
    sender.flush()
    wait_until(lambda: sender.state.sent, "a batch", state=lambda: sender.state)
    assert (sender.state.sent, sender.state.dropped) == (9, 2)


def test_a_server_that_is_away_gets_what_was_kept_and_the_rest_is_counted(
    make_influxdb: MakeInflux, sending: Sending, database: str
) -> None:
    server = make_influxdb()
    sender = sending.to(f"http://127.0.0.1:{server.port}#{database}", capacity=100)
    sender.add(points(150))
    sender.flush()
    wait_until(lambda: sender.state.failures >= 2, "two tries", state=lambda: sender.state)
    assert "refused" in sender.state.problem
    server.up()
    wait_until(lambda: sender.state.problem == "", "to be sent", state=lambda: sender.state)
    assert (sender.state.sent, sender.state.dropped) == (100, 50)
    assert arrived(server, database) == 100
    # Restarted: what comes meanwhile waits, and nothing is lost.
    server.down()
    sender.add(points(80, first=1000))
    sender.flush()
    wait_until(lambda: sender.state.problem, "a try", state=lambda: sender.state)
    server.up()
    wait_until(lambda: sender.state.sent == 180, "the rest", state=lambda: sender.state)
    assert arrived(server, database) == 180
    assert sender.state.dropped == 50


def test_a_server_that_hangs_costs_its_own_thread_only(
    make_influxdb: MakeInflux, sending: Sending, database: str
) -> None:
    server = make_influxdb()
    server.up()
    sender = sending.to(f"http://127.0.0.1:{server.port}#{database}", timeout=0.5)
    sender.add(points(1))
    sender.flush()
    wait_until(lambda: sender.state.sent == 1, "the first", state=lambda: sender.state)
    assert server.program is not None
    server.program.stop()
    try:
        for number in range(1, 100):
            sender.add(points(1, first=number))
            sender.flush()
        wait_until(lambda: "no answer within 0.5 s" in sender.state.problem, "the hang",
                   state=lambda: sender.state)  # fmt: skip
    finally:
        os.kill(server.program.pid, signal.SIGCONT)
    wait_until(lambda: not sender.state.waiting, "the rest", state=lambda: sender.state)
    assert arrived(server, database) == 100, "sent twice by a late answer, and still one each"


@pytest.mark.root
def test_a_server_with_a_full_disk_gets_its_points_when_there_is_room(
    make_influxdb: MakeInflux, sending: Sending, database: str
) -> None:
    server = make_influxdb(disk=8_000_000)
    server.up()
    sender = sending.to(f"http://127.0.0.1:{server.port}#{database}")
    sender.add(points(1))
    sender.flush()
    wait_until(lambda: sender.state.sent == 1, "the first", state=lambda: sender.state)
    filler = server.data / "filler"
    with open(filler, "wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"x" * 4096)
    sender.add(points(9999, first=1))
    sender.flush()
    wait_until(
        lambda: "no space left" in sender.state.problem, "the refusal", state=lambda: sender.state
    )
    filler.unlink()
    # this release goes on refusing until it is started again
    server.down()
    server.up()
    wait_until(lambda: sender.state.sent == 10_000, "the rest", 60.0, state=lambda: sender.state)
    assert arrived(server, database) == 10_000
    assert sender.state.dropped == 0


def test_users_and_their_rights_are_respected_and_told(
    make_influxdb: MakeInflux, sending: Sending, tmp_path: Path
) -> None:
    server = make_influxdb(auth=True)
    server.up()
    client = server.client()
    client.create_database("ready")
    client.create_user("node", "of a node")
    client.grant_privilege("write", "ready", "node")
    client.close()
    here = f"127.0.0.1:{server.port}"

    # A user who may only write, with the password in a file.
    secret = tmp_path / "password"
    secret.write_text("wrong\n")
    sender = sending.to(f"http://node@{here}/?password_file={secret}#ready")
    sender.add(points(10))
    sender.flush()
    refusal = "check the user, the password and the user's rights"
    wait_until(lambda: refusal in sender.state.problem, "it", state=lambda: sender.state)
    secret.write_text("of a node\n")
    wait_until(lambda: sender.state.sent == 10, "the renewed password", state=lambda: sender.state)
    assert arrived(server, "ready") == 10

    # It may not make a database, and says so; an admin may.
    unprivileged = Influx(parse(f"http://node:of%20a%20node@{here}#missing"))
    with pytest.raises(TargetAway, match="user 'node' may not") as caught:
        unprivileged.write(points(1))
    assert "of a node" not in str(caught.value)
    unprivileged.close()
    assert "missing" not in server.databases()
    privileged = Influx(parse(f"http://{ADMIN}:{ADMIN_PASSWORD.replace(' ', '%20')}@{here}#made"))
    privileged.write(points(1))
    privileged.close()
    assert "made" in server.databases()


def test_a_missing_password_file_is_told(influxdb: InfluxServer, tmp_path: Path) -> None:
    target = parse(f"http://u@127.0.0.1:{influxdb.port}/?password_file={tmp_path}/none#db")
    with pytest.raises(TargetAway, match=f"password file {tmp_path}/none: No such file"):
        Influx(target).write(points(1))


def test_a_certificate_is_believed_only_if_its_authority_is(
    make_influxdb: MakeInflux, tmp_path: Path, database: str
) -> None:
    authority, other = Authority(tmp_path / "ca"), Authority(tmp_path / "other")
    server = make_influxdb(
        certificate=authority.signed("influx", "127.0.0.1"), ca=authority.certificate
    )
    server.up()
    here = f"127.0.0.1:{server.port}"
    for url in (f"https://{here}#{database}", f"https://{here}/?ca_file={other.certificate}#x"):
        with pytest.raises(TargetAway, match="certificate"):
            Influx(parse(url)).write(points(1))
    trusting = Influx(parse(f"https://{here}/?ca_file={authority.certificate}#{database}"))
    trusting.write(points(1))
    trusting.close()
    careless = Influx(parse(f"insecure_https://{here}#{database}"))
    careless.write(points(1, first=1))
    careless.close()
    assert arrived(server, database) == 2
    with pytest.raises(TargetAway):
        Influx(parse(f"http://{here}#{database}")).write(points(1))
