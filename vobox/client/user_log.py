"""Read HTCondor's user log with the standard library alone, while others append to it."""

import calendar
import os
import re
import time

from .client import write


class CommandExit(Exception):
    """A command that reads user logs ends: exit code, a text for stdout and one for stderr."""

    def __init__(self, code: int, stdout: str = "", stderr: str = "") -> None:
        Exception.__init__(self, code)
        self.code, self.stdout, self.stderr = code, stdout, stderr

    def tell(self) -> int:
        """Print the texts; return the exit code."""
        write(1, self.stdout.encode("utf-8", "surrogateescape"))
        write(2, self.stderr.encode("utf-8", "surrogateescape"))
        return self.code


#: dates with a year, maybe in UTC, and those of old without one
_HEAD = re.compile(
    r"^(\d+) \( *(-?\d+)\. *(-?\d+)\. *(-?\d+)\) "
    r"(?:(\d{4})-(\d\d)-(\d\d)[ T]|(\d\d)/(\d\d) )"
    r"(\d\d):(\d\d):(\d\d)(\.\d+)?(Z?)",
    re.MULTILINE,
)
_NUMBERED = re.compile(r"^\d{3} ", re.MULTILINE)


class LogEvent:
    """One event of a user log; raises ValueError for a text that is not an event."""

    def __init__(self, text: str) -> None:
        # what a writer that was killed left before the event is passed over
        head = _HEAD.search(text)
        if head is None:
            raise ValueError(text)
        self.number = int(head.group(1))
        self.id = tuple(int(part) for part in head.group(2, 3, 4))
        year, month, day = head.group(5, 6, 7)
        if year is None:
            year, (month, day) = time.localtime().tm_year, head.group(8, 9)
        hour, minute, second = (int(part) for part in head.group(10, 11, 12))
        when = (int(year), int(month), int(day), hour, minute, second, 0, 0, -1)
        try:
            self.time = calendar.timegm(when) if head.group(14) else int(time.mktime(when))
        except OverflowError:
            raise ValueError(text) from None
        self.fraction = head.group(13) or ""
        self.body = text[head.end() :].lstrip(" ")

    @property
    def key(self) -> str:
        """The job's id, ``cluster.proc.subproc``."""
        return "%d.%d.%d" % self.id

    def format(self, iso: bool, utc: bool, fraction: bool) -> str:
        """Return the event's text, its date in ISO form or as month/day, local or UTC."""
        when = time.gmtime(self.time) if utc else time.localtime(self.time)
        date = time.strftime("%Y-%m-%d %H:%M:%S" if iso else "%m/%d %H:%M:%S", when)
        if fraction:
            date += ((self.fraction or ".") + "000")[:4]
        head = "%03d (%03d.%03d.%03d) " % (self.number, *self.id)
        return head + date + ("Z " if utc else " ") + self.body + "...\n"


def convert_xml(text: str) -> str:
    """Return the head of an event in XML as text; raises ValueError."""
    values = {}
    for line in text.splitlines():
        name, found, rest = line.partition('<a n="')[2].partition('">')
        if found:
            values[name] = rest.partition(">")[2].partition("</")[0]
    try:
        ids = tuple(int(values[name]) for name in ("EventTypeNumber", "Cluster", "Proc", "Subproc"))
        head = "%03d (%03d.%03d.%03d) " % ids + values["EventTime"].replace("T", " ")
    except KeyError:
        raise ValueError(text) from None
    host = values.get("ExecuteHost", "").replace("&lt;", "<").replace("&gt;", ">")
    name = values.get("MyType", "event")
    return "%s %s\n" % (head, "Job executing on host: " + host if host else name)


class UserLog:
    """A user log that others append to."""

    def __init__(self, path: str) -> None:
        """Open the file; raises OSError."""
        # a pipe without a writer must not stop us for ever
        self._file = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        self._rest = b""
        self._line = 1
        os.read(self._file, 0)  # a directory can be opened, and not read

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def read(self) -> "tuple[list[LogEvent], bool]":
        """Return the new whole events, and whether the end of the file was reached.

        :raises OSError: if the file cannot be read
        :raises ValueError: with the line's number, for a text that is not an event
        """
        while True:
            try:
                data = os.read(self._file, 1 << 16)
            except BlockingIOError:
                data = b""
            if not data:
                break
            self._rest += data
            if b"\r" in data:
                self._rest = self._rest.replace(b"\r\n", b"\n")
        events = []  # type: list[LogEvent]
        while True:
            if self._rest.startswith(b"<?xml"):
                self._rest = self._rest[self._rest.find(b"<c>") :]
            if self._rest.startswith(b"{"):
                raise ValueError("it is in JSON, which is not read here")
            is_xml = self._rest.startswith(b"<c>")
            begin, end, rest = self._rest.partition(b"\n</c>\n" if is_xml else b"\n...\n")
            if not end:
                return events, True
            text = begin.decode("utf-8", "surrogateescape") + "\n"
            try:
                events.append(LogEvent(convert_xml(text) if is_xml else text))
            except ValueError:
                # as HTCondor: what others wrote into the log is passed over, a damaged event is not
                if self._line == 1 or is_xml or _NUMBERED.search(text):
                    if events:  # first what is before it
                        return events, False
                    raise ValueError("line %d begins no event" % self._line) from None
            self._line += text.count("\n") + 1
            self._rest = rest


def open_log(path: str) -> UserLog:
    """Open a user log; raises CommandExit."""
    try:
        return UserLog(path)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise CommandExit(1, stderr="Couldn't open %s: %s\n" % (path, reason)) from None


def read_log(path: str, log: UserLog) -> "tuple[list[LogEvent], bool]":
    """Do ``log.read``; raises CommandExit. ``path``: where it is."""
    try:
        return log.read()
    except (OSError, ValueError) as error:
        raise CommandExit(1, stderr="Couldn't read %s: %s\n" % (path, error)) from None
