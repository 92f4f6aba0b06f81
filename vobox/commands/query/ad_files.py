"""Job ads from a file that the caller names: a user log, or what -long or -json printed."""

from __future__ import annotations

import json
import os
import re
import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from thyme.protocol.job import JobId
from vobox.classad.ad import Ad, convert_old_syntax, literal
from vobox.client.user_log import LogEvent
from vobox.commands.command_line import EarlyExit
from vobox.jobs.status import COMPLETED, HELD, IDLE, REMOVED, RUNNING, SUSPENDED
from vobox.rpc.types import OwnerFiles, QueueView, Request

#: Characters of a file, and jobs in it: all are in the schedd's memory together.
MAX_CHARACTERS: Final = 16 * 1024 * 1024
MAX_ADS: Final = 50_000
_ATTRIBUTE: Final = re.compile(r"([A-Za-z_][A-Za-z0-9_.]*)\s*=\s*(.+)\Z")
_HOST: Final = re.compile(r"SlotName: (.*)")
_EXIT: Final = re.compile(
    r"\((?:1\) Normal|0\) Abnormal) termination \((return value|signal) (-?\d+)\)"
)
_CODES: Final = re.compile(r"\tCode (-?\d+) Subcode (-?\d+)")
_REMOTE: Final = re.compile(
    r"Usr (\d{1,9}) (\d\d):(\d\d):(\d\d), Sys (\d{1,9}) (\d\d):(\d\d):(\d\d)  -  Run Remote"
)
_BYTES: Final = re.compile(r"\t(\d+)  -  Run Bytes (Sent|Received) By Job")
_SIZES: Final = re.compile(r"(?<!\d)(\d+)  -  (MemoryUsage|ResidentSetSize) of job")
_NAME: Final = re.compile(r'JobBatchName = "(.*)"')
#: JobStatus after an event.
_STATUSES: Final = {
    0: IDLE, 1: RUNNING, 4: IDLE, 5: COMPLETED, 9: REMOVED, 10: SUSPENDED, 11: RUNNING, 12: HELD,
    13: IDLE,
}  # fmt: skip


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
        return iter(self._ads)

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
    option: str, name: str, request: Request, files: OwnerFiles | None
) -> Sequence[Ad]:
    """Return the ads of the file that ``-userlog`` or ``-jobads`` names; see ``read_file``."""
    read = read_user_log if option == "userlog" else read_ads
    text = read_file(option, name, request, files)
    try:
        if len(text) > MAX_CHARACTERS:
            raise ValueError(
                f"it has {len(text)} characters; at most {MAX_CHARACTERS} are read, so name a part"
            )
        return read(text)
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


def read_ads(text: str) -> list[Ad]:
    """Return the ads of a text: ``-json`` prints a list, ``-long`` an empty line after each.

    Raises ValueError; RecursionError for lists within lists without end.
    """
    if text.lstrip().startswith(("[", "{")):
        return _read_json(text)
    ads: list[Ad] = []
    ad = Ad()
    for line in [*text.splitlines(), ""]:
        match = _ATTRIBUTE.match(line.strip())
        if match is not None:
            ad[match[1]] = convert_old_syntax(match[2])
        elif not line.strip() or line.startswith("***"):
            if ad:
                _check_number(len(ads))
                ads.append(ad)
            ad = Ad()
    return ads


def _check_number(already: int) -> None:
    """Raise ValueError where one more ad is too much."""
    if already >= MAX_ADS:
        raise ValueError(f"it has more than {MAX_ADS} jobs; name a part of the file")


def _read_json(text: str) -> list[Ad]:
    try:
        found = json.loads(text)
    except ValueError as error:
        raise ValueError(f"this is neither -json nor -long of condor_q: {error}") from None
    found = found if isinstance(found, list) else [found]
    _check_number(len(found) - 1)
    return [
        Ad({name: _to_expression(value) for name, value in each.items()})
        for each in found
        if isinstance(each, dict)
    ]


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


def read_user_log(text: str) -> list[Ad]:
    """Return an ad for each job of a user log, with what its events tell; raises ValueError."""
    ads: dict[tuple[int, ...], Ad] = {}
    for event in _read_events(text):
        cluster, proc, _subproc = event.id
        ad = ads.setdefault(
            (cluster, proc), Ad({"ClusterId": str(cluster), "ProcId": str(proc), "JobStatus": "1"})
        )
        _check_number(len(ads) - 1)
        _apply(ad, event)
    return [ads[job] for job in sorted(ads)]


def _read_events(text: str) -> Iterator[LogEvent]:
    for piece in text.split("\n...\n"):
        if piece.strip():
            try:
                yield LogEvent(piece + "\n")
            except ValueError:
                raise ValueError(f"this is no user log: {piece[:60]!r}") from None


def _apply(ad: Ad, event: LogEvent) -> None:
    now, body = int(time.mktime(event.time)), event.body
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
    if found := _HOST.search(body):
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
