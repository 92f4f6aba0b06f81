"""Points, targets, the buffer and the sender: nobody waits, nothing is lost within the bounds."""

import logging
import math
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from telemetry.buffer import Buffer
from telemetry.influx import BatchTooLarge, PointsRefused, TargetAway
from telemetry.points import Field, Point, Series, Undeclared, point, spread
from telemetry.sender import BATCH, Senders, TargetSender
from telemetry.targets import BadTarget, Target, parse, parse_all
from tests.support.fake_influxdb import FakeDatabase
from tests.support.waiting import wait_until

SERIES = Series(
    "weather",
    ("place",),
    (
        Field("warmth", "float", "K", ""),
        Field("drops", "integer", "", ""),
        Field("rain", "boolean", "", ""),
        Field("sky", "string", "", ""),
    ),
    "",
)
HERE = {"place": "here"}


def at(time: float, warmth: float = 1.0) -> Point:
    made = point(SERIES, HERE, {"warmth": warmth}, time)
    assert made is not None
    return made


# Points


def test_a_point_holds_what_is_known_and_nothing_else() -> None:
    fields = {"warmth": 3, "drops": None, "rain": False, "sky": "blue"}
    made = point(SERIES, HERE, fields, 5.0)
    assert made == Point("weather", HERE, {"warmth": 3.0, "rain": False, "sky": "blue"}, 5.0)
    assert made is not None and isinstance(made.fields["warmth"], float)


def test_nothing_known_is_no_point_and_not_zero() -> None:
    assert point(SERIES, HERE, {"warmth": None, "drops": None}, 5.0) is None
    assert point(SERIES, HERE, {"warmth": math.nan}, 5.0) is None


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ({"wind": 1.0}, "weather: no field 'wind'"),
        ({"drops": 1.5}, "weather.drops: 1.5 is no integer"),
        ({"drops": True}, "weather.drops: True is no integer"),
        ({"rain": 1}, "weather.rain: 1 is no boolean"),
        ({"sky": 1}, "weather.sky: 1 is no string"),
    ],
)
def test_what_is_not_declared_is_a_bug(fields: dict[str, object], what: str) -> None:
    with pytest.raises(Undeclared, match=what):
        point(SERIES, HERE, fields, 5.0)  # type: ignore[arg-type]


def test_a_tag_too_many_or_too_few_is_a_bug() -> None:
    for tags in ({}, {"place": "a", "colour": "b"}):
        with pytest.raises(Undeclared, match="weather: tags"):
            point(SERIES, tags, {"warmth": 1.0}, 5.0)


def test_points_of_the_same_moment_stay_apart() -> None:
    times = [round(one.time * 1e6) for one in spread([at(5.0), at(5.0), at(5.0)])]
    assert times == [5_000_000, 5_000_001, 5_000_002]


# Targets


def test_the_urls_of_2017_name_targets() -> None:
    plain, insecure = parse_all(
        ("http://u:p%40ss@influx:9086#plancton", "insecure_https://other#db")
    )
    assert plain == Target("influx", 9086, "plancton", "u", "p@ss")
    assert (insecure.port, insecure.tls, insecure.verify) == (8086, True, False)
    assert parse("https://[::1]:1#a").name == "[::1]:1#a"
    assert parse_all(None) == ()


def test_a_password_can_come_from_a_file_and_is_never_shown(tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("geheim\n")
    from_file = parse(f"https://u@influx/?password_file={secret}#db")
    assert from_file.secret() == "geheim"
    assert len(parse("http://u@x/?password_file=/dev/zero#db").secret()) == 4096
    assert "geheim" not in repr(from_file) + repr(parse("http://u:geheim@influx#db"))


@pytest.mark.parametrize(
    ("url", "what"),
    [
        ("ftp://x#db", "unknown scheme"),
        ("influx:8086#db", "unknown scheme"),
        ("http://#db", "has no host"),
        ("http://influx:8086", "at influx names no database"),
        ("http://influx:x#db", "is wrong"),
        ("http://[::1#db", "is wrong"),
        ("http://u:geheim#x@influx#db", "# @ % in a password as %XX"),
        ("http://u:geheim/x@influx#db", "# @ % in a password as %XX"),
        ("http://u:geheim?x@influx#db", "# @ % in a password as %XX"),
        ("http://u:123#geheim@influx#db", "more than one #; .* in a password as %XX"),
        ("http://u:123?geheim@influx#db", "# @ % in a password as %XX"),
        ("http://u:geheim@influx/path#db", "parts that mean nothing here"),
        ("http://u:geheim@influx/?password_file=/x#db", "write one of them"),
        ("insecure_https://u:geheim@influx/?ca_file=/x#db", "which only https looks at"),
    ],
)
def test_a_wrong_url_is_told_without_its_password(url: str, what: str) -> None:
    with pytest.raises(BadTarget, match=what) as caught:
        parse(url)
    assert "geheim" not in str(caught.value)


# The buffer


def times(points: list[Point]) -> list[float]:
    return [one.time for one in points]


def test_the_oldest_points_give_way_and_are_counted() -> None:
    buffer = Buffer(capacity=3)
    buffer.add(at(float(t)) for t in range(5))
    assert (times(buffer.batch(10)), buffer.dropped) == ([2.0, 3.0, 4.0], 2)


def test_what_is_being_sent_is_not_dropped_meanwhile() -> None:
    buffer = Buffer(capacity=3)
    buffer.add(at(float(t)) for t in range(3))
    assert times(buffer.batch(2)) == [0.0, 1.0]
    buffer.add(at(float(t)) for t in range(3, 7))
    buffer.done()
    assert (times(buffer.batch(10)), buffer.dropped) == ([4.0, 5.0, 6.0], 2)


def test_what_could_not_be_sent_is_still_the_first_to_go() -> None:
    buffer = Buffer(capacity=3)
    buffer.add(at(float(t)) for t in range(3))
    buffer.batch(2)
    buffer.add([at(3.0)])
    buffer.back()
    assert (times(buffer.batch(10)), buffer.dropped) == ([1.0, 2.0, 3.0], 1)


def test_refused_points_are_counted_as_dropped() -> None:
    buffer = Buffer(capacity=3)
    buffer.add([at(1.0), at(2.0)])
    buffer.batch(1)
    buffer.refused()
    assert (times(buffer.batch(10)), buffer.dropped) == ([2.0], 1)


# The sender

TARGET = parse("http://influx#db")
LOG = logging.getLogger("test-telemetry")


class Bench:
    def __init__(self, capacity: int = 100) -> None:
        self.database = FakeDatabase()
        self.sender = TargetSender(
            TARGET, LOG, lambda _target: self.database, capacity, retry=(0.01, 0.02)
        )

    def send(self, *points: Point) -> None:
        self.sender.add(points)
        self.sender.flush()

    def until(self, condition: Callable[[], bool], what: str) -> None:
        wait_until(condition, what, state=lambda: self.sender.state)


def test_points_arrive_in_order_and_in_batches() -> None:
    bench = Bench(capacity=10_000)
    bench.sender.add([at(float(t)) for t in range(BATCH + 1)])
    assert bench.database.tries == 0, "nothing is sent before it is asked for"
    bench.sender.flush()
    bench.until(lambda: len(bench.database.points) == BATCH + 1, "all points")
    assert bench.database.batches == [BATCH, 1]
    assert times(bench.database.points) == [float(t) for t in range(BATCH + 1)]
    bench.sender.close(10.0)
    assert bench.database.closed


def test_a_target_that_is_away_gets_its_points_later_and_the_log_says_so_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    bench = Bench()
    bench.database.fail = TargetAway("influx:8086#db: connection refused")
    bench.send(at(1.0))
    bench.until(lambda: bench.database.tries >= 3, "some tries")
    assert bench.sender.state.problem == "influx:8086#db: connection refused"
    bench.database.fail = None
    bench.until(lambda: bench.sender.state.problem == "", "the points to arrive")
    assert times(bench.database.points) == [1.0]
    bench.sender.close(10.0)
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


def test_another_reason_is_logged_too_and_each_only_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bench = Bench()
    for reason in ("no password file", "wrong password", "no password file"):
        bench.database.fail = TargetAway(reason)
        before = bench.database.tries
        bench.send(at(1.0))
        bench.until(lambda before=before: bench.database.tries >= before + 3, "some tries")
    bench.sender.close(10.0)
    logged = [record.getMessage().rpartition(": ")[2] for record in caplog.records]
    assert logged == ["no password file", "wrong password"]


@pytest.mark.parametrize(
    ("fault", "problem"),
    [
        (PointsRefused("influx: field type conflict"), ""),  # nothing waits for its end
        (KeyError("bug"), "influx:8086#db: KeyError"),
    ],
)
def test_neither_refused_points_nor_a_bug_in_the_writer_keep_other_points_back(
    fault: Exception, problem: str
) -> None:
    bench = Bench()
    bench.database.fail = fault
    bench.send(at(1.0))
    bench.until(lambda: bench.sender.state.dropped == 1, "the fault")
    bench.until(lambda: bench.sender.state.problem == problem, "it to be told")
    bench.database.fail = None
    bench.send(at(2.0))
    bench.until(lambda: times(bench.database.points) == [2.0], "the next one")
    bench.sender.close(10.0)


def test_a_batch_that_is_too_large_goes_in_parts() -> None:
    bench = Bench()

    def write(points: Sequence[Point]) -> None:
        if len(points) > 3:
            raise BatchTooLarge("influx: 413")
        FakeDatabase.write(bench.database, points)

    bench.database.write = write  # type: ignore[method-assign]
    bench.send(*(at(float(t)) for t in range(10)))
    bench.until(lambda: len(bench.database.points) == 10, "all points")
    assert times(bench.database.points) == [float(t) for t in range(10)]
    assert (bench.sender.state.dropped, bench.sender.state.problem) == (0, "")
    bench.sender.close(10.0)


def test_a_target_cannot_refuse_more_points_than_it_got() -> None:
    bench = Bench()
    bench.database.fail = PointsRefused("influx: partial write: dropped=1000", 1000)
    bench.send(at(1.0), at(2.0))
    bench.until(lambda: bench.sender.state.failures == 1, "the refusal")
    assert (bench.sender.state.sent, bench.sender.state.dropped) == (0, 2)
    bench.sender.close(10.0)


def test_a_target_that_hangs_delays_nobody_and_bounds_what_it_costs() -> None:
    bench = Bench(capacity=10)
    bench.database.hold = threading.Event()
    bench.send(at(0.0))
    bench.until(lambda: bench.database.tries == 1, "it to hang")
    for number in range(1, 100):
        bench.sender.add([at(float(number))])
        bench.sender.flush()
    assert bench.sender.state.waiting == 11, "ten, and the one on its way"
    assert bench.sender.state.dropped == 89
    bench.sender.close(0.0)
    bench.database.hold.set()
    bench.until(lambda: bench.database.closed, "the thread to end")


def test_an_ending_program_tries_once_more_and_goes() -> None:
    bench = Bench()
    bench.database.fail = TargetAway("away")
    bench.sender.add([at(1.0)])
    bench.sender.close(10.0)
    assert (bench.database.tries, bench.database.closed) == (1, True)


def test_a_new_configuration_sends_elsewhere_and_nowhere_else() -> None:
    databases: dict[str, FakeDatabase] = {}

    def open_database(target: Target) -> FakeDatabase:
        return databases.setdefault(target.name, FakeDatabase(target))

    senders = Senders(LOG, lambda target, log: TargetSender(target, log, open_database))
    senders.follow([parse("http://a#db"), parse("http://b#db")])
    senders.send([at(1.0)])
    senders.follow([parse("http://b#db"), parse("http://c#db")])
    senders.send([at(2.0)])
    wait_until(lambda: databases["a:8086#db"].closed, "the first to be left")
    wait_until(lambda: times(databases["b:8086#db"].points) == [1.0, 2.0], "the kept one")
    wait_until(lambda: times(databases["c:8086#db"].points) == [2.0], "the new one")
    assert [state.name for state in senders.states()] == ["b:8086#db", "c:8086#db"]
    senders.close()
    assert 2.0 not in times(databases["a:8086#db"].points)


def test_a_corrected_target_sends_what_has_waited_for_it() -> None:
    right = FakeDatabase()

    def open_database(target: Target) -> FakeDatabase:
        if target.user == "right":
            return right
        wrong = FakeDatabase()
        wrong.fail = TargetAway("401")
        return wrong

    senders = Senders(LOG, lambda target, log: TargetSender(target, log, open_database))
    senders.follow([parse("http://wrong@a#db"), parse("http://b#db")])
    senders.send([at(1.0), at(2.0)])
    wait_until(lambda: senders.states()[0].failures, "the refusal")
    senders.follow([parse("https://right@a:8086#db")])
    senders.send([at(3.0)])
    wait_until(lambda: len(right.points) == 3, "all points", state=senders.states)
    assert times(right.points) == [1.0, 2.0, 3.0]
    senders.close(10.0)
