"""A job's ad as it is stored, parsed no further than it is asked for.

A query over 100,000 jobs looks at a few attributes of each. What columns say needs no more than
the row; any other attribute is looked for in the decompressed text. Only an ad that is gone
through, or written again, is parsed as a whole.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from json.decoder import scanstring  # type: ignore[attr-defined]
from operator import itemgetter
from typing import Any, Final

from vobox.classad.ad import Ad, Items, lower

from .compression import Dictionaries

#: How most jobs' attributes are written. An ad's text has names in lower case, and those written
#: otherwise besides. To take a name away from here is another version of the schema.
_USUAL_NAMES: Final = """
    AccountingGroup AcctGroup AcctGroupUser AllowedExecuteDuration AllowedJobDuration Args
    Arguments BytesRecvd BytesSent ClusterId Cmd CommittedSlotTime CommittedSuspensionTime
    CommittedTime CompletionDate CondorPlatform CondorVersion CoreSize CumulativeRemoteSysCpu
    CumulativeRemoteUserCpu CumulativeSlotTime CumulativeSuspensionTime CurrentHosts DiskUsage
    DiskUsage_RAW EnteredCurrentStatus Env Environment Err ExecutableSize ExitBySignal ExitCode
    ExitSignal ExitStatus GlobalJobId HoldReason HoldReasonCode HoldReasonSubCode ImageSize
    ImageSize_RAW In Iwd JobBatchName JobCurrentStartDate JobCurrentStartExecutingDate
    JobDescription JobLastStartDate JobLeaseDuration JobNotification JobPrio JobRunCount
    JobStartDate JobStatus JobSubmitFile JobUniverse LastHoldReason LastHoldReasonCode
    LastHoldReasonSubCode LastJobLeaseRenewal LastJobStatus LastRemoteHost
    LastRemoteWallClockTime LastSuspensionTime LeaveJobInQueue MaxHosts MemoryUsage MinHosts
    MyType NumCkpts NumHolds NumJobCompletions NumJobStarts NumRestarts NumShadowStarts
    NumSystemHolds OnExitHold OnExitHoldReason OnExitHoldSubCode OnExitRemove Out Owner
    PeriodicHold PeriodicHoldReason PeriodicHoldSubCode PeriodicRelease PeriodicReleaseReason
    PeriodicRemove PeriodicRemoveReason ProcId QDate Rank ReleaseReason RemoteHost RemoteSysCpu
    RemoteUserCpu RemoteWallClockTime RemoveReason RequestCpus RequestDisk RequestGPUs
    RequestMemory Requirements ResidentSetSize ResidentSetSize_RAW ShouldTransferFiles
    StageInFinish StageInStart StreamErr StreamOut SubmitVersion TargetType TerminationPending
    TotalSubmitProcs TotalSuspensions TransferIn TransferInput TransferInputSizeMB
    TransferOutput User UserLog WantExternalCloud WantJobRouter WhenToTransferOutput
    x509UserProxyExpiration x509UserProxySubject x509userproxy
"""
_USUAL: Final = {name.lower(): name for name in _USUAL_NAMES.split()}
_encode: Final = json.JSONEncoder(separators=(",", ":")).encode


class Columns:
    """The columns of a row that hold the expressions of attributes."""

    def __init__(self, places: Mapping[str, int]) -> None:
        """``places``: lower-case name of an attribute → the index of its column."""
        self.places = places
        #: names of two or more attributes → what reads all of them; None where one has no column
        self.getter = lru_cache(maxsize=16)(self._build_getter)

    def _build_getter(self, names: tuple[str, ...]) -> Callable[[Sequence[Any]], Any] | None:
        places = [self.places.get(name.lower()) for name in names]
        return None if None in places else itemgetter(*places)


NO_COLUMNS: Final = Columns({})


def encode_ad(ad: Ad) -> bytes:
    """Return the text that ``StoredAd`` reads: expressions by lower-case name, and unusual names.

    Both are JSON objects in a list.
    """
    texts = ad.texts()
    names = tuple(texts)
    lows = lower(names)
    found = [dict(zip(lows, texts.values(), strict=True)), _unusual(names)]
    return _encode(found).encode("ascii")


@lru_cache(maxsize=256)
def _unusual(names: tuple[str, ...]) -> dict[str, str]:
    lows = zip(names, lower(names), strict=True)
    return {low: name for name, low in lows if _USUAL.get(low) != name}


@lru_cache(maxsize=4096)
def _key(name: str) -> tuple[str, str]:
    """Return the name in lower case, and what is before its value in the text.

    Quotes within JSON's strings are escaped, so that the first such place is the attribute.
    """
    low = name.lower()
    return low, _encode(low) + ':"'


class StoredAd(Ad):
    """``Ad``, with the same attributes as the one that ``encode_ad`` was given.

    It has its dictionary from the start: it may be read in another thread, and when the job is
    long gone and its dictionary deleted.
    """

    __slots__ = (
        "_columns",
        "_dictionaries",
        "_dictionary",
        "_is_parsed",
        "_row",
        "_text",
        "_written",
    )

    def __init__(
        self,
        dictionaries: Dictionaries,
        row: Sequence[Any],
        columns: Columns = NO_COLUMNS,
    ) -> None:
        """``row``: of the ledger; its last two values are what ``Dictionaries.decompress`` takes.

        ``columns``: which values of ``row`` are attributes' expressions (None: the job has no
        such attribute).
        """
        # not Ad.__init__: ``_items`` is made when it is first asked for
        self._dictionaries = dictionaries
        self._dictionary = dictionaries.find(row[-2])
        self._row = row
        self._columns = columns
        #: the decompressed text
        self._text = ""
        #: what was set since, by lower-case name
        self._written: dict[str, tuple[str, str]] = {}
        self._is_parsed = False

    def get(self, name: str, /, default: object = None) -> object:  # type: ignore[override]
        """Return one attribute's text, found in the stored text without parsing all of it."""
        if self._is_parsed:
            return super().get(name, default)
        low, key = _key(name)
        if self._written and low in self._written:
            return self._written[low][1]
        place = self._columns.places.get(low)
        if place is not None:
            found = self._row[place]
            return default if found is None else found
        text = self._text or self._decompress()
        at = text.find(key)
        if at < 0:
            return default
        if text[at - 1] == "\\":  # the end of a name with quotes of its own
            self._parse()
            return super().get(name, default)
        return scanstring(text, at + len(key))[0]

    def get_all(self, names: tuple[str, ...]) -> tuple[str | None, ...]:
        """Return several attributes' texts, from the row's columns where these hold all of them."""
        getter = None if self._written or self._is_parsed else self._columns.getter(names)
        return super().get_all(names) if getter is None else getter(self._row)

    def __getitem__(self, name: str) -> str:
        found = self.get(name)
        if found is None:
            raise KeyError(name)
        return found  # type: ignore[return-value]

    def __setitem__(self, name: str, expression: str) -> None:
        if self._is_parsed:
            super().__setitem__(name, expression)
        else:
            low = name.lower()
            spelled = self._written[low][0] if low in self._written else name
            self._written[low] = (spelled, expression)

    def __getattr__(self, name: str) -> Items:
        """Parse the ad when ``_items``, which ``Ad`` works on, is first asked for."""
        if name != "_items" or self._is_parsed:
            raise AttributeError(name)
        self._parse()
        return self._items

    def _parse(self) -> None:
        text = self._text or self._decompress()
        try:
            texts, unusual = json.loads(text)
            names = {**_USUAL, **unusual} if unusual else _USUAL
            self._items = {low: (names[low], text) for low, text in texts.items()}
        except (ValueError, KeyError) as error:
            self._dictionaries.report_damage(error)
        self._is_parsed = True
        for written, expression in self._written.values():
            super().__setitem__(written, expression)

    def _decompress(self) -> str:
        number, text = self._row[-2:]
        if number is not None:
            text = self._dictionaries.inflate(self._dictionary, text)
        try:
            self._text = text.decode("ascii")
        except ValueError as error:
            self._dictionaries.report_damage(error)
        return self._text
