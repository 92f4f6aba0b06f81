"""condor_watch_q: show the jobs of user logs, and again whenever they change.

Reads the logs alone; the schedd is asked once where they are, unless -files names them. The table
is HTCondor's; unlike HTCondor's the command ends by itself when all jobs have left the queue.
"""

import os
import subprocess
import sys
import time

from .client import keep_standard_streams, write
from .user_log import CommandExit, LogEvent, UserLog, open_log, read_log
from .version import VERSION_TEXT

#: seconds between two looks at the logs
PAUSE = 0.5
#: user logs that are watched at once; each is an open file
MOST_LOGS = 200
USAGE = """\
Usage: condor_watch_q [options]
    -files LOG ...          the user logs to watch (the default: of your jobs in the queue)
    -clusters CLUSTER ...   these clusters only
    -exit WHEN,STATE[,CODE] end with CODE (0) when all, any or none of the jobs are active, done,
                            idle, held, removed, running or suspended; several may be given
    -[no-]progress          a bar under the table (on a terminal: yes)
    -[no-]color             colours (on a terminal: yes)
    -[no-]summary           the totals under the table (yes)
    -[no-]updated-at        the time under the table (yes)
    -help | -version
Ends with 0 when all jobs have left the queue, with 2 for a wrong command line.
"""
IDLE, RUN, DONE, REMOVED, HELD, SUSPENDED = "IDLE", "RUN", "DONE", "REMOVED", "HELD", "SUSP"
#: the columns, and each one's colour (of a terminal) and sign in the bar
COLUMNS = (
    (IDLE, 33, "-"),
    (RUN, 36, "="),
    (DONE, 32, "#"),
    (HELD, 31, "!"),
    (SUSPENDED, 35, "!"),
    (REMOVED, 37, "#"),
)
#: always shown; the others where there are such jobs
_ALWAYS = (IDLE, RUN, DONE)
_WORDS = {IDLE: "idle", RUN: "running", DONE: "completed", HELD: "held", SUSPENDED: "suspended",
          REMOVED: "removed"}  # fmt: skip
#: by event: the state of the job after it
_AFTER = {0: IDLE, 1: RUN, 4: IDLE, 5: DONE, 7: IDLE, 9: REMOVED, 10: SUSPENDED, 11: RUN, 12: HELD,
          13: IDLE}  # fmt: skip
_STATES = {"active": (IDLE, RUN, HELD, SUSPENDED), "done": (DONE,), "idle": (IDLE,),
           "held": (HELD,), "removed": (REMOVED,), "running": (RUN,),
           "suspended": (SUSPENDED,)}  # fmt: skip


class WatchOptions:
    """The options of a command line."""

    def __init__(self) -> None:
        self.files = []  # type: list[str]
        self.clusters = []  # type: list[int]
        self.exits = []  # type: list[tuple[str, str, int]]
        self.progress = self.color = os.isatty(1)
        self.summary = self.updated = True


def parse(argv: "list[str]") -> WatchOptions:
    """Read a command line; raises CommandExit."""
    options = WatchOptions()
    words = list(argv)
    while words:
        word = words.pop(0)
        name = word[1:] if word.startswith("--") else word
        if name == "-exit":
            options.exits.append(_parse_exit(words.pop(0) if words else ""))
        elif name in ("-files", "-clusters"):
            while words and not words[0].startswith("-"):
                value = words.pop(0)
                if name == "-files":
                    options.files.append(value)
                elif _is_number(value):
                    options.clusters.append(int(value))
                else:
                    raise CommandExit(2, stderr="-clusters: %s is no number\n" % value)
        elif name in ("-progress", "-no-progress"):
            options.progress = name == "-progress"
        elif name in ("-color", "-no-color"):
            options.color = name == "-color"
        elif name in ("-summary", "-no-summary"):
            options.summary = name == "-summary"
        elif name in ("-updated-at", "-no-updated-at"):
            options.updated = name == "-updated-at"
        else:
            raise CommandExit(2, stderr="Unrecognized option: %s\n%s" % (word, USAGE))
    return options


def _parse_exit(text: str) -> "tuple[str, str, int]":
    parts = text.split(",")
    if len(parts) == 2:
        parts.append("0")
    good = len(parts) == 3 and parts[0] in ("all", "any", "none") and parts[1] in _STATES
    if not good or not _is_number(parts[2]) or int(parts[2]) > 255:
        say = "-exit %s: give WHEN,STATE[,CODE], e.g. any,held,1\n%s"
        raise CommandExit(2, stderr=say % (text, USAGE))
    return parts[0], parts[1], int(parts[2])


def _is_number(text: str) -> bool:
    """Tell whether ``int`` takes it: neither a superscript nor thousands of digits."""
    return text.isdecimal() and len(text) < 20


class JobStates:
    """The state of each job in the logs."""

    def __init__(self, clusters: "list[int]") -> None:
        self._clusters = clusters
        self.jobs = {}  # type: dict[tuple[int, ...], str]

    def count_event(self, event: LogEvent) -> None:
        """Note what an event says of its job."""
        if self._clusters and event.id[0] not in self._clusters:
            return
        after = _AFTER.get(event.number)
        if after is not None:
            self.jobs[event.id[:2]] = after

    def is_over(self) -> bool:
        """Tell whether there are jobs, and all have left the queue."""
        return bool(self.jobs) and all(each in (DONE, REMOVED) for each in self.jobs.values())

    def find_exit(self, exits: "list[tuple[str, str, int]]") -> "int | None":
        """Return the exit code of the first condition that is met; None if none is."""
        for when, state, code in exits:
            met = [each in _STATES[state] for each in self.jobs.values()]
            if met and {"all": all(met), "any": any(met), "none": not any(met)}[when]:
                return code
        return None


def format_table(
    jobs: "dict[tuple[int, ...], str]", color: bool, bar: int, summary: bool = True
) -> str:
    """Return the table, a line a cluster.

    ``bar``: characters of a bar, or 0; ``summary``: whether the totals follow.
    """
    counts = dict.fromkeys([name for name, _, _ in COLUMNS], 0)
    for state in jobs.values():
        counts[state] += 1
    shown = [each for each in COLUMNS if each[0] in _ALWAYS or counts[each[0]]]
    clusters = sorted({id_[0] for id_ in jobs})
    width = max([len("BATCH")] + [len("ID: %d" % each) for each in clusters])
    head = "%-*s %s %6s  JOB_IDS" % (width, "BATCH", "".join(" %7s" % s[0] for s in shown), "TOTAL")
    lines = [head.rstrip()]
    for cluster in clusters:
        procs = sorted(id_[1] for id_ in jobs if id_[0] == cluster)
        states = [state for id_, state in jobs.items() if id_[0] == cluster]
        cells = ""
        for name, code, _ in shown:
            number = states.count(name)
            cell = " %7s" % (number or "-")
            cells += "\033[%dm%s\033[0m" % (code, cell) if color and number else cell
        ids = "%d.%d" % (cluster, procs[0])
        ids += "" if len(procs) == 1 else " ... %d.%d" % (cluster, procs[-1])
        lines.append("%-*s %s %6d  %s" % (width, "ID: %d" % cluster, cells, len(procs), ids))
    if bar and jobs:
        lines += ["", "[%s]" % _format_bar(counts, len(jobs), color, bar)]
    if not summary:
        return "\n".join(lines) + "\n"
    told = ["%d %s" % (counts[name], _WORDS[name]) for name in _WORDS if counts[name]]
    noun = "job" if len(jobs) == 1 else "jobs"
    lines += ["", "Total: %d %s%s" % (len(jobs), noun, "; " + ", ".join(told) if told else "")]
    return "\n".join(lines) + "\n"


def _format_bar(counts: "dict[str, int]", total: int, color: bool, width: int) -> str:
    text, used, before = "", 0, 0
    for name, code, sign in sorted(COLUMNS, key=lambda each: "#=!-".index(each[2])):
        used += counts[name]
        part = sign * (width * used // total - before)
        before = width * used // total
        text += "\033[%dm%s\033[0m" % (code, part) if color and part else part
    return text


def find_logs() -> "tuple[list[str], list[int]]":
    """Return the user logs and the clusters of the caller's jobs in the queue; raises CommandExit.

    They are condor_q's answer.
    """
    directory = os.path.dirname(sys.argv[0])
    beside = os.path.join(directory, "condor_q")
    program = beside if directory and os.access(beside, os.X_OK) else "condor_q"
    try:
        asked = subprocess.Popen(
            [program, "-af", "ClusterId", "UserLog"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
        )
        told = asked.communicate()[0].decode("utf-8", "surrogateescape")
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        raise CommandExit(1, stderr="condor_q cannot be run: %s\n" % reason) from None
    if asked.returncode:
        raise CommandExit(1)  # it has said why
    rows = [line.split(" ", 1) for line in told.splitlines()]
    found = [(int(row[0]), row[1]) for row in rows if len(row) == 2 and row[1] != "undefined"]
    return sorted({path for _, path in found}), sorted({cluster for cluster, _ in found})


def watch(options: WatchOptions) -> None:
    """Show the table until the jobs have left the queue; ends by CommandExit."""
    paths, clusters = options.files, options.clusters
    if not paths:
        paths, queued = find_logs()
        clusters = clusters or queued
    if not paths:
        text = "No jobs with a user log are in the queue: nothing to watch\n"
        raise CommandExit(0, stderr=text)
    if len(paths) > MOST_LOGS:
        text = "%d user logs: name at most %d with -files\n" % (len(paths), MOST_LOGS)
        raise CommandExit(1, stderr=text)
    logs = [(path, open_log(path)) for path in paths]
    states, before, lines = JobStates(clusters), "", 0
    while True:
        _read_all(logs, states)
        bar = _get_width() if options.progress else 0
        table = format_table(states.jobs, options.color, bar, options.summary)
        if table != before:
            lines = _show(table, lines, options.updated)
            before = table
        code = states.find_exit(options.exits)
        if code is not None:
            raise CommandExit(code)
        if states.is_over():
            raise CommandExit(0)
        time.sleep(PAUSE)


def _read_all(logs: "list[tuple[str, UserLog]]", states: JobStates) -> None:
    for path, log in logs:
        at_end = False
        while not at_end:
            events, at_end = read_log(path, log)
            for event in events:
                states.count_event(event)


def _get_width() -> int:
    try:
        return max(10, os.get_terminal_size(1).columns - 3)
    except OSError:
        return 77


def _show(table: str, lines: int, updated: bool) -> int:
    """Print the table, on a terminal over the last one of ``lines``; return its lines."""
    text = table + (time.strftime("Updated at %Y-%m-%d %H:%M:%S\n") if updated else "")
    if os.isatty(1):
        # up, and clear to the end of the screen
        text = ("\033[%dA\033[J" % lines if lines else "") + text
    else:
        text += "\n"
    if not write(1, text.encode("utf-8", "surrogateescape")):
        raise CommandExit(1)
    return text.count("\n")


def main() -> int:
    """Watch the jobs; return the exit code."""
    keep_standard_streams()
    try:
        first = sys.argv[1:2]
        if first in (["-help"], ["--help"]):
            write(1, USAGE.encode("ascii"))
            return 0
        if first in (["-version"], ["--version"]):
            write(1, VERSION_TEXT.encode("ascii"))
            return 0
        watch(parse(sys.argv[1:]))
    except CommandExit as ended:
        return ended.tell()
    except KeyboardInterrupt:
        return 130
    return 1


if __name__ == "__main__":
    sys.exit(main())
