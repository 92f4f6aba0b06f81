"""The values of a decision: what is observed, what is remembered, what is done and why.

Everything here is a value.  ``None`` always means "not known" and is never
taken for zero.  Times called ``now``, ``since`` or ``at`` are seconds of one
monotonic clock; ages and intervals are seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum


class PilotState(str, Enum):
    """The state of a pilot."""

    STARTING = "starting"  #: created, its command does not run yet
    RUNNING = "running"
    STOPPING = "stopping"  #: asked to end; still uses the node
    EXITED = "exited"  #: ended; its remains wait to be removed


@dataclass(frozen=True)
class DiskUse:
    """What a pilot has written into its container, where the engine can tell."""

    written: int | None = None  #: bytes
    #: times in a row that the engine could not add it up, though it answers
    failures: int = 0


@dataclass(frozen=True)
class Pilot:
    """A pilot as its engine lists it."""

    id: str  #: the engine's handle
    name: str  #: ``plancton-worker-<6 chars>``
    state: PilotState
    #: seconds since its start; of an exited one, how long it lived
    age: float | None = None
    #: the main process on this node
    pid: int | None = None
    #: of an exited one: 0-255, or 128 + signal
    exit_code: int | None = None
    #: Plancton asked it to end, so its end says nothing about the node or the work
    asked_to_stop: bool = False
    #: CPU seconds used so far
    cpu_seconds: float | None = None
    memory_bytes: int | None = None
    disk: DiskUse = DiskUse()
    #: its command never ran: the engine, the image or the configuration is at fault
    never_ran: bool = False
    #: what the engine knows about a bad end, e.g. why the command could not run
    detail: str = ""
    #: digest of the image that it was made of, e.g. ``sha256:…``; "" without images
    image: str = ""


@dataclass(frozen=True)
class HostFacts:
    """What does not change while the node runs."""

    hostname: str
    ncpus: int
    ram_bytes: int
    swap_bytes: int
    #: of its clock: a name of the tz database, or a file in that format
    timezone: str = "UTC"


@dataclass(frozen=True)
class HostLoad:
    """The present load of the node."""

    #: CPUs in use by everybody, as a number of CPUs (2.5 = two and a half)
    busy_cpus: float | None = None
    #: CPUs in use by all pilots together
    pilots_cpus: float | None = None
    #: bytes that programs could still get without swapping (MemAvailable)
    mem_available: int | None = None
    #: bytes in use by all pilots together
    pilots_mem: int | None = None
    #: share of the last 10 s in which every task waited for memory, in percent (PSI): of those
    #: beside the pilots, where they are known; None on kernels without it, and then not used
    memory_stall: float | None = None

    @property
    def owner_cpus(self) -> float | None:
        """CPUs that the owner uses: everything that is not a pilot."""
        if self.busy_cpus is None or self.pilots_cpus is None:
            return None
        return max(0.0, self.busy_cpus - self.pilots_cpus)


@dataclass(frozen=True)
class PilotUsage:
    """What one pilot uses."""

    cpu_seconds: float
    memory_bytes: int
    disk: DiskUse = DiskUse()


@dataclass(frozen=True)
class Usage:
    """What the pilots use, from one reading.

    ``cpu_seconds`` is the CPU time of all pilots together, those that ended included,
    counted from any fixed moment: only differences mean something.
    """

    cpu_seconds: float
    #: None: the engine cannot tell
    memory_bytes: int | None
    #: by pilot id, as far as the engine can tell them apart
    pilots: Mapping[str, PilotUsage] = field(default_factory=dict)
    #: share of the last 10 s in which everything beside the pilots waited for memory, in percent;
    #: None where that is not known
    stall_beside: float | None = None


@dataclass(frozen=True)
class ImageStatus:
    """The image that new pilots are made from."""

    wanted: str  #: as configured
    name: str = ""  #: the one in use, which stays while the wanted one cannot be had; "": none
    digest: str = ""  #: of the one in use
    pulling: str = ""  #: how far a pull is; "" when none is under way
    problem: str = ""  #: why the last pull failed
    #: seconds since the registry last gave it; None: not since the daemon began
    age: float | None = None


@dataclass(frozen=True)
class Protection:
    """How the owner is protected from the pilots, as far as the node allows."""

    group: str  #: where, for people
    cpu: str = ""  #: "idle", "weight" or "" (not at all)
    memory: int | None = None  #: bytes for all pilots together, if there is a ceiling
    problems: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()  #: what something else has changed, for people
    #: the group inside which alone ``cpu`` holds; "": everywhere
    inside: str = ""

    @property
    def cpu_is_idle(self) -> bool:
        """Whether pilots get the CPU only when nothing else on the node wants it."""
        return self.cpu == "idle" and not self.inside

    @property
    def sentence(self) -> str:
        """One sentence for ``explain``."""
        cpu = {
            "idle": "pilots get the CPU only when nobody else wants it (cpu.idle)",
            "weight": "pilots get the CPU with the lowest weight (this kernel has no cpu.idle)",
            "": "the pilots' CPU is not held back, so the owner is protected by eviction alone",
        }[self.cpu]
        ceiling = "" if self.memory is None else f", {self.memory / 1e9:.1f} GB at most for all"
        inside = (
            f", but only inside {self.inside}: against all outside it they have its share"
            if self.inside
            else ""
        )
        why = "".join(f"; {text}" for text in (*self.problems, *self.changes))
        return f"Control group {self.group}: {cpu}{inside}{ceiling}{why}."


@dataclass(frozen=True)
class Prepared:
    """What an engine prepares beside the pilots; None where it has no such thing."""

    image: ImageStatus | None = None
    protection: Protection | None = None


class Mode(str, Enum):
    """What the admin wants the node to do."""

    ACTIVE = "active"
    DRAIN = "drain"  #: start nothing, let pilots end by themselves
    DRAIN_STOP = "drain-stop"  #: the same, and the daemon ends after the last of them
    FORCE_STOP = "force-stop"  #: end every pilot now, then the daemon


class Trigger(str, Enum):
    """Why the loop makes a pass."""

    TIMER = "timer"
    EVENT = "event"


@dataclass(frozen=True)
class NoWork:
    """The back-off while pilots find nothing to do; at level 0 there is none."""

    level: int = 0
    #: from then on one pilot may try: only one that started then is a probe
    next_probe: float = 0.0
    #: seconds that the most patient pilot waited before it gave up
    patience: float = 0.0


@dataclass(frozen=True)
class Breaker:
    """The circuit breaker for pilots that fail; at level 0 it is closed (all is well)."""

    failures: int = 0  #: in a row
    level: int = 0
    #: as for NoWork
    next_probe: float = 0.0
    #: seconds that the slowest failing pilot lived
    patience: float = 0.0
    reason: str = ""  #: the last failure


@dataclass(frozen=True)
class PilotShare:
    """What a running pilot got of the CPU that it could use, since it was first seen."""

    id: str
    cpu_seconds: float
    #: when that was read
    at: float
    #: for how many seconds it has got no CPU, because the owner used it; 0: it got some
    starved: float = 0.0
    #: seconds of its life in which the owner used the CPU that it could have had
    squeezed: float = 0.0
    #: seconds of its life in which it used no CPU although it could have had some
    unused: float = 0.0


@dataclass(frozen=True)
class IdleRecord:
    """How long the node's idle periods have lasted so far: what ``policy.lifetime`` learns.

    The first two tuples are by age of a period (``policy.lifetime.AGES``), the other two by hour
    of the week in UTC; older periods count for less and less.
    """

    #: times at which at least one period ended
    ends: float = 0.0
    #: periods that ended at this age
    ended: tuple[float, ...] = ()
    #: seconds that periods of this age were watched
    watched: tuple[float, ...] = ()
    #: periods that ended in this hour, and how many that should be if all hours were alike
    hour_ended: tuple[float, ...] = ()
    hour_expected: tuple[float, ...] = ()


@dataclass(frozen=True)
class IdleSince:
    """Since when the node has had room for one pilot, for two, and so on."""

    #: the first since the longest time; where memory or CPU was never enough, it ends before
    since: tuple[float, ...] = ()
    #: up to when these periods are in the record
    counted: float = 0.0
    #: since when there is room for fewer, and for how many at most meanwhile
    fewer_since: float | None = None
    fewer: int = 0


@dataclass(frozen=True)
class Expectation:
    """For how many seconds a pilot that starts now may expect to live, and why that is told."""

    seconds: float
    why: str
    #: the same if the node never closed; None: not known
    unclosed: float | None = None


@dataclass(frozen=True)
class ToldPilot:
    """What a pilot was told when it started, and why it was asked to end, if it was."""

    id: str
    #: None: not how long it may live
    life: Expectation | None = None
    #: in seconds since 1970
    started: float = 0.0
    stop_reason: str = ""


@dataclass(frozen=True)
class History:
    """What one decision passes to the next."""

    owner_cpus: float | None = None  #: smoothed
    owner_at: float = 0.0
    #: since when pilots have started or ended in every pass; None: not in the last one
    churn_since: float | None = None
    acted: bool = False  #: the last decision started, stopped or removed pilots
    #: bytes that the owner left (available, and what pilots hold) and when; how fast (bytes/s)
    #: they grew less
    room: int | None = None
    room_at: float = 0.0
    room_loss: float = 0.0
    over_since: float | None = None
    last_eviction: float | None = None
    no_work: NoWork = field(default_factory=NoWork)
    breaker: Breaker = field(default_factory=Breaker)
    #: of running pilots whose CPU time is known
    shares: tuple[PilotShare, ...] = ()
    idle: IdleSince = field(default_factory=IdleSince)
    record: IdleRecord = field(default_factory=IdleRecord)
    #: pilots that this daemon, or one before it, started or asked to end
    told: tuple[ToldPilot, ...] = ()
    #: when the node closes, as pilots were last told, in seconds since 1970; and an end that they
    #: were told of and that will not come
    told_end: float | None = None
    withdrawn_end: float | None = None
    #: ids of exited pilots that were counted and whose removal is not done yet
    judged: frozenset[str] = frozenset()
    #: what the pilots were that ``no_work`` and ``breaker`` are about; "" where not known
    pilot_config: str = ""
    pilot_image: str = ""
    #: when these two were last forgotten: pilots that started before are not counted
    forgotten_at: float | None = None


@dataclass(frozen=True)
class NodeState:
    """Everything that a decision depends on, except the configuration and the time."""

    facts: HostFacts
    load: HostLoad
    #: None: the engine did not answer
    pilots: tuple[Pilot, ...] | None
    mode: Mode = Mode.ACTIVE
    #: when the admin ends pilots that still run, in seconds since 1970; None: he does not
    drain_deadline: float | None = None
    trigger: Trigger = Trigger.TIMER
    history: History = field(default_factory=History)
    #: why the engine did not answer
    engine_problem: str = ""
    prepared: Prepared = field(default_factory=Prepared)
    #: seconds since 1970: what the windows go by, and nothing else
    wall: float = 0.0
    #: the admin wants pilots to be tried again, whatever was learned from failures
    retry: bool = False


@dataclass(frozen=True)
class StartPilots:
    """Start ``count`` pilots."""

    count: int
    #: how long each of them is expected to live (None: not known); empty: not known of any of them
    lives: tuple[Expectation | None, ...] = ()
    #: when the node closes, in seconds since 1970; None: never, or not known
    closes: float | None = None


@dataclass(frozen=True)
class StopPilot:
    """Ask a pilot to end; kill it after ``grace`` seconds."""

    pilot: Pilot
    grace: float
    reason: str


@dataclass(frozen=True)
class RemovePilot:
    """Remove what an exited pilot left."""

    pilot: Pilot


Action = StartPilots | StopPilot | RemovePilot


@dataclass(frozen=True)
class Reason:
    """What one rule says, in one sentence.

    ``room`` is how many starts it allows (None: no limit).
    """

    rule: str
    room: int | None
    text: str


@dataclass(frozen=True)
class Capacity:
    """How many pilots this node can hold; None where a reading is missing."""

    start: int | None  #: up to here pilots are started
    keep: int | None  #: beyond this for ``grace_kill`` seconds, pilots are evicted


@dataclass(frozen=True)
class Decision:
    """What to do, why, and what to remember."""

    actions: tuple[Action, ...]
    reasons: tuple[Reason, ...]
    capacity: Capacity
    history: History
    #: one sentence: what was decided and which rule decided it
    summary: str
    #: seconds until a rule may change its mind by the passing of time alone
    recheck_after: float | None = None
    #: shares of running pilots, by id, where there is not enough CPU for all; (): all get the same
    weights: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True)
class EndedPilot:
    """A pilot that ended, for the status document and the metrics."""

    name: str
    exit_code: int | None
    lived: float | None
    ended: float
    asked_to_stop: bool
    detail: str
    #: what its end says: ``normal``, ``no work``, ``failure`` or ``says nothing``
    outcome: str = ""
    #: its command ran
    ran: bool = True
    #: why Plancton asked it to end; "": it did not, or that is not known
    stop_reason: str = ""


@dataclass(frozen=True)
class LoopPass:
    """What one pass of the loop observed and decided."""

    decision: Decision
    pilots: tuple[Pilot, ...] | None
    load: HostLoad
    mode: Mode
    engine_problem: str
    #: settings of the configuration that could not be put to use
    settings_problem: str = ""
    prepared: Prepared = field(default_factory=Prepared)
    #: what does not work and is tried again, e.g. a container that cannot be removed
    problems: tuple[str, ...] = ()
    #: pilots whose end was seen in this pass
    ends: tuple[EndedPilot, ...] = ()
    #: seconds that the pass took
    took: float = 0.0
