"""A job's ad as it is stored, parsed no further than it is asked for.

A query over 100,000 jobs looks at a few attributes of each. What columns say needs no more than
the row; any other attribute is looked for in the decompressed text. Only an ad that is gone
through, or written again, is parsed as a whole.

What an action changed in thousands of ads alike is stored once, and each of their rows names it:
these ads are neither parsed nor written again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import lru_cache
from json.decoder import scanstring  # type: ignore[attr-defined]
from operator import itemgetter
from typing import Any, Final

from vobox.classad.ad import Ad, Items, lower

from .changes import UNCHANGED, Changes
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
#: Of ``StoredAd.pop`` where no default is given.
NO_DEFAULT: Final = object()
_encode: Final = json.JSONEncoder(separators=(",", ":")).encode


class Columns:
    """The columns of a row that hold the expressions of attributes."""

    def __init__(self, places: Mapping[str, int]) -> None:
        """``places``: lower-case name of an attribute → the index of its column."""
        self.places = places
        #: names of attributes → what reads all of them; None where one has no column
        self.getter = lru_cache(maxsize=16)(self._build_getter)

    def _build_getter(self, names: tuple[str, ...]) -> Callable[[Sequence[Any]], Any] | None:
        places = [self.places.get(name.lower()) for name in names]
        # of one place it would return the value alone
        return None if len(places) < 2 or None in places else itemgetter(*places)


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
        "_changes",
        "_columns",
        "_deleted",
        "_dictionaries",
        "_dictionary",
        "_parsed",
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
        """Take a row of the ledger; nothing is parsed yet.

        ``row``: ends with the number of the ad's changes, and what ``Dictionaries.decompress``
        takes.

        ``columns``: which values of ``row`` are attributes' expressions (None: the job has no
        such attribute).
        """
        # not Ad.__init__: ``_items`` are made when they are first asked for
        self._dictionaries = dictionaries
        self._dictionary = dictionaries.find(row[-2])
        self._changes = dictionaries.find_changes(row[-3])
        self._row = row
        self._columns = columns
        #: the decompressed text
        self._text = ""
        #: what was deleted and then set since, as in ``Changes``
        self._deleted: frozenset[str] = frozenset()
        self._written: dict[str, tuple[str, str]] = {}
        self._parsed: Items | None = None

    def copy(self) -> Ad:
        """Return another ad with the same attributes, parsed no further than this one."""
        if self._parsed is not None:
            return super().copy()
        made = StoredAd.__new__(StoredAd)
        made._dictionaries, made._dictionary = self._dictionaries, self._dictionary
        made._row, made._columns, made._changes = self._row, self._columns, self._changes
        made._text, made._parsed = self._text, None
        made._deleted, made._written = self._deleted, self._written.copy()
        return made

    @property
    def stored_changes(self) -> int | None:
        """The number of the changes that the row has."""
        number: int | None = self._row[-3]
        return number

    def find_changed(self) -> tuple[Hashable, ...] | None:
        """Return a key of what was changed since the row was read; () if nothing, None if parsed.

        Ads with the same key may have the same changes in the ledger.
        """
        if self._parsed is not None:
            return None
        if not self._deleted and not self._written:
            return ()
        return self._row[-3], self._deleted, tuple(self._written.items())

    def merge_changes(self) -> Changes:
        """Return all that was changed since the text was written; of an ad that is not parsed."""
        return self._changes.then(Changes(self._deleted, self._written))

    def get(self, name: str, /, default: object = None) -> object:  # type: ignore[override]
        """Return one attribute's text, found in the stored text without parsing all of it."""
        if self._parsed is not None:
            return super().get(name, default)
        low, key = _key(name)
        if self._written and low in self._written:
            return self._written[low][1]
        if self._deleted and low in self._deleted:
            return default
        place = self._columns.places.get(low)
        if place is not None:
            found = self._row[place]
            return default if found is None else found
        if self._changes is not UNCHANGED:
            if low in self._changes.written:
                return self._changes.written[low][1]
            if low in self._changes.deleted:
                return default
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
        is_as_stored = not self._written and not self._deleted and self._parsed is None
        getter = self._columns.getter(names) if is_as_stored else None
        return super().get_all(names) if getter is None else getter(self._row)

    def __getitem__(self, name: str) -> str:
        found = self.get(name)
        if found is None:
            raise KeyError(name)
        return found  # type: ignore[return-value]

    def __setitem__(self, name: str, expression: str) -> None:
        if self._parsed is not None:
            super().__setitem__(name, expression)
        else:
            low = name.lower()
            spelled = self._written[low][0] if low in self._written else name
            self._written[low] = (spelled, expression)

    def __delitem__(self, name: str) -> None:
        if self._parsed is not None:
            super().__delitem__(name)
            return
        if self.get(name) is None:
            raise KeyError(name)
        self._delete(name.lower())

    def pop(self, name: str, default: Any = NO_DEFAULT, /) -> Any:
        """Delete an attribute and return its text; of none ``default``, or raise KeyError."""
        found = self.get(name)
        if found is None:
            if default is NO_DEFAULT:
                raise KeyError(name)
            return default
        if self._parsed is not None:
            super().__delitem__(name)
        else:
            self._delete(name.lower())
        return found

    def _delete(self, low: str) -> None:
        self._written.pop(low, None)
        if low not in self._deleted:
            self._deleted |= {low}

    def measure(self) -> int:
        """Return how many characters and bytes of text this object keeps in memory."""
        if self._parsed is not None:
            return super().measure()
        row = sum(len(value) for value in self._row if isinstance(value, (str, bytes)))
        return row + len(self._text)

    @property
    def _items(self) -> Items:  # type: ignore[override]
        """What ``Ad`` works on, parsed when it is first asked for."""
        return self._parse() if self._parsed is None else self._parsed

    def _parse(self) -> Items:
        text = self._text or self._decompress()
        try:
            texts, unusual = json.loads(text)
            names = {**_USUAL, **unusual} if unusual else _USUAL
            self._parsed = {low: (names[low], text) for low, text in texts.items()}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            self._dictionaries.report_damage(error)
        for deleted, set_since in (
            (self._changes.deleted, self._changes.written),
            (self._deleted, self._written),
        ):
            self.repeat({}, deleted)
            for written, expression in set_since.values():
                super().__setitem__(written, expression)
        return self._parsed

    def _decompress(self) -> str:
        number, text = self._row[-2:]
        if number is not None:
            text = self._dictionaries.inflate(self._dictionary, text)
        try:
            self._text = text.decode("ascii")
        except ValueError as error:
            self._dictionaries.report_damage(error)
        return self._text
