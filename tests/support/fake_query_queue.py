"""A job queue in memory for tests of the query commands."""

import os
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.support.schedd_parts import NOW, Expression, Value
from thyme.protocol.job import JobId
from vobox.classad.ad import Ad, literal, quote
from vobox.rpc.types import Answer, QueueView, Request


@dataclass
class FakeQueue:
    """A QueueView in memory: the lists are the contents of the ledger."""

    queue: list[Ad] = field(default_factory=list)
    #: newest first
    left: list[Ad] = field(default_factory=list)
    machines: list[Ad] = field(default_factory=list)
    trouble: str = ""
    is_partial: bool = False
    schedd_name: str = "vobox1.example.org"
    address: str = "<127.0.0.1:36097?addrs=127.0.0.1-36097&alias=vobox1>"
    #: the ads that a query made us read
    read: int = 0

    def pause(self) -> None:
        """Nobody else waits."""

    def begin_keeping_many(self) -> None:
        """Nobody else keeps anything."""

    def read_jobs(
        self,
        clusters: Sequence[int] | None = None,
        owners: Sequence[str] | None = None,
        statuses: Collection[int] | None = None,
    ) -> Iterator[Ad]:
        return self._of(self.queue, clusters)

    def read_history(
        self, clusters: Sequence[int] | None = None, oldest_first: bool = False
    ) -> Iterator[Ad]:
        return self._of(self.left[:: -1 if oldest_first else 1], clusters)

    def count_jobs(self, owner: str | None = None) -> Mapping[int, int]:
        totals: dict[int, int] = {}
        for ad in self.queue:
            if owner is None or ad.text("Owner").lower() == owner.lower():
                status = ad.number("JobStatus")
                totals[status] = totals.get(status, 0) + 1
        return totals

    def count_queued_before(self, job: JobId) -> int | None:
        for number, ad in enumerate(self.queue):
            if job == JobId(ad.number("ClusterId"), ad.number("ProcId")):
                return number if ad.number("JobStatus") == 1 else None
        return None

    def read_slots(self) -> Iterator[Ad]:
        return iter(self.machines)

    def _of(self, ads: list[Ad], clusters: Sequence[int] | None) -> Iterator[Ad]:
        for ad in ads:
            if clusters is None or ad.number("ClusterId") in clusters:
                self.read += 1
                yield ad


def job(cluster: int = 1, proc: int = 0, status: int = 1, **attributes: Value | Expression) -> Ad:
    """Build a job as condor_submit makes it, with additional attributes."""
    ad = Ad(
        {
            "ClusterId": str(cluster),
            "ProcId": str(proc),
            "GlobalJobId": quote(f"vobox1.example.org#{cluster}.{proc}#1795353552"),
            "Owner": '"games"',
            "User": '"games@example.org"',
            "JobStatus": str(status),
            "QDate": "1795353552",  # 13:19:12
            "EnteredCurrentStatus": "1795353846",
            "JobUniverse": "5",
            "JobPrio": "0",
            "Cmd": '"/bin/sleep"',
            "Args": '"600"',
            "Iwd": '"/home/games"',
            "Environment": "\"A=1 B=x' 'y\"",
            "Requirements": '(TARGET.Arch == "X86_64") && (TARGET.Disk >= RequestDisk)',
            "RequestDisk": "DiskUsage",
            "DiskUsage": "43",
            "ImageSize": "43",
            "LeaveJobInQueue": "false",
            "ExitStatus": "0",
            "ExitBySignal": "false",
            "RemoteWallClockTime": "0.0",
            "RemoteUserCpu": "0.0",
            "TotalSubmitProcs": "1",
        }
    )
    if status == 2:
        ad["JobCurrentStartDate"] = "1795353846"
        ad["RemoteHost"] = '"slot1@node7"'
        ad["MemoryUsage"] = "((ResidentSetSize + 1023) / 1024)"
        ad["ResidentSetSize"] = "0"
    if status == 5:
        ad["HoldReason"] = '"bad code"'
        ad["HoldReasonCode"] = "3"
        ad["HoldReasonSubCode"] = "55"
    for name, value in attributes.items():
        ad[name] = value.text if isinstance(value, Expression) else literal(value)
    return ad


Command = Callable[[Request, QueueView, float], Answer]


def ask(
    command: Command,
    view: QueueView,
    *argv: str,
    user: str = "games",
    env: Mapping[str, str] | None = None,
    now: float = NOW,
    uid: int | None = None,
) -> Answer:
    """Run a command as a user; one that reads a file: as the user who runs the tests."""
    name = command.__module__.rpartition(".")[2]
    if uid is None:
        reads_file = name != "condor_q" or {"-userlog", "-jobads"} & set(argv)
        uid = os.geteuid() if reads_file else 5
    request = Request(name, argv, "/home/games", env or {}, uid, os.getegid(), user)
    return command(request, view, now)


def out(
    command: Command, view: QueueView, *argv: str, user: str = "games", uid: int | None = None
) -> str:
    """Return stdout of a command that must succeed, with nothing on stderr."""
    answer = ask(command, view, *argv, user=user, uid=uid)
    assert (answer.code, answer.stderr) == (0, ""), answer
    return answer.stdout


@contextmanager
def utc() -> Iterator[None]:
    """Local time is UTC inside."""
    before = os.environ.get("TZ")
    os.environ["TZ"] = "UTC"
    time.tzset()
    try:
        yield
    finally:
        if before is None:
            del os.environ["TZ"]
        else:
            os.environ["TZ"] = before
        time.tzset()
