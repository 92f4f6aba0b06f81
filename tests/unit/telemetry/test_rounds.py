"""The moments that points are stamped with."""

from telemetry.rounds import Rounds


def test_each_moment_is_given_once_and_is_a_multiple_of_the_interval() -> None:
    rounds = Rounds(1007.0)
    times = [1008.0, 1019.9, 1020.0, 1020.1, 1049.9, 1050.2, 1141.0]
    assert [rounds.due(30.0, now) for now in times] == [
        None, None, 1020.0, None, None, 1050.0, 1140.0,
    ]  # fmt: skip


def test_a_loop_that_takes_a_little_longer_than_the_interval_loses_no_moment() -> None:
    rounds = Rounds(0.0)
    # at 29.99, 60.01, 90.03 ...: floor alone would leave out 30
    found = [rounds.due(30.0, 0.2 + 30.02 * number) for number in range(1, 200)]
    assert found == [30.0 * number for number in range(1, 200)]
    rounds = Rounds(5.0)
    assert [rounds.due(30.0, now) for now in (29.99, 60.01, 90.02)] == [None, 30.0, 60.0]


def test_a_clock_that_is_set_back_does_not_silence() -> None:
    rounds = Rounds(9000.0)
    assert rounds.due(30.0, 9031.0) == 9030.0
    assert rounds.due(30.0, 5400.0) is None
    assert rounds.due(30.0, 5430.5) == 5430.0
