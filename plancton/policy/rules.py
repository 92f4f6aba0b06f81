"""The rules of the policy, one function each: how many may start, who is stopped, and why.

The order of ``RULES`` is the order of ``explain``, and it has a meaning:

* a pilot that one rule stops is left alone by the rules after it, so the first one decides how
  much time it gets to end;
* where several rules allow no start, the summary names the first of them: the one that tells an
  admin most.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

from plancton.calendar.syntax import find_zone
from plancton.config.model import Config
from plancton.model import (
    Expectation,
    History,
    Mode,
    NodeState,
    Pilot,
    StopPilot,
    Trigger,
)

from . import backoff, calendar_rule, capacity, lifetime
from .calendar_rule import CalendarPhase
from .capacity import Limit, format_gb, format_pilots

#: Seconds that force-stop leaves a pilot to tell others that it ends.
FORCE_GRACE = 2.0
#: Seconds at most for a pilot to end while memory is short: the owner waits for it.
SHORT_GRACE = 1.0
#: Seconds to the next pass while memory is short, a reading is missing, or all pilots must end.
SOON = 0.5
#: Seconds to the next pass while the owner uses the whole node: nothing else tells that he left.
OWNER_LEAVES = 5.0

#: Seconds that a pilot may work at most where ``max_ttl`` is not written: a job that computes for
#: ever looks like one that is long, and no batch system lets a job of the Grid run for a week.
LONGEST_AGE = 7 * 86400.0

#: Times in a row that the disk use of a pilot may not be measurable: it has files without number,
#: or paths that are too long.
UNKNOWN_DISK_USES = 3

#: Why a pilot is asked to end.
FORCE_STOPPED = "force-stop"
TOO_OLD = "it is older than max_ttl"
TOO_MUCH_DISK = "it has written more than max_dock_disk"
UNKNOWN_DISK = "how much it has written for max_dock_disk could not be measured several times"
MEMORY_SHORT = "memory is short"
WINDOW_OVER = "its window is over"
OWNER_NEEDS_NODE = "the owner needs the node"
STARVED = "it got no CPU for too long"
#: Each of them in one word, for series and tables.
CAUSES = {
    MEMORY_SHORT: "memory",
    OWNER_NEEDS_NODE: "owner",
    STARVED: "owner",
    TOO_OLD: "max_ttl",
    TOO_MUCH_DISK: "disk",
    UNKNOWN_DISK: "disk",
    WINDOW_OVER: "window",
    FORCE_STOPPED: "force-stop",
}
#: Only these start the pause of ``grace_spawn``: a normal end, or old age, must not leave
#: the node empty.
EVICTIONS = frozenset({MEMORY_SHORT, OWNER_NEEDS_NODE, STARVED})


@dataclass(frozen=True)
class RuleResult:
    """What one rule says about the node now."""

    #: why, for people
    sentence: str
    #: how many pilots may start; None: this rule sets no limit
    room: int | None = None
    stops: tuple[StopPilot, ...] = ()
    #: seconds until the passing of time alone may change this result; None: never
    wait: float | None = None


@dataclass(frozen=True)
class View:
    """The input of a rule: the state of the node and what was computed from it."""

    state: NodeState
    config: Config
    now: float
    #: with this pass's observations in it
    history: History
    limits: Mapping[str, Limit]
    phase: CalendarPhase
    #: pilots that start or run
    active: tuple[Pilot, ...]
    #: those of them that no earlier rule stops
    remaining: tuple[Pilot, ...]
    #: pilots that were asked to end before
    stopping: tuple[Pilot, ...]
    #: pilots whose end is seen for the first time
    new_ends: int

    @property
    def in_use(self) -> int:
        """How many pilots use the node, ending ones included."""
        return len(self.active) + len(self.stopping)

    def expect_life(self, place: int) -> Expectation | None:
        """Return for how long a pilot that starts after ``place`` others may live."""
        return lifetime.expect_life(
            self.history, self.config, self.phase, place, self.now, self.state.wall
        )

    def format_time(self, wall: float) -> str:
        """Return a moment, in seconds since 1970, as the node's admin reads it."""
        zone = find_zone(self.config.timezone or self.state.facts.timezone)
        return calendar_rule.format_time(wall, zone)

    @property
    def least_work_first(self) -> list[Pilot]:
        """The remaining pilots, those first with which the least work is lost.

        Work is CPU time; where that is not known, all that a pilot of its age can have used.
        """

        def used(pilot: Pilot) -> float:
            if pilot.cpu_seconds is not None:
                return pilot.cpu_seconds
            return (pilot.age or 0.0) * self.config.cpus_per_dock

        return sorted(self.remaining, key=lambda pilot: (used(pilot), pilot.age or 0.0))

    def after(self, result: RuleResult) -> View:
        """Return the view for the next rule, which leaves the stopped pilots alone."""
        if not result.stops:
            return self
        stopped = {stop.pilot.id for stop in result.stops}
        history = self.history
        if any(stop.reason in EVICTIONS for stop in result.stops):
            history = replace(history, last_eviction=self.now)
        remaining = tuple(pilot for pilot in self.remaining if pilot.id not in stopped)
        return replace(self, history=history, remaining=remaining)


Rule = Callable[[View], RuleResult | None]


def is_protected(state: NodeState) -> bool:
    """Tell whether pilots get the CPU only when nothing else wants it (``cpu.idle``)."""
    protection = state.prepared.protection
    return protection is not None and protection.cpu_is_idle


def describe_engine(view: View) -> RuleResult:
    """Say that the engine answers; ``decide`` handles one that does not."""
    ending = f", {len(view.stopping)} more still ending" if view.stopping else ""
    return RuleResult(f"The engine answers: {format_pilots(len(view.active))} in use{ending}.")


def describe_protection(view: View) -> RuleResult | None:
    """Say how the owner is protected from the pilots; never forbids anything."""
    protection = view.state.prepared.protection
    if protection is None:
        return None
    # a CPU that nobody else wants still shares these with the owner's
    rest = (
        " What pilots cost the owner in hyper-threads, caches and memory bandwidth is not "
        "measured; max_docks bounds it."
    )
    return RuleResult(protection.sentence + (rest if protection.cpu_is_idle else ""))


def require_image(view: View) -> RuleResult | None:
    """Start nothing while there is no image to make pilots from."""
    status = view.state.prepared.image
    if status is None:
        return None
    pulling = f"it is being pulled ({status.pulling})" if status.pulling else ""
    failed = f"the last pull failed: {status.problem}" if status.problem else ""
    news = "; ".join(filter(None, (pulling, failed)))
    if not status.name:
        return RuleResult(f"Image {status.wanted} is not there: {news or 'unknown why'}.", room=0)
    text = f"New pilots are made from {status.name} ({status.digest})"
    if status.name != status.wanted:
        text += f", as {status.wanted} is not there"
    return RuleResult(text + (f": {news}." if news else "."))


def obey_admin(view: View) -> RuleResult:
    """Start nothing while the node drains; with force-stop, stop every pilot."""
    mode, deadline = view.state.mode, view.state.drain_deadline
    sentence = {
        Mode.ACTIVE: "The node is in use: it neither drains nor stops.",
        Mode.DRAIN: "The node drains: `planctonctl resume` ends that.",
        Mode.DRAIN_STOP: "The node drains, and the daemon ends after the last pilot.",
        Mode.FORCE_STOP: "The daemon ends, and every pilot with it.",
    }[mode]
    if mode is Mode.FORCE_STOP:
        pilots = view.active + view.stopping
        stops = tuple(StopPilot(pilot, FORCE_GRACE, FORCE_STOPPED) for pilot in pilots)
        return RuleResult(sentence, 0, stops, SOON)
    if mode is Mode.ACTIVE:
        return RuleResult(sentence)
    if deadline is not None:
        sentence += f" Pilots that still run at {view.format_time(deadline)} are asked to end."
    return RuleResult(sentence, 0)


def limit_age(view: View) -> RuleResult:
    """Stop pilots that are older than ``max_ttl``, or stuck for as long.

    A key that is written means the whole age, as in 2017.  The default is there for pilots that
    are stuck: only the time counts in which a pilot used no CPU although it could have had some,
    and no pilot is older than ``LONGEST_AGE``, without the time that the owner took.
    """
    most = view.config.max_ttl
    written = "max_ttl" in view.config.model_fields_set
    shares = {} if written else {share.id: share for share in view.history.shares}

    def seconds_left(pilot: Pilot, age: float) -> float:
        share = shares.get(pilot.id)
        if share is None:
            # Whether it is stuck is not known.
            return most - age
        return min(most - share.unused, LONGEST_AGE + share.squeezed - age)

    left = {
        pilot.id: seconds_left(pilot, pilot.age) for pilot in view.active if pilot.age is not None
    }
    old = [pilot for pilot in view.remaining if left.get(pilot.id, 0.0) < 0.0]
    what = "older than" if written else "without using CPU for longer than"
    sentence = f"No pilot is {what} max_ttl ({most:.10g} s)."
    if old:
        sentence = f"{format_pilots(len(old))} {what} max_ttl ({most:.10g} s): asked to end."
        if not written:
            sentence = (
                f"{format_pilots(len(old))} {what} max_ttl ({most:.10g} s), or older than "
                f"{LONGEST_AGE:.10g} s: asked to end."
            )
    return RuleResult(
        sentence,
        stops=tuple(StopPilot(pilot, view.config.stop_grace, TOO_OLD) for pilot in old),
        wait=min((wait for wait in left.values() if wait > 0), default=None),
    )


def limit_disk(view: View) -> RuleResult | None:
    """Stop pilots that have filled more of the disk than ``max_dock_disk``.

    And those of which that cannot be known: what they have written has no other limit.
    """
    config, pilots = view.config, view.remaining
    most = config.max_dock_disk
    if not most or config.engine == "process" or not pilots:
        return None
    over = [pilot for pilot in pilots if (pilot.disk.written or 0) > most]
    unknown = [pilot for pilot in pilots if pilot.disk.written is None]
    endless = [pilot for pilot in unknown if pilot.disk.failures >= UNKNOWN_DISK_USES]
    allowed = f"max_dock_disk ({format_gb(most)})"
    sentences = [f"No pilot is known to have written more than {allowed}."]
    if over:
        sentences = [f"{format_pilots(len(over))} wrote more than {allowed}: asked to end."]
    if unknown:
        sentences.append(f"Of {format_pilots(len(unknown))} it is not known.")
    if endless:
        sentences.append(
            f"{format_pilots(len(endless))} with so many files, or such long paths, that this "
            f"could not be measured {UNKNOWN_DISK_USES} times in a row: asked to end."
        )
    stops = [(pilot, TOO_MUCH_DISK) for pilot in over] + [(one, UNKNOWN_DISK) for one in endless]
    return RuleResult(
        " ".join(sentences),
        stops=tuple(StopPilot(pilot, config.stop_grace, why) for pilot, why in stops),
    )


def relieve_memory(view: View) -> RuleResult:
    """Stop pilots at once, those with the least work lost first, while memory is short."""
    config, load = view.config, view.state.load
    missing = capacity.find_memory_shortage(config, load)
    grace = min(config.stop_grace, SHORT_GRACE)
    wait = SOON if view.active else None
    if missing:
        sentence = (
            f"Memory is short: {format_gb(missing)} are missing to the owner's reserve of "
            f"{format_gb(config.mem_reserve)}; pilots are evicted at once."
        )
        chosen = _choose_for_memory(view, missing)
        return RuleResult(
            sentence, 0, tuple(StopPilot(pilot, grace, MEMORY_SHORT) for pilot in chosen), wait
        )
    if capacity.is_stalled(config, load):
        sentence = (
            f"Tasks waited for memory {load.memory_stall:.0f} % of the last 10 s (limit "
            f"{config.memory_stall:g} %); pilots are evicted one after the other."
        )
        # The reading is an average over 10 s: evicting by it alone would empty the node.
        chosen = [] if view.stopping else view.least_work_first[:1]
        return RuleResult(
            sentence, 0, tuple(StopPilot(pilot, grace, MEMORY_SHORT) for pilot in chosen), wait
        )
    if missing is None:
        return RuleResult("Whether memory is short is not known.", 0)
    return RuleResult("Memory is not short.")


def _choose_for_memory(view: View, missing: int) -> list[Pilot]:
    """Return the pilots that hold ``missing`` bytes and what will be missing soon.

    Those come first with which the least work is lost.
    """
    missing += round(view.history.room_loss * capacity.GROWTH_AHEAD)
    missing -= sum(pilot.memory_bytes or 0 for pilot in view.stopping)
    chosen = []
    for pilot in view.least_work_first:
        if missing <= 0:
            break
        chosen.append(pilot)
        # Unknown counts as a whole pilot's share; the next pass is soon and corrects it.
        known = pilot.memory_bytes
        missing -= view.config.max_dock_mem if known is None else known
    return chosen


def follow_calendar(view: View) -> RuleResult:
    """Start nothing outside the windows, and stop the pilots that still run after one."""
    phase = view.phase
    stops: tuple[StopPilot, ...] = ()
    if phase.evicts:
        grace = view.config.stop_grace
        stops = tuple(StopPilot(pilot, grace, WINDOW_OVER) for pilot in view.remaining)
    wait = None if phase.change is None else phase.change - view.state.wall
    text, withdrawn = phase.text, view.history.withdrawn_end
    if withdrawn is not None:
        text += f" The end at {view.format_time(withdrawn)} that pilots were told of is taken back."
    return RuleResult(text, None if phase.starts else 0, stops, wait)


def describe_lifetime(view: View) -> RuleResult:
    """Say what a pilot that starts now is told; never forbids anything."""
    found = view.expect_life(view.in_use)
    if found is None:
        seen = view.history.record.ends
        known = (
            f"{seen:.0f} of the {lifetime.FEWEST_ENDS:g} idle periods that are needed have ended"
            if view.config.lifetime_confidence
            else "lifetime_confidence is 0"
        )
        return RuleResult(f"How long a pilot may live on this node is not known: {known}.")
    told = lifetime.format_duration(found.seconds)
    return RuleResult(f"A pilot that starts now is told {told}: {found.why}.")


def give_up_starving(view: View) -> RuleResult | None:
    """Stop pilots that got no CPU for ``squeeze_limit``, so that their jobs run elsewhere.

    Only where ``cpu.idle`` protects the owner: elsewhere pilots are evicted for CPU before.
    """
    if not is_protected(view.state):
        return None
    most = view.config.squeeze_limit
    starving = {share.id: share.starved for share in view.history.shares if share.starved}
    if not starving:
        return RuleResult("No pilot waits for CPU that the owner uses.")
    longest = max(starving.values())
    sentence = (
        f"{format_pilots(len(starving))} got no CPU for up to {longest:.0f} s, as the owner uses "
        "it; what the owner leaves goes to the oldest first"
    )
    if not most:
        return RuleResult(f"{sentence}; they are kept, as squeeze_limit is 0.")
    over = [pilot for pilot in view.remaining if starving.get(pilot.id, 0.0) >= most]
    return RuleResult(
        f"{sentence}; such pilots are given up after {most:.10g} s (squeeze_limit).",
        stops=tuple(StopPilot(pilot, view.config.stop_grace, STARVED) for pilot in over),
        wait=most - longest,
    )


def evict_excess(view: View) -> RuleResult:
    """Stop pilots once more of them than fit have run for ``grace_kill``.

    Those come first with which the least work is lost.
    """
    since, grace_kill = view.history.over_since, view.config.grace_kill
    if since is None:
        return RuleResult("No more pilots run than the node can hold.")
    lasted = view.now - since
    stops: tuple[StopPilot, ...] = ()
    if lasted >= grace_kill:
        exceeded = [
            limit.start
            for limit in view.limits.values()
            if limit.start is not None and limit.keep is not None and len(view.active) > limit.keep
        ]
        excess = max(0, len(view.remaining) - min(exceeded, default=len(view.remaining)))
        stops = tuple(
            StopPilot(pilot, view.config.stop_grace, OWNER_NEEDS_NODE)
            for pilot in view.least_work_first[:excess]
        )
    return RuleResult(
        f"More pilots run than the node can hold, for {lasted:.1f} s; "
        f"those that used the least CPU are evicted after {grace_kill:.10g} s.",
        0,
        stops,
        grace_kill - lasted,
    )


def pause_after_eviction(view: View) -> RuleResult:
    """Start nothing for ``grace_spawn`` after an eviction, and only after an eviction."""
    if view.history.last_eviction is None:
        return RuleResult("No pilot was evicted.")
    left = view.history.last_eviction + view.config.grace_spawn - view.now
    if left > 0:
        return RuleResult(
            f"A pilot was evicted; the pause lasts {left:.1f} s more.", room=0, wait=left
        )
    return RuleResult("The last eviction was long enough ago.")


def break_on_failures(view: View) -> RuleResult:
    """Start one pilot at a time, after a wait, while pilots fail (the circuit breaker)."""
    breaker = view.history.breaker
    if not breaker.level:
        if not breaker.failures:
            return RuleResult("Pilots do not fail.")
        return RuleResult(f"Failures in a row: {breaker.failures}, the last: {breaker.reason}.")
    why, wait = f"Pilots fail ({breaker.reason})", breaker.next_probe - view.now
    probes = [pilot for pilot in view.active if backoff.is_probe(breaker, pilot, view.now)]
    if probes:
        return RuleResult(f"{why}; {probes[0].name} is the one that is tried.", 0, wait=wait)
    if wait > 0:
        return RuleResult(f"{why}; one is tried again in {wait:.1f} s.", 0, wait=wait)
    return RuleResult(f"{why}; one may be tried now.", 1)


def back_off_without_work(view: View) -> RuleResult:
    """Start one pilot at a time, after a wait, while pilots find nothing to do."""
    no_work = view.history.no_work
    if not no_work.level:
        return RuleResult("Pilots find work.")
    wait = no_work.next_probe - view.now
    searching = backoff.find_searching_pilots(view.active, no_work, view.config)
    if searching:
        text = f"Pilots found no work; {searching[0].name} is looking for some."
        return RuleResult(text, 0, wait=wait)
    if wait > 0:
        return RuleResult(
            f"Pilots found no work; the next one looks in {wait:.1f} s.", 0, wait=wait
        )
    return RuleResult("Pilots found no work; one may look now.", 1)


def limit_number(name: str, view: View) -> RuleResult:
    """Start no more pilots than the limit called ``name`` allows."""
    limit = view.limits[name]
    sentence = limit.describe(view.in_use)
    if limit.start is None:
        return RuleResult(sentence, 0, wait=SOON)
    wait = None
    if name != "max_docks" and not limit.start and not view.in_use and view.phase.starts:
        wait = OWNER_LEAVES
    return RuleResult(sentence, max(0, limit.start - view.in_use), wait=wait)


def limit_pace(view: View) -> RuleResult:
    """Start at most ``docks_per_loop`` pilots in a timer pass; replace ended ones at once."""
    most, ended = view.config.docks_per_loop, view.new_ends
    if most is None:
        return RuleResult("docks_per_loop is not set: any number may start at once.")
    if view.state.trigger is Trigger.TIMER:
        most = max(most, ended)
        return RuleResult(f"docks_per_loop lets {most} pilots start in this pass.", most)
    return RuleResult(
        f"Between two timer passes only pilots that ended are replaced: {ended}.", ended
    )


RULES: Mapping[str, Rule] = {
    "engine": describe_engine,
    "protection": describe_protection,
    "image": require_image,
    "mode": obey_admin,
    "max_ttl": limit_age,
    "disk": limit_disk,
    "pressure": relieve_memory,
    "window": follow_calendar,
    "lifetime": describe_lifetime,
    "squeezed": give_up_starving,
    "grace_kill": evict_excess,
    "grace_spawn": pause_after_eviction,
    "breaker": break_on_failures,
    "no-work": back_off_without_work,
    "max_docks": partial(limit_number, "max_docks"),
    "memory": partial(limit_number, "memory"),
    "cpu": partial(limit_number, "cpu"),
    "pace": limit_pace,
}
