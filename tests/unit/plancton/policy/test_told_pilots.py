"""What pilots were told about their end, and what is said of each of them."""

from dataclasses import replace

import pytest

from plancton.config.model import Config
from plancton.model import Expectation, History, Pilot, PilotShare, PilotState, ToldPilot
from plancton.policy.told_pilots import describe_pilot, follow_end, forget_gone, note_stop

PILOTS = tuple(
    Pilot(name, name, PilotState.RUNNING, age=age)
    for name, age in (("old", 900.0), ("mid", 600.0), ("new", 300.0))
)
LEARNED = Expectation(12_000.0, "97% of such idle periods lasted that long", 12_000.0)
TOLD = History(told=(ToldPilot("new", LEARNED, 1000.0),))


def say(
    history: History = TOLD,
    wall: float = 1300.0,
    *,
    protected: bool = True,
    name: str = "new",
    config: Config = Config(),  # noqa: B008
) -> str:
    (pilot,) = (one for one in PILOTS if one.id == name)
    return describe_pilot(pilot, PILOTS, history, config, protected=protected, wall=wall)


def share(name: str = "new", squeezed: float = 0.0, starved: float = 0.0) -> History:
    shares = (PilotShare(name, 1.0, 1.0, starved=starved, squeezed=squeezed),)
    return replace(TOLD, shares=shares)


@pytest.mark.parametrize(
    ("wall", "then"),
    [
        (1300.0, "3 h 15 min of that are left"),
        (13_000.0, "0 s of that are left"),
        (13_300.0, "it has outlived that by 5 min"),
    ],
)
def test_what_it_was_told_why_and_what_is_left(wall: float, then: str) -> None:
    assert say(wall=wall) == (
        "When it started it was told 3 h 20 min (97% of such idle periods lasted that long); "
        f"{then}. What it got of the CPU is not known yet."
    )


def test_a_pilot_that_was_told_nothing_and_one_of_another_daemon() -> None:
    told = replace(TOLD, told=(ToldPilot("new"),))
    assert say(told).startswith("It was not told how long it may live. ")
    assert say(History()).startswith("What it was told is not known: another daemon started it. ")


def test_what_the_owner_took_from_it_and_what_comes_of_that() -> None:
    assert say(share()).endswith(". The owner took no CPU from it.")
    assert say(share(squeezed=720.0)).endswith(
        ". The owner took 12 min of its CPU time; it gets part of what the owner leaves."
    )
    starved = share(squeezed=720.0, starved=40.0)
    assert say(starved).endswith(
        ". The owner took 12 min of its CPU time; it has got none for 40 s: what the owner leaves "
        "goes to 2 pilots that started before; after 1 h it is given up (squeeze_limit)."
    )
    assert say(starved, config=Config(squeeze_limit=0.0)).endswith(
        "; it is kept, as squeeze_limit is 0."
    )
    assert say(starved, protected=False).endswith("; it has got none for 40 s.")
    first = share("old", squeezed=720.0, starved=40.0)
    assert "what the owner leaves goes to it first; after" in say(first, name="old")


def test_a_pilot_that_was_asked_to_end_and_why() -> None:
    stopping = replace(PILOTS[0], state=PilotState.STOPPING)
    for history, text in (
        (note_stop(TOLD, "old", "memory is short"), "It was asked to end: memory is short."),
        (TOLD, "It was asked to end."),
    ):
        said = describe_pilot(stopping, PILOTS, history, Config(), protected=True, wall=0.0)
        assert said == text


def test_a_reason_to_stop_keeps_what_was_told_and_gone_pilots_are_forgotten() -> None:
    history = note_stop(note_stop(TOLD, "new", "memory is short"), "gone", "force-stop")
    assert forget_gone(history, PILOTS).told == (
        ToldPilot("new", LEARNED, 1000.0, "memory is short"),
    )


@pytest.mark.parametrize(
    ("told", "withdrawn", "closes", "is_open", "expected"),
    [
        # announced, brought forward, put off, taken back
        (None, None, 500.0, True, (500.0, None)),
        (500.0, None, 300.0, True, (300.0, None)),
        (500.0, None, 900.0, True, (900.0, 500.0)),
        (500.0, None, None, True, (None, 500.0)),
        # still there; announced again; over
        (None, 500.0, None, True, (None, 500.0)),
        (None, 500.0, 500.0, True, (500.0, None)),
        (None, 90.0, None, True, (None, None)),
        # it came, and nothing was taken back; while the node is closed its end stays
        (100.0, None, 900.0, True, (900.0, None)),
        (100.0, None, None, False, (100.0, None)),
    ],
)
def test_an_end_that_will_not_come_is_taken_back(
    told: float | None,
    withdrawn: float | None,
    closes: float | None,
    is_open: bool,
    expected: tuple[float | None, float | None],
) -> None:
    history = History(told_end=told, withdrawn_end=withdrawn)
    found = follow_end(history, closes, is_open, 100.0)
    assert (found.told_end, found.withdrawn_end) == expected
