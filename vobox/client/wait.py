"""condor_wait: wait until the jobs of a user log have ended.

Reads the log alone and needs no schedd: a client may wait while the VOBox is
being restarted. Texts, streams and exit codes are HTCondor's: 0 only when what
was waited for has come, with ``-wait 0`` and ``-allevents`` also at the end of
the file.
"""

import json
import sys
import time

from .client import keep_standard_streams, write
from .log_attributes import read_event
from .user_log import CommandExit, LogEvent, open_log, read_log
from .version import VERSION_TEXT

#: seconds between two looks at a log that has not grown
PAUSE = 0.25
SUBMITTED, EXECUTING, TERMINATED, ABORTED = 0, 1, 5, 9
_STATUS = {SUBMITTED: "submitted", TERMINATED: "completed", ABORTED: "aborted"}
USAGE = """
Use: condor_wait [options] <log-file> [job-number]
Where options are:
    -help             Display options
    -version          Display Condor version
    -debug            Show job start and terminate info on standard error
    -status           Show job start and terminate info
    -echo[:<fmt>]     Echo log events relevant to [job-number]
       optional <fmt>: ISO_DATE (dates with the year), UTC (time as UTC time),
       SUB_SECOND (parts of a second), JSON (each event as an object), separated by commas
    -num <number>     Wait for this many jobs to end (default is all jobs)
    -wait <seconds>   Wait no more than this time (default is unlimited)
    -allevents        Continue on even if all jobs have ended.
                      cannot be used with -num
    -event-id[:<n>] <id>
                      Wait for so many (1) events of this number instead
    -log <log-file>   The same as <log-file>
"""


class WaitOptions:
    """The options of a command line."""

    def __init__(self) -> None:
        self.log = ""
        self.job = (-1, -1, -1)  # type: tuple[int, ...]
        self.status = self.debug = self.echo = self.allevents = False
        self.iso = self.utc = self.fraction = self.json = False
        self.number = 0
        #: wait for events of this number instead, and for how many
        self.event_id, self.event_count = 0, 1
        self.seconds = None  # type: int | None


def _names(option: str, word: str, least: int) -> bool:
    """Tell whether a word is the option, cut to this many letters at the least."""
    if word.startswith("--"):
        return word[2:] == option
    return word.startswith("-") and len(word) > least and option.startswith(word[1:])


def _refuse_both(option: str, other: str, is_given: bool) -> None:
    if is_given:
        raise CommandExit(1, "", "%s cannot be used with %s\n%s" % (option, other, USAGE))


def parse(argv: "list[str]") -> WaitOptions:
    """Read a command line; raises CommandExit."""
    options = WaitOptions()
    log, job = None, None  # type: str | None, str | None
    words = iter(argv)
    for word in words:
        name, colon, form = word.partition(":")
        if word == "-help":
            raise CommandExit(0, "", USAGE)
        if word == "-version":
            raise CommandExit(1, VERSION_TEXT)
        if word == "-status":
            options.status = True
        elif _names("debug", name, 1):
            options.debug = True
        elif _names("attach", word, 1):
            pass  # HTCondor's, for its developers on Windows alone
        elif _names("echo", name, 4):
            _parse_echo(options, form)
        elif _names("allevents", word, 3):
            _refuse_both("-allevents", "-num", options.number > 0)
            options.allevents = True
        elif word in ("-wait", "-num", "-log") or _names("event-id", name, 8):
            value = next(words, None)
            if value is None:
                text = "%s requires an %s\n" % (name, "id" if "event-id" in name else "argument")
                raise CommandExit(1, "", text + USAGE)
            number = _parse_leading_number(value)[0] or 0
            if word == "-log":
                log = value
            elif word == "-wait":
                options.seconds = number
            elif word != "-num":
                options.event_id = number
                options.event_count = (_parse_leading_number(form)[0] or 0) if colon else 1
            elif number < 1:
                raise CommandExit(1, "", "-num must be greater than zero\n" + USAGE)
            else:
                _refuse_both("-num", "-allevents", options.allevents)
                options.number = number
        elif word.startswith("-") and not (word == "-1" and log and job is None):
            raise CommandExit(1, "", USAGE)
        elif log is None:
            log = word
        elif job is None:
            job = word
        else:
            raise CommandExit(1, "", "Extra argument: %s\n\n%s" % (word, USAGE))
    if log is None:
        raise CommandExit(1, "", USAGE)
    options.log = log
    if job is not None:
        options.job = _parse_job(job)
    return options


def _parse_echo(options: WaitOptions, form: str) -> None:
    options.echo = True
    for name in form.upper().replace(",", " ").split():
        is_wanted, name = not name.startswith("!"), name.lstrip("!")
        if name == "XML" and is_wanted:
            text = "-echo:%s: events are echoed as text or JSON here\n" % form
            raise CommandExit(1, "", text)
        if name == "JSON":
            options.json = is_wanted
        if name in ("ISO_DATE", "LEGACY"):
            options.iso = is_wanted == (name == "ISO_DATE")
        if name == "UTC" or (name == "LEGACY" and is_wanted):
            options.utc = is_wanted and name == "UTC"
        if name == "SUB_SECOND" or (name == "LEGACY" and is_wanted):
            options.fraction = is_wanted and name == "SUB_SECOND"


def _parse_leading_number(text: str) -> "tuple[int | None, str]":
    """Return the number that a text begins with, as C's ``%d`` does, and the rest."""
    text = text.lstrip(" \t")
    end = 1 if text[:1] in ("-", "+") else 0
    while end < len(text) and text[end] in "0123456789":
        end += 1
    try:
        return int(text[:end]), text[end:]
    except ValueError:
        return None, text


def _parse_job(text: str) -> "tuple[int, ...]":
    """Read ``C``, ``C.P`` or ``C.P.S``; -1 stands for any."""
    found = []  # type: list[int]
    rest = text
    while len(found) < 3:
        number, rest = _parse_leading_number(rest)
        if number is None:
            break
        found.append(number)
        if not rest.startswith("."):
            break
        rest = rest[1:]
    if not found:
        raise CommandExit(1, "", "Couldn't understand job number: %s\n" % text)
    return tuple(found + [-1] * (3 - len(found)))


class JobCounter:
    """Which of the jobs in a log were submitted and have ended."""

    def __init__(self, options: WaitOptions) -> None:
        self._options = options
        self._open = set()  # type: set[str]
        self.submitted = self.ended = self._found = 0

    def count_event(self, event: LogEvent) -> None:
        """Count one event and print it as asked; raises CommandExit if stdout is closed."""
        options = self._options
        if any(ask not in (-1, have) for ask, have in zip(options.job, event.id)):
            return
        if options.echo:
            _print(_format(event, options))
        word = _STATUS.get(event.number)
        if event.number == EXECUTING:
            host = event.body.partition("\n")[0].partition("host: ")[2]
            word = "executing on host " + host
        if options.event_id and event.number == options.event_id:
            word = word or "event %d found" % event.number
            self._found += 1
        if word and options.status and not options.debug:
            _print("%s %s\n" % (event.key, word))
        if word and options.debug:
            write(2, ("%s %s\n" % (event.key, word)).encode("utf-8", "surrogateescape"))
        if event.number == SUBMITTED:
            self._open.add(event.key)
            self.submitted += 1
        elif event.number in (TERMINATED, ABORTED):
            self._open.discard(event.key)
            self.ended += 1

    def exit_if_done(self, at_end: bool) -> None:
        """Raise CommandExit if the jobs have ended; ``at_end``: the whole file was read."""
        options = self._options
        if options.number and self.ended >= options.number:
            raise CommandExit(0, "Specifed number of jobs (%d) done.\n" % options.number)
        if options.event_id:
            if self._found >= options.event_count and not at_end:
                text = "Got %d events of id %d\n" % (self._found, options.event_id)
                raise CommandExit(0, text)
        elif at_end and not options.number and not options.allevents and not self._open:
            raise CommandExit(0, "All jobs done.\n")

    def exit_late(self) -> None:
        """Raise CommandExit as the time is over."""
        if self._open or self.submitted:
            raise CommandExit(1, "Time expired.\n")
        text = "This log does not mention that job!\n"
        if self._options.job[0] == -1:
            text = "This log does not mention any jobs!\n"
            if self._options.event_id:
                found = (self._found, self._options.event_id)
                text = "Saw only %d events of id %d!\n" % found
        raise CommandExit(1, "", text)


def wait(options: WaitOptions) -> None:
    """Wait until the jobs have ended or the time is over; ends by CommandExit."""
    until = None
    if options.seconds:
        until = time.monotonic() + options.seconds
    at_once = options.seconds == 0 or (options.allevents and options.seconds is None)
    log = open_log(options.log)
    watch = JobCounter(options)
    while True:
        if options.seconds is not None and options.seconds < 0:
            raise CommandExit(1, "Time expired.\n")
        events, at_end = read_log(options.log, log)
        for event in events:
            watch.count_event(event)
            watch.exit_if_done(False)
        if not at_end:
            continue
        watch.exit_if_done(True)
        if at_once:
            raise CommandExit(0)
        if until is not None and time.monotonic() >= until:
            watch.exit_late()
        time.sleep(PAUSE if until is None else min(PAUSE, max(0.0, until - time.monotonic())))


def _format(event: LogEvent, options: WaitOptions) -> str:
    if not options.json:
        return event.format(options.iso, options.utc, options.fraction)
    attributes = read_event(event.format(True, options.utc, bool(event.fraction)))
    return json.dumps(attributes, indent=2, ensure_ascii=False) + "\n"


def _print(text: str) -> None:
    if not write(1, text.encode("utf-8", "surrogateescape")):
        raise CommandExit(1)


def main() -> int:
    """Wait for the jobs of a log; return the exit code."""
    keep_standard_streams()
    try:
        wait(parse(sys.argv[1:]))
    except CommandExit as ended:
        return ended.tell()
    except KeyboardInterrupt:
        return 130
    return 1


if __name__ == "__main__":
    sys.exit(main())
