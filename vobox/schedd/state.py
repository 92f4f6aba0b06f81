"""What the schedd knows besides its ledger, for as long as it runs.

Connections to the broker come and go (``session.py``); this stays. Nothing here
is needed after a restart: it is made again from the ledger, the stream and the
workers' mail.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from thyme.protocol.job import JobId
from vobox.files.history_files import HistoryFiles
from vobox.files.owner_threads import OwnerThreads
from vobox.files.user_logs import UserLogs
from vobox.jobs.job import ControlMessage
from vobox.jobs.requirements import MatchingJobs
from vobox.ledger.snapshot import LedgerSnapshot
from vobox.ledger.writer import Ledger
from vobox.metrics.points import Tally
from vobox.workers.leases import Leases
from vobox.workers.slot_ads import list_pilot_ads
from vobox.workers.slots import Slots

from .failed_submits import FailedSubmits
from .former_connection import FormerConnection
from .health import Health
from .lanes import LaneSettings, LaneWatch
from .owner_limits import OwnerLimits, WaitingMessages
from .policy_scan import PolicyScan
from .queue_watch import QueueWatch
from .snapshots import Snapshots
from .start_pauses import StartPauses
from .timers import Timers


@dataclass(frozen=True)
class Settings:
    """The schedd's settings, from the command line.

    ``name``: the schedd's; ``pool``: where its jobs are queued; ``lease``: seconds that
    a running job is believed without news, unless it asks for another lease;
    ``policy_interval``: seconds between scans of the jobs' policies; ``max_attempts``:
    a job that lost so many workers is held; ``history_dir``: see ``history_files.py``;
    ``owns_history``: whether that is our own, which holds the newest files alone;
    ``log_file``: the file to which standard error goes, if it is one;
    ``spool``: the directory of the ledger; ``serves_root``: whether uid 0 of a command's
    process, which may be that of another container, is believed to be ours;
    ``lanes``: which jobs wait apart from the others; ``max_jobs_per_owner``,
    ``max_jobs_per_submission``, ``max_bytes_per_owner``: see ``owner_limits.py``.
    """

    name: str
    pool: str = "alien_jobs"
    lease: float = 300.0
    policy_interval: float = 60.0
    max_attempts: int = 5
    history_dir: Path | None = None
    owns_history: bool = False
    log_file: Path | None = None
    spool: Path | None = None
    serves_root: bool = True
    lanes: LaneSettings = field(default_factory=LaneSettings)
    max_jobs_per_owner: int = 2_000_000
    max_jobs_per_submission: int = 20_000
    max_bytes_per_owner: int = 10_000_000_000


@dataclass
class StreamCounts:
    """What was read of the stream since the start."""

    records: int = 0
    #: records that could not be read, or not be applied to their job
    unreadable: int = 0
    #: records whose sender may not write what they say
    forged: int = 0
    #: routing keys, and users, of forged records that were logged
    forged_keys: set[str] = field(default_factory=set)


class ScheddState:
    """The parts of the schedd that outlive a connection. For the schedd's own thread.

    ``clock``: monotonic seconds; ``wall``: epoch seconds. Raises ForeignLedger.
    """

    def __init__(
        self,
        settings: Settings,
        ledger: Ledger,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        ledger.check_owner(settings.name)
        self.settings = settings
        self.ledger = ledger
        self.clock = clock
        self.wall = wall
        self.timers = Timers(clock)
        self.health = Health(ledger.path.parent, clock)
        self.former_connection = FormerConnection(settings.name, clock, wall)
        self.leases = Leases(settings.lease)
        self.slots = Slots()
        self.start_pauses = StartPauses()
        self.snapshots = Snapshots(settings.name, ledger)
        self.queue_watch = QueueWatch(settings.lease)
        self.lane_watch = LaneWatch()
        #: pool → offset up to which the messages of jobs that wait were lost
        self.lost_messages: dict[str, int] = {}
        self.failed_submits = FailedSubmits(settings.name, ledger)
        self.waiting_messages = WaitingMessages(self.queue_watch)
        self.owner_limits = OwnerLimits(
            ledger, self.waiting_messages, settings.max_jobs_per_owner,
            settings.max_bytes_per_owner, clock,
        )  # fmt: skip
        self.matching_jobs = MatchingJobs(settings.policy_interval)
        self.policy_scan = PolicyScan(settings.name, ledger, self.leases.live.attributes)
        #: where ads of jobs that left the queue are written; None for nowhere
        self.history = (
            HistoryFiles(
                settings.history_dir,
                lambda: LedgerSnapshot(ledger.path, settings.name, "", ""),
                settings.owns_history,
                wall,
                lambda: self.health.is_in_command,
            )
            if settings.history_dir
            else None
        )
        #: counts what happens to jobs, for the metrics; None where nobody asked for them
        self.tally: Tally | None = None
        self.stream = StreamCounts()
        #: the held jobs, each with its pool and the name of the reason; None: not known yet
        self.held: dict[JobId, tuple[str, str]] | None = None
        #: jobs whose user log may hold events that the ledger does not know to be written
        self.recovered: set[JobId] = set()
        #: to be sent to workers
        self.control_messages: list[tuple[JobId, ControlMessage]] = []
        self.owner_threads = OwnerThreads()
        self.user_logs = UserLogs(ledger, self.owner_threads)
        #: messages of the pool and its lanes that no worker has taken; None: not known
        self.queue_depth: int | None = None

    def list_pilots(self) -> Iterator[Mapping[str, str]]:
        """Yield the ads of the pilots that are known, from any thread."""
        return list_pilot_ads(self.slots, self.wall())
