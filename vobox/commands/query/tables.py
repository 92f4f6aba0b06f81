"""The tables with one row for each job: ``condor_q -nobatch``, ``-run``, ``-hold``, condor_history.

Widths are HTCondor's (contract, sections 3.2 and 4.2); Nextflow and DIRAC split
these rows on blanks, nipype looks for the cluster id at a row's start.
"""

from __future__ import annotations

from typing import Final, Literal

from vobox.classad.ad import Ad, read_integer
from vobox.classad.expressions import Evaluator
from vobox.jobs.status import RUNNING, SUSPENDED, TRANSFERRING_OUTPUT

from .renderers import format_date, format_duration

#: What the RUN_TIME column shows: all runs, the current run, or processor time.
Clock = Literal["wall", "current", "cpu"]

QUEUE_HEADER: Final = " ID      OWNER            SUBMITTED     %s_TIME ST PRI SIZE CMD\n"
DAG_HEADER: Final = " ID      OWNER/NODENAME      SUBMITTED     %s_TIME ST PRI SIZE CMD\n"
RUN_HEADER: Final = " ID      OWNER            SUBMITTED     %s_TIME HOST(S)\n"
IDLE_HEADER: Final = " ID      OWNER          UNIVERSE  CPUS MEMORY STARTS LAST_HOST\n"
FACTORY_HEADER: Final = (
    " ID      OWNER            SUBMITTED  LIMIT PRESNT   RUN    IDLE   HOLD NEXTID MODE DIGEST\n"
)
HOLD_HEADER: Final = " ID      OWNER          HELD_SINCE  CODE/SUB HOLD_REASON\n"
HISTORY_HEADER: Final = " ID          OWNER            SUBMITTED   RUN_TIME   ST   COMPLETED CMD\n"

_LETTERS: Final = {1: "I", 2: "R", 3: "X", 4: "C", 5: "H", 6: ">", 7: "S"}
_UNIVERSES: Final = {5: "Vanilla", 7: "Scheduler", 9: "Grid", 12: "Local"}
#: What each row begins with.
_START: Final = ("ClusterId", "ProcId", "Owner", "QDate")
_ON_A_NODE: Final = (RUNNING, TRANSFERRING_OUTPUT, SUSPENDED)


class TableRows:
    """Renders one job after the other."""

    def __init__(self, evaluator: Evaluator, clock: Clock = "wall", dag: bool = False) -> None:
        self._evaluator = evaluator
        self._clock = clock
        self._owner_width = 17 if dag else 14

    def render_queue(self, ad: Ad) -> str:
        """Render a row of ``condor_q -nobatch``."""
        priority = int(self._number(ad, "JobPrio"))
        return (
            f"{self._render_start(ad)} {self._get_letter(ad):<2} {priority:<3} "
            f"{self._compute_megabytes(ad):4.1f} {self.render_command(ad)}\n"
        )

    def render_run(self, ad: Ad) -> str:
        """Render a row of ``condor_q -run``."""
        return (
            f"{self._render_start(ad)} {sanitize_cell(self._evaluator.string(ad, 'RemoteHost'))}\n"
        )

    def render_idle(self, ad: Ad) -> str:
        """Render a row of ``condor_q -idle``."""
        universe = _UNIVERSES.get(ad.number("JobUniverse"), "")
        cpus, memory = (int(self._number(ad, f"Request{name}")) for name in ("Cpus", "Memory"))
        host = sanitize_cell(self._evaluator.string(ad, "LastRemoteHost")) or "undefined"
        return (
            f"{self._render_id(ad)} {self._render_owner(ad):<14} {universe:<9} {cpus:4} "
            f"{memory:6} {ad.number('NumJobStarts'):6} {host}\n"
        )

    def render_hold(self, ad: Ad) -> str:
        """Render a row of ``condor_q -hold``."""
        code = int(self._number(ad, "HoldReasonCode"))
        subcode = "    "  # a job submitted on hold has none
        if "HoldReasonSubCode" in ad:
            subcode = f"/{int(self._number(ad, 'HoldReasonSubCode')):<3}"
        since = format_date(self._number(ad, "EnteredCurrentStatus"))
        reason = sanitize_cell(self._evaluator.string(ad, "HoldReason"))
        owner = self._render_owner(ad)
        return f"{self._render_id(ad)} {owner:<14} {since} {code:4}{subcode} {reason}\n"

    def render_history(self, ad: Ad) -> str:
        """Render a row of condor_history."""
        job = f"{ad.number('ClusterId')}.{ad.number('ProcId')}"
        submitted = format_date(self._number(ad, "QDate"))
        ended = self._number(ad, "CompletionDate")
        completed = format_date(ended) if ended > 0 else ""
        ran = format_duration(self._number(ad, "RemoteWallClockTime"))
        return (
            f"{job:<12} {self._render_owner(ad):<14} {submitted} {ran} {self._get_letter(ad):<2} "
            f"{completed:<11} {self.render_command(ad)}\n"
        )

    def _render_start(self, ad: Ad) -> str:
        """Render id, owner, submit date and run time."""
        cluster, proc, owner, queued = ad.get_all(_START)
        user = sanitize_cell(self._evaluator.read_string(ad, owner))
        submitted = format_date(self._evaluator.read_number(ad, queued))
        ran = format_duration(self.compute_run_time(ad))
        job = f"{read_integer(cluster):4}.{read_integer(proc):<3}"
        return f"{job} {user:<{self._owner_width}} {submitted} {ran}"

    def _number(self, ad: Ad, name: str) -> float:
        return self._evaluator.number(ad, name)

    def _render_id(self, ad: Ad) -> str:
        return f"{ad.number('ClusterId'):4}.{ad.number('ProcId'):<3}"

    def _render_owner(self, ad: Ad) -> str:
        return sanitize_cell(self._evaluator.string(ad, "Owner"))

    @staticmethod
    def _get_letter(ad: Ad) -> str:
        return _LETTERS.get(ad.number("JobStatus"), " ")

    def compute_run_time(self, ad: Ad) -> float:
        """Return the seconds that RUN_TIME shows; RemoteWallClockTime grows when a run ends."""
        if self._clock == "cpu":
            return self._number(ad, "RemoteUserCpu")
        current = 0.0
        if ad.number("JobStatus") in _ON_A_NODE:
            started = self._number(ad, "JobCurrentStartDate")
            if started > 0:
                current = max(self._evaluator.now - started, 0)
                if self._clock == "current":
                    return current
        return self._number(ad, "RemoteWallClockTime") + current

    def _compute_megabytes(self, ad: Ad) -> float:
        """Return the memory used, or the image's size (KiB) before that is known."""
        used = self._evaluator.number(ad, "MemoryUsage", default=-1)
        return used if used >= 0 else self._number(ad, "ImageSize") / 1024

    def render_command(self, ad: Ad) -> str:
        """Return the job's description, or else its program and arguments."""
        description = self._evaluator.string(ad, "JobDescription")
        if description:
            return f"({sanitize_cell(description)})"
        name = self._evaluator.string(ad, "Cmd").rpartition("/")[2]
        arguments = self._evaluator.string(ad, "Arguments") or self._evaluator.string(ad, "Args")
        return sanitize_cell(f"{name} {arguments}" if arguments else name)


def sanitize_cell(text: str) -> str:
    """Remove from a text what would end the row or move the cursor."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else " " for char in text)
