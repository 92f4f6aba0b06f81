"""What the VO box does next: a pure function of what is known, the settings and the clock.

The order: wait for the schedd, wait for the credentials (making a proxy where there is none, if
that is ours to do), run the CE, keep proxy and CE alive, end when told to.
"""

from types import MappingProxyType
from typing import FrozenSet, List, Mapping, NamedTuple, Optional, Tuple, Union

from .ce import Recipe
from .credentials import Credential, Life
from .settings import Settings

#: Seconds between two questions to the schedd while we wait for it.
ASK = 1.0
#: Seconds between two looks at the credentials: while we wait for them, and afterwards.
LOOK_WAITING, LOOK = 5.0, 60.0
#: Seconds that a task may take. A condor command answers within 60 s, or a CE gives it up.
TIMEOUTS = {"schedd": 60.0, "renew": 300.0, "ce-start": 300.0, "ce-status": 120.0}
#: A CE that lived so long (s) did not fail at its start: the next wait is short again.
SETTLED = 600.0
#: Seconds before a failed renewal is tried again; doubled up to the second.
RENEW_AGAIN, RENEW_AGAIN_MAX = 60.0, 3600.0
#: Seconds that a process may need to die of SIGKILL.
DIE = 5.0
#: So many failed looks at a CE in the background are its death.
STATUS_FAILURES = 2


class Clock(NamedTuple):
    """``mono`` for intervals; ``wall``, seconds since the epoch, for certificates."""

    mono: float
    wall: float


class Ended(NamedTuple):
    """How a task ended; ``code`` None: its time was over. ``tail``: the last it said."""

    code: Optional[int]
    tail: str
    at: float


NOTHING: Mapping[str, float] = MappingProxyType({})
NONE_ENDED: Mapping[str, Ended] = MappingProxyType({})


class State(NamedTuple):
    """What the loop knows.  Times are monotonic; None: never."""

    began: float
    #: tasks that run: name to when they started
    running: Mapping[str, float] = NOTHING
    #: how each task ended last
    ended: Mapping[str, Ended] = NONE_ENDED
    schedd_seen: bool = False
    credentials: Tuple[Credential, ...] = ()
    looked: Optional[float] = None
    ready: bool = False  #: schedd and credentials have been there: the CE may run
    lacking: str = ""
    ce_since: Optional[float] = None  #: the CE lives since then
    ce_failures: int = 0
    ce_retry: float = 0.0
    ce_problem: str = ""
    ce_over: Optional[int] = None  #: it ended by itself and for good, with this code
    status_failures: int = 0
    renew_failures: int = 0
    renew_retry: float = 0.0
    renew_problem: str = ""
    stopping: Optional[float] = None
    late: FrozenSet[str] = frozenset()  #: tasks that we killed because their time was over


class Start(NamedTuple):
    task: str


class Kill(NamedTuple):
    """SIGTERM (15) or SIGKILL (9) to a task and all that it started."""

    task: str
    number: int


class Look(NamedTuple):
    """Look at the credentials."""


class Failed(NamedTuple):
    """The CE cannot be started, for want of ``why``."""

    why: str


class End(NamedTuple):
    code: int
    why: str


Action = Union[Start, Kill, Look, Failed, End]


def plan(state: State, settings: Settings, recipe: Recipe, now: Clock) -> List[Action]:
    """What to do at ``now``; the loop does it all and then asks again."""
    late: List[Action] = [
        Kill(task, 9)
        for task, since in sorted(state.running.items())
        if now.mono - since > TIMEOUTS.get(task, float("inf"))
    ]
    if state.stopping is not None:
        return late + _stop(state, settings, recipe, now)
    return (
        late
        + _schedd(state, settings, now)
        + _credentials(state, settings, now)
        + _renewal(state, settings, now)
        + _ce(state, recipe, settings, now)
    )


def _schedd(state: State, settings: Settings, now: Clock) -> List[Action]:
    if state.schedd_seen or "schedd" in state.running:
        return []
    last = state.ended.get("schedd")
    if now.mono - state.began > settings.schedd_timeout:
        said = (last.tail if last else "") or "it did not answer"
        why = "no schedd within %.0f s: %s" % (settings.schedd_timeout, said)
        return [End(3, why)]
    if last is None or now.mono - last.at >= ASK:
        return [Start("schedd")]
    return []


def _credentials(state: State, settings: Settings, now: Clock) -> List[Action]:
    every = LOOK if state.ready else LOOK_WAITING
    if state.looked is None or now.mono - state.looked >= every:
        return [Look()]
    bad = problems(state)
    if bad and not state.ready and now.mono - state.began > settings.credentials_timeout:
        why = "; ".join(bad)
        return [End(4, "no credentials within %.0f s: %s" % (settings.credentials_timeout, why))]
    return []


def problems(state: State) -> List[str]:
    return [one.problem for one in state.credentials if one.problem]


def _renewal(state: State, settings: Settings, now: Clock) -> List[Action]:
    if not settings.renew or state.looked is None or "renew" in state.running:
        return []
    if now.mono < state.renew_retry:
        return []
    others = [one for one in state.credentials if one.variable != "X509_USER_PROXY"]
    if any(one.problem for one in others if one.variable == "X509_USER_CERT"):
        return []  # it would be made with these
    proxy = [one for one in state.credentials if one.variable == "X509_USER_PROXY"]
    if proxy and renewal_due(proxy[0], settings, now.wall):
        return [Start("renew")]
    return []


def renewal_due(proxy: Credential, settings: Settings, wall: float) -> bool:
    """A proxy that is bad or unknown is due; a good one by its time."""
    if proxy.problem or proxy.life is None:
        return True
    return wall >= renewal_moment(proxy.life, settings)


def renewal_moment(life: Life, settings: Settings) -> float:
    """When to renew, in seconds since the epoch."""
    if settings.renew_before is not None:
        return life.end - settings.renew_before
    return (life.begin + life.end) / 2


def _ce(state: State, recipe: Recipe, settings: Settings, now: Clock) -> List[Action]:
    if not state.ready or not recipe.start or state.ce_over is not None:
        return []
    if state.ce_since is None:
        if "ce" in state.running or "ce-start" in state.running or now.mono < state.ce_retry:
            return []
        if state.lacking:
            return [Failed(state.lacking)]
        return [Start("ce-start" if recipe.status else "ce")]
    if recipe.status and "ce-status" not in state.running:
        last = state.ended.get("ce-status")
        asked = max(state.ce_since, last.at if last else 0.0)
        if now.mono - asked >= settings.check:
            return [Start("ce-status")]
    return []


def _stop(state: State, settings: Settings, recipe: Recipe, now: Clock) -> List[Action]:
    """All got SIGTERM; then the CE's own stop command, and SIGKILL after the grace."""
    since = now.mono if state.stopping is None else state.stopping
    for_now = now.mono - since
    asked = state.ended.get("ce-stop")
    stopped = asked is not None and asked.at >= since
    background = bool(recipe.stop) and state.ce_since is not None and not stopped
    if not state.running and not background:
        return [End(0, "stopped")]
    if for_now >= settings.grace + DIE:
        return [End(0, "stopped, though some processes would not die")]
    if for_now >= settings.grace:
        late: List[Action] = [Kill(task, 9) for task in sorted(state.running)]
        return late or [End(0, "stopped, though the CE was not within CE_GRACE")]
    if background and "ce-stop" not in state.running:
        return [Start("ce-stop")]
    return []


def after(state: State, task: str, end: Ended, settings: Settings, recipe: Recipe) -> State:
    """The state after a task has ended."""
    running = {name: since for name, since in state.running.items() if name != task}
    since = state.running.get(task, end.at)
    state = state._replace(
        running=running, ended={**state.ended, task: end}, late=state.late - {task}
    )
    if task == "schedd":
        return state._replace(schedd_seen=state.schedd_seen or end.code == 0)
    if task == "ce":
        if recipe.ends and end.code is not None:
            return state._replace(ce_since=None, ce_over=end.code)
        return failed(state, "the CE ended: " + told(end), since, end.at, settings)
    if task == "ce-start":
        if end.code == 0:
            return state._replace(ce_since=end.at, ce_problem="", status_failures=0)
        return failed(state, "the CE did not start: " + told(end), since, end.at, settings)
    born = state.ce_since
    if task == "ce-status" and born is not None:
        count = 0 if end.code == 0 else state.status_failures + 1
        state = state._replace(status_failures=count)
        if count >= STATUS_FAILURES:
            why = "the CE does not answer: " + told(end)
            return failed(state, why, born, end.at, settings)
    return state


def failed(state: State, why: str, since: float, now: float, settings: Settings) -> State:
    """The CE died at ``now``, having lived from ``since``: when to start it again."""
    count = 1 if now - since > SETTLED else state.ce_failures + 1
    wait = min(settings.backoff * 2 ** min(count - 1, 30), settings.backoff_max)
    return state._replace(
        ce_since=None, ce_failures=count, ce_retry=now + wait, ce_problem=why, status_failures=0
    )


def renewed(state: State, problem: str, now: float) -> State:
    """After a renewal; ``problem`` empty when there is a better proxy now."""
    if not problem:
        return state._replace(renew_failures=0, renew_retry=now, renew_problem="", looked=None)
    count = state.renew_failures + 1
    wait = min(RENEW_AGAIN * 2 ** min(count - 1, 30), RENEW_AGAIN_MAX)
    return state._replace(renew_failures=count, renew_retry=now + wait, renew_problem=problem)


def told(end: Ended) -> str:
    how = "its time was over" if end.code is None else _code(end.code)
    return how + (" (%s)" % end.tail if end.tail else "")


def _code(code: int) -> str:
    return "signal %d" % -code if code < 0 else "exit code %d" % code
