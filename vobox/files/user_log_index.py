"""Look up which events a user log has already.

After a restart each event of the stream is looked up in the job's log. Jobs share
logs, and a log of 10,000 jobs has to be read once, not once for each of them: its
events are remembered, and read again only when the file is another one or has
another size.
"""

from __future__ import annotations

import os
import stat
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import IO

from .safe_open import open_file

#: Logs whose events are remembered, and events of all of them: a hundred bytes each.
MAX_LOGS = 64
MAX_EVENTS = 1_000_000
#: Bytes of a log's end that are read: 100,000 events and more. The file is its owner's, and may
#: be of any size.
MAX_READ = 64 * 1024 * 1024
#: Bytes of one event, which a log line of a program of ours never exceeds.
MAX_EVENT = 256 * 1024
#: The last line of an event, as text and in XML.
_ENDS = (b"...\n", b"</c>\n")


@dataclass
class _Log:
    identity: tuple[int, int]
    size: int = 0
    begin: int = 0  #: bytes before the events that are known
    events: set[int] = field(default_factory=set)  #: hashes


def _add_events(file: IO[bytes], events: set[int]) -> None:
    """Add the hash of each event in the rest of the file."""
    event = b""
    left = MAX_READ
    while left > 0 and (line := file.readline(MAX_EVENT)):
        left -= len(line)
        event = line if len(event) + len(line) > MAX_EVENT else event + line
        if line in _ENDS:
            if len(events) == MAX_EVENTS:  # of some bytes each: no events of ours
                events.clear()
            events.add(hash(event))
            event = b""


class UserLogIndex:
    """The events of the logs that were looked at last. For one thread."""

    def __init__(self) -> None:
        self._logs: OrderedDict[str, _Log] = OrderedDict()

    def has_event(self, path: str, event: bytes) -> bool:
        """Return whether the log has exactly this event; raises OSError where it cannot be read."""
        log = self._read(path)
        return log is not None and hash(event) in log.events

    def add(self, path: str, event: bytes) -> None:
        """Remember that this event was appended."""
        log = self._logs.get(path)
        if log is not None:
            log.events.add(hash(event))
            log.size += len(event)
            if log.size - log.begin > 2 * MAX_READ:
                del self._logs[path]  # its end is read again when it is asked for

    def _read(self, path: str) -> _Log | None:
        try:
            file = open_file(path, os.O_RDONLY)
        except FileNotFoundError:
            return None
        with file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                return None
            log = self._logs.pop(path, None)
            if log is None or log.identity != (status.st_dev, status.st_ino):
                log = _Log((status.st_dev, status.st_ino))
            if log.size != status.st_size:
                # the size as it was: what is appended meanwhile is read the next time
                log.events, log.size = set(), status.st_size
                log.begin = max(0, log.size - MAX_READ)
                file.seek(log.begin)
                _add_events(file, log.events)
        self._logs[path] = log
        known = sum(len(each.events) for each in self._logs.values())
        while len(self._logs) > MAX_LOGS or (known > MAX_EVENTS and len(self._logs) > 1):
            _path, oldest = self._logs.popitem(last=False)
            known -= len(oldest.events)
        return log
