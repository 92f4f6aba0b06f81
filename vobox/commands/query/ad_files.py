"""Job ads from a file that the caller names: a user log, or what -long or -json printed."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from thyme.protocol.job import JobId
from vobox.classad.ad import Ad, convert_old_syntax, literal
from vobox.client.user_log import LogEvent
from vobox.commands.command_line import EarlyExit
from vobox.jobs.status import COMPLETED, HELD, IDLE, REMOVED, RUNNING, SUSPENDED
from vobox.rpc.types import OwnerFiles, QueueView, Request

#: Characters of a file, jobs in it, and attributes of all of them: all are in the schedd's memory
#: together, an attribute with 250 bytes.
MAX_CHARACTERS: Final = 16 * 1024 * 1024
MAX_ADS: Final = 50_000
MAX_ATTRIBUTES: Final = 1_000_000
_ATTRIBUTE: Final = re.compile(r"([A-Za-z_][A-Za-z0-9_.]*)\s*=\s*(.+)\Z")
_SLOT: Final = re.compile(r"SlotName: (.*)")
_HOST: Final = re.compile(r"Job executing on host: (.*)")
_EXIT: Final = re.compile(
    r"\((?:1\) Normal|0\) Abnormal) termination \((return value|signal) (-?\d+)\)"
)
_CODES: Final = re.compile(r"\tCode (-?\d+) Subcode (-?\d+)")
_REMOTE: Final = re.compile(
    r"Usr (\d{1,9}) (\d\d):(\d\d):(\d\d), Sys (\d{1,9}) (\d\d):(\d\d):(\d\d)  -  Run Remote"
)
_BYTES: Final = re.compile(r"\t(\d+)  -  Run Bytes (Sent|Received) By Job")
_SIZES: Final = re.compile(r"(?<!\d)(\d+)  -  (MemoryUsage|ResidentSetSize) of job")
#: What a user log begins with, maybe the half of an event that is being written.
_BEGINNING: Final = re.compile(r"\s*\d{3} \(")
_NAME: Final = re.compile(r'JobBatchName = "(.*)"')
#: JobStatus after an event.
_STATUSES: Final = {
    0: IDLE, 1: RUNNING, 4: IDLE, 5: COMPLETED, 9: REMOVED, 10: SUSPENDED, 11: RUNNING, 12: HELD,
    13: IDLE,
}  # fmt: skip


class TooLarge(ValueError):
    """There is more than the schedd's memory may hold for one query."""


class AdCount:
    """Counts jobs and their attributes that are in memory together."""

    def __init__(self, what: str) -> None:
        """Count from 0; ``what``: has them, for the error."""
        self._what = what
        self._jobs = self._attributes = 0

    def add_job(self) -> None:
        """Count one more; raises TooLarge."""
        self._jobs += 1
        if self._jobs > MAX_ADS:
            raise TooLarge(f"{self._what} more than {MAX_ADS} jobs; name a part of it")

    def add_attributes(self, number: int = 1) -> None:
        """Count so many more; raises TooLarge."""
        self._attributes += number
        if self._attributes > MAX_ATTRIBUTES:
            raise TooLarge(f"{self._what} more than {MAX_ATTRIBUTES} attributes; name a part of it")


class FileView:
    """A ``QueueView`` whose queue is the ads of a file."""

    def __init__(self, ads: Sequence[Ad], schedd: QueueView) -> None:
        """``schedd`` tells its name and address, and of pilots."""
        self._ads = ads
        self._schedd = schedd
        self.schedd_name = schedd.schedd_name
        self.address = schedd.address
        self.trouble, self.is_partial = "", False  # a file cannot be out of date

    def read_jobs(
        self,
        clusters: Sequence[int] | None = None,
        owners: Sequence[str] | None = None,
        statuses: Collection[int] | None = None,
    ) -> Iterator[Ad]:
        """Yield all ads."""
        for ad in self._ads:
            yield ad
            self.pause()

    def pause(self) -> None:
        """Let others compute, if it is time."""
        self._schedd.pause()

    def begin_keeping_many(self) -> None:
        """Wait for the caller's other queries that keep many ads."""
        self._schedd.begin_keeping_many()

    def read_history(
        self, clusters: Sequence[int] | None = None, oldest_first: bool = False
    ) -> Iterator[Ad]:
        """Yield nothing: the file has no history."""
        return iter(())

    def count_jobs(self, owner: str | None = None) -> Mapping[int, int]:
        """Return how many jobs there are of each JobStatus."""
        return Counter(
            ad.number("JobStatus")
            for ad in self._ads
            if owner is None or ad.text("Owner").lower() == owner.lower()
        )

    def count_queued_before(self, job: JobId) -> int | None:
        """Return None: the jobs of a file are in no queue."""
        return None

    def read_slots(self) -> Iterator[Ad]:
        """Yield the pilots' ads."""
        return self._schedd.read_slots()


def read_ads_from(
    option: str, name: str, request: Request, files: OwnerFiles | None, view: QueueView
) -> Sequence[Ad]:
    """Return the ads of the file that ``-userlog`` or ``-jobads`` names; see ``read_file``.

    ``view``: is told that this takes its time.
    """
    read = read_user_log if option == "userlog" else read_ads
    text = read_file(option, name, request, files)
    try:
        if len(text) > MAX_CHARACTERS:
            raise ValueError(
                f"it has {len(text)} characters; at most {MAX_CHARACTERS} are read, so name a part"
            )
        return read(text, view.pause)
    except (ValueError, RecursionError) as error:
        raise EarlyExit(f"Error: -{option} {name}: {error}\n") from None


def read_file(option: str, name: str, request: Request, files: OwnerFiles | None) -> str:
    """Return the text of the file that an option names, read with the caller's rights.

    ``files``: None: only a caller who is the user that this process runs as may read. Raises
    EarlyExit.
    """
    path = os.path.join(request.cwd, name)  # noqa: PTH118 - a joined text, not a path to walk
    if files is None and request.uid != os.geteuid():
        raise EarlyExit(
            f"Error: -{option} {name}: this schedd cannot read files with your rights\n"
        )
    try:
        content = files.read(path) if files is not None else Path(path).read_bytes()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        what = "opening history file" if option == "file" else f"-{option}"
        colon = "" if option == "file" else ":"
        raise EarlyExit(f"Error{colon} {what} {name}: {reason}\n") from None
    return content.decode("utf-8", "replace")


def read_ads(text: str, pause: Callable[[], None] = lambda: None) -> list[Ad]:
    """Return the ads of a text: ``-json`` prints a list, ``-long`` an empty line after each.

    ``pause`` is called often. Raises ValueError; RecursionError for lists within lists without end.
    """
    if text.lstrip().startswith(("[", "{")):
        return _read_json(text, pause)
    ads: list[Ad] = []
    ad = Ad()
    count = AdCount("it has")
    for line in [*text.splitlines(), ""]:
        pause()
        match = _ATTRIBUTE.match(line.strip())
        if match is not None:
            count.add_attributes()
            ad[match[1]] = convert_old_syntax(match[2])
        elif not line.strip() or line.startswith("***"):
            if ad:
                count.add_job()
                ads.append(ad)
            ad = Ad()
    return ads


def read_history(
    text: str, oldest_first: bool = False, pause: Callable[[], None] = lambda: None
) -> Iterator[Ad]:
    """Yield the jobs of a history file, newest (the last one) first by default.

    A job's ad is lines ``Attr = value``, closed by a banner ``*** ...``. Lines without a banner
    after them are not a job of the file: the per-job files that ARC reads itself have none.
    Other lines are skipped. ``pause`` is called often. Raises TooLarge.
    """
    for begin, end in _find_ads(text, oldest_first):
        ad = Ad()
        count = AdCount("a job of the file has")
        count.add_attributes(text.count("\n", begin, end))
        for line in text[begin:end].split("\n"):
            pause()
            match = _ATTRIBUTE.match(line.strip())
            if match is not None:
                ad[match[1]] = convert_old_syntax(match[2])
        if ad:
            yield ad


def _find_ads(text: str, oldest_first: bool) -> Iterator[tuple[int, int]]:
    """Yield where each ad of a history file begins, with the banner before it, and ends."""
    if oldest_first:
        begin = 0
        while (end := text.find("\n***", begin)) >= 0:
            yield begin, end
            begin = end + 1
        return
    end = text.rfind("\n***")
    while end >= 0:
        begin = text.rfind("\n***", 0, end)
        yield begin + 1, end
        end = begin


def _read_json(text: str, pause: Callable[[], None]) -> list[Ad]:
    try:
        found = json.loads(text)
    except ValueError as error:
        raise ValueError(f"this is neither -json nor -long of condor_q: {error}") from None
    ads = []
    count = AdCount("it has")
    for each in found if isinstance(found, list) else [found]:
        pause()
        if isinstance(each, dict):
            count.add_job()
            count.add_attributes(len(each))
            ads.append(Ad({name: _to_expression(value) for name, value in each.items()}))
    return ads


def _to_expression(value: Any) -> str:
    if value is None:
        return "undefined"
    if isinstance(value, str):
        if value.startswith("/Expr(") and value.endswith(")/"):
            return value[len("/Expr(") : -len(")/")]
        return literal(value)
    if isinstance(value, list):
        return "{ " + ",".join(map(_to_expression, value)) + " }"
    if isinstance(value, dict):
        inner = "; ".join(f"{name} = {_to_expression(each)}" for name, each in value.items())
        return f"[ {inner} ]"
    return literal(value)


def read_user_log(text: str, pause: Callable[[], None] = lambda: None) -> list[Ad]:
    """Return an ad for each job of a user log, with what its events tell; raises ValueError.

    ``pause`` is called often.
    """
    ads: dict[tuple[int, ...], Ad] = {}
    count = AdCount("it has")
    for event in _read_events(text):
        pause()
        cluster, proc, _subproc = event.id
        if (cluster, proc) not in ads:
            count.add_job()
            ads[cluster, proc] = Ad(
                {
                    "ClusterId": str(cluster), "ProcId": str(proc), "JobStatus": "1",
                    "JobPrio": "0", "Cmd": '"???"',
                }
            )  # fmt: skip
        _apply(ads[cluster, proc], event)
    return [ads[job] for job in sorted(ads)]


def _read_events(text: str) -> Iterator[LogEvent]:
    """Yield the whole events up to what is none, as HTCondor's reader does.

    Raises ValueError for a text that does not begin with an event.
    """
    *whole, rest = f"\n{text}".replace("\r\n", "\n").split("\n...\n")
    for number, piece in enumerate(whole or [rest]):
        try:
            event = LogEvent(piece + "\n")
        except ValueError:
            if number or _BEGINNING.match(piece):
                return
            if piece.strip():
                raise ValueError(f"this is no user log: {piece[1:61]!r}") from None
            continue
        if whole:
            yield event


def _apply(ad: Ad, event: LogEvent) -> None:
    now, body = event.time, event.body
    lines = body.splitlines()
    status = _STATUSES.get(event.number)
    if status is not None:
        ad["JobStatus"] = str(status)
        ad["EnteredCurrentStatus"] = str(now)
    if event.number == 0:
        ad["QDate"] = str(now)
        if found := _NAME.search(body):
            batch = Ad({"JobBatchName": f'"{found[1]}"'})
            ad["JobBatchName"] = literal(batch.text("JobBatchName", found[1]))
    elif event.number == 1:
        _apply_start(ad, body, now)
    elif event.number == 6:
        for size, name in _SIZES.findall(body):
            ad[name] = size
        ad["ImageSize"] = (re.findall(r"updated: (\d+)", body) or ["0"])[0]
    elif event.number == 9:
        ad["RemoveReason"] = literal("".join(lines[1:2]).strip())
    elif event.number == 12:
        ad["HoldReason"] = literal("".join(lines[1:2]).strip())
        if codes := _CODES.search(body):
            ad["HoldReasonCode"], ad["HoldReasonSubCode"] = codes[1], codes[2]
    elif event.number == 13:
        for name in ("HoldReason", "HoldReasonCode", "HoldReasonSubCode"):
            ad.pop(name, None)
    if event.number in (4, 5):
        _apply_end(ad, body, now)
    if event.number == 5:
        ad["CompletionDate"] = str(now)


def _apply_start(ad: Ad, body: str, now: int) -> None:
    ad.setdefault("JobStartDate", str(now))
    ad["JobCurrentStartDate"] = str(now)
    ad["NumJobStarts"] = str(ad.number("NumJobStarts") + 1)
    if found := _SLOT.search(body) or _HOST.match(body):
        ad["RemoteHost"] = literal(found[1].strip())


def _apply_end(ad: Ad, body: str, now: int) -> None:
    ad["RemoteWallClockTime"] = literal(float(max(now - ad.number("JobCurrentStartDate", now), 0)))
    if host := ad.pop("RemoteHost", None):
        ad["LastRemoteHost"] = host
    if found := _EXIT.search(body):
        by_signal = found[1] == "signal"
        ad["ExitBySignal"] = literal(by_signal)
        ad["ExitSignal" if by_signal else "ExitCode"] = found[2]
    if found := _REMOTE.search(body):
        user, system = _count_seconds(found.groups()[:4]), _count_seconds(found.groups()[4:])
        ad["RemoteUserCpu"], ad["RemoteSysCpu"] = literal(user), literal(system)
    for size, way in _BYTES.findall(body):
        ad["BytesSent" if way == "Sent" else "BytesRecvd"] = literal(float(size))


def _count_seconds(parts: Sequence[str]) -> float:
    days, hours, minutes, seconds = map(int, parts)
    return float(((days * 24 + hours) * 60 + minutes) * 60 + seconds)
