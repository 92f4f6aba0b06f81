"""condor_submit: read a description, make its jobs and queue them."""

from __future__ import annotations

import errno
import os
import posixpath
import time
from collections.abc import Iterable

from commandline.parser import find_nearest
from hostfiles.distribution import find_opsys_ver, format_opsys_and_ver, read_os_release
from vobox.classad.ad import NotStorable
from vobox.classad.cost import TooSlow
from vobox.client.version import ARCH
from vobox.commands.schedd_names import is_schedd
from vobox.rpc.types import Answer, CommandRefused, OwnerFiles, PreparedJob, Request, SubmitTarget

from .base_attributes import Submission
from .budget import Budget
from .commands_table import COMMAND_NAMES, IGNORED_NAMES
from .description import Description, Symbols, read_description
from .errors import SubmitError, submit_error
from .functions import SUBMIT_DIRECTORY
from .input_files import FileCache
from .job import JobMaker, Submitter
from .job_commands import Commands, find_unused
from .logical_lines import MAX_DESCRIPTION, STDIN
from .options import USAGE, SubmitOptions, parse_options
from .queue import expand_queue
from .report import Report
from .sources import NoCaller, TextSources

#: -dry-run burns no id; HTCondor's says 1 as well.
DRY_RUN_CLUSTER = 1
#: Characters in the ads of one submit, without what a job shares with the one before: the schedd
#: holds them all at once. 20,000 jobs may have 6,700 of their own.
MAX_CHARACTERS = 128 * 1024 * 1024
#: Attributes in the ads of one submit: 300 jobs of 50,000 took 4.3 GB. 20,000 jobs may have 200.
MAX_ATTRIBUTES = 4_000_000
#: Characters of warnings; more are not shown.
MAX_WARNINGS = 1024 * 1024
#: Unused assignments of a description for which the nearest command is looked for: 2 ms each.
_MAX_HINTS = 20


def condor_submit(request: Request, target: SubmitTarget, files: OwnerFiles, now: float) -> Answer:
    """Carry out condor_submit.

    :param target: where the jobs are handed in
    :param files: the submit host's files, seen with the user's rights
    :param now: epoch seconds
    :return: exit code 1 and the text on stderr if the description or the submit is refused
    """
    try:
        _check_text(request)
        options = parse_options(request.argv)
    except SubmitError as refusal:
        return Answer(stderr=refusal.stderr, code=1)
    if options.help:
        return Answer(stdout=USAGE)
    if options.capabilities:
        # HTCondor lists what it has beyond that: late materialization, job sets; nothing here
        return Answer(stdout=f"Schedd {target.schedd_name}\n")
    run = _CondorSubmit(request, options, target, files, now)
    try:
        return run.submit()
    except SubmitError as refusal:
        return Answer(run.report.stdout if run.report else "", refusal.stderr, 1)
    except NotStorable as error:  # an item of a queue statement, for example
        stdout = run.report.stdout if run.report else ""
        return Answer(stdout, submit_error(str(error)).stderr, 1)
    except (CommandRefused, TooSlow) as refusal:
        stdout = run.report.stdout if run.report else ""
        return Answer(stdout, f"\nERROR: {refusal}\n", 1)


class _CondorSubmit:
    """One run of condor_submit."""

    def __init__(
        self,
        request: Request,
        options: SubmitOptions,
        target: SubmitTarget,
        files: OwnerFiles,
        now: float,
    ) -> None:
        self._request = request
        self._options = options
        self._target = target
        self._files = files
        self._now = now
        self._warnings: dict[str, None] = {}
        self._warned = 0  #: characters
        self._store = FileCache(files)
        self._caller = request.caller or NoCaller()
        self._budget = Budget(self._caller)
        self._sources = TextSources(
            files, self._store, request.cwd, self._caller, self._budget.spend
        )
        self.report: Report | None = None
        day, os_release = time.localtime(now), read_os_release()
        version = find_opsys_ver(os_release)
        #: the macros that are there without an assignment
        self._builtin = {
            "submit_file": options.file or "",
            "submit_time": str(int(now)),
            "year": str(day.tm_year),
            "month": f"{day.tm_mon:02}",
            "day": f"{day.tm_mday:02}",
            "arch": ARCH,
            "opsys": "LINUX",
            "opsysver": str(version or ""),
            "opsysmajorver": str(version // 100 or ""),
            "opsysandver": format_opsys_and_ver(os_release),
            "islinux": "1",
            "iswindows": "0",
            SUBMIT_DIRECTORY: request.cwd,
        }

    @property
    def _is_dry(self) -> bool:
        return self._options.dry_run is not None

    def submit(self) -> Answer:
        """Read the description, make the jobs and queue them; raises SubmitError."""
        options = self._options
        for name in (options.name, options.remote):
            _check_schedd(name, self._target.schedd_name)
        text, source = self._read_text()
        self.report = Report(options)
        description = read_description(
            text, source, options.extra, self._request.env, self._builtin, self._sources,
            self._budget.spend,
        )  # fmt: skip
        self._write_ads("", complete=False)
        cluster = DRY_RUN_CLUSTER if self._is_dry else self._target.new_cluster()
        try:
            jobs = self._make_jobs(description, cluster, self.report)
        except Exception:
            self._write_ads(self.report.file, complete=False)
            raise
        if not jobs and not options.terse:
            shown = "(stdin)" if options.file in (None, "-") else options.file
            self._warn(
                [f'\nWARNING: "{shown}" has only empty "queue" commands -- no jobs queued\n']
            )
        if jobs and not self._is_dry:
            self._target.submit(cluster, jobs)
        self.report.finish(cluster, len(jobs))
        self._write_ads(self.report.file, complete=True)
        return Answer(self.report.stdout, "".join([*description.warnings, *self._warnings]))

    def _read_text(self) -> tuple[str, str]:
        """Return the description and the name that errors give it."""
        options = self._options
        if options.from_stdin:
            return self._request.stdin.decode("utf-8", "surrogateescape"), STDIN
        if options.file is None:
            return "", "null"
        path = posixpath.join(self._request.cwd, options.file)
        try:
            size = self._files.size(path)
            if size > MAX_DESCRIPTION:
                raise submit_error(
                    f"{options.file} has {size} bytes; a submit description "
                    f"may have {MAX_DESCRIPTION}"
                )
            data = self._store.read(path)
        except OSError as error:
            raise submit_error(
                f"Failed to open command file ({options.file}) ({error.strerror})"
            ) from None
        return data.decode("utf-8", "surrogateescape"), options.file

    def _make_jobs(
        self, description: Description, cluster: int, report: Report
    ) -> list[PreparedJob]:
        request, options = self._request, self._options
        submission = Submission(
            cluster,
            request.user,
            self._target.schedd_name,
            int(self._now),
            "" if options.file in (None, "-") else options.file or "",
            options.spool,
            self._target.list_pilots,
            request.charge,
        )
        submitter = Submitter(request.cwd, request.env, request.uid, options.allow_crlf)
        jobs: list[PreparedJob] = []
        characters = attributes = 0
        before: dict[str, str] = {}
        symbols: Symbols = {}
        mentions: set[str] = set()
        for step in description.queue_statements:
            symbols.update(step.symbols)
            mentions |= step.mentions
            self._budget.spend()
            named: set[str] = set()
            commands = maker = None
            for slot in expand_queue(
                step,
                description.source,
                self._sources,
                self._warn,
                self._target.max_jobs,
                len(jobs),
            ):
                proc = len(jobs)
                self._budget.begin_job()
                self._budget.spend()
                if options.max_jobs and proc >= options.max_jobs:
                    raise submit_error(
                        f"Number of submitted jobs would exceed -maxjobs ({options.max_jobs})"
                    )
                builtin = {**self._builtin, **_build_id_macros(cluster, proc)}
                if commands is None or maker is None:
                    commands = Commands(
                        symbols, slot.variables, builtin, request.env, self._budget.spend
                    )
                    maker = JobMaker(commands, submission, submitter, self._store)
                    named = set(slot.named)
                else:
                    commands.next_job(slot.variables, builtin)
                report.begin_job()
                job, warnings = maker.make(proc)
                jobs.append(job)
                ad = job.ad.texts()
                characters += sum(
                    len(text) for key, text in ad.items() if before.get(key) is not text
                )
                attributes += len(ad)
                if attributes > MAX_ATTRIBUTES:
                    raise submit_error(
                        f"the ads of {len(jobs)} jobs have more than {MAX_ATTRIBUTES} attributes; "
                        "submit fewer jobs at once, or fewer attributes"
                    )
                before = ad
                if characters > MAX_CHARACTERS:
                    raise submit_error(
                        f"the ads of {len(jobs)} jobs have more than {MAX_CHARACTERS} characters; "
                        "submit fewer jobs at once, or shorter values"
                    )
                report.add_job(cluster, proc, job.ad)
                self._warn(warnings)
            sets = [key for key in symbols if key.startswith("jobset.")]
            if sets and not self._is_dry:
                ignored = "" if sets == ["jobset.name"] else "  Ignoring JOBSET.* attributes"
                self._warn([f"\nWARNING: schedd does not support jobsets.{ignored}\n"])
            if options.warn_unused:
                asked = commands.used | commands.composed if commands else COMMAND_NAMES
                used = IGNORED_NAMES | mentions | asked
                self._warn(_build_unused_warnings(symbols, named, used))
        for prepared in jobs:
            prepared.ad["TotalSubmitProcs"] = str(len(jobs))
        return jobs

    def _warn(self, texts: Iterable[str]) -> None:
        """Add warnings, each once, however many jobs it is about."""
        for text in texts:
            if text not in self._warnings and self._warned <= MAX_WARNINGS:
                self._warned += len(text)
                if self._warned > MAX_WARNINGS:
                    text = "WARNING: there are more warnings, which are not shown\n"
                self._warnings[text] = None

    def _write_ads(self, text: str, complete: bool) -> None:
        """Write the ads of a dry run to its file, if there is one and it is not stdout.

        ``complete``: all jobs were made; ``:full`` touches the file only then.
        """
        path = self._options.dry_run
        if path is None or path == "-" or (self._options.full and not complete):
            return
        try:
            if not path:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
            self._files.write(posixpath.join(self._request.cwd, path), text.encode())
        except OSError as error:
            what = (
                "file to dump ClassAds into" if self._options.dump else "file -dry-run output file"
            )
            raise submit_error(f"Failed to open {what} ({error.strerror})") from None


def _check_text(request: Request) -> None:
    """Raise SubmitError if a name is not UTF-8: neither ads nor messages can hold it."""
    for text in (request.cwd, *request.argv):
        try:
            text.encode()
        except UnicodeEncodeError:
            raise submit_error(f"{text!a} is not UTF-8") from None


def _check_schedd(name: str, ours: str) -> None:
    """Raise SubmitError if ``-name`` or ``-remote`` names another schedd than ours."""
    if name and not is_schedd(name, ours):
        raise submit_error(f"Can't find address of schedd {name}")


def _build_id_macros(cluster: int, proc: int) -> dict[str, str]:
    return {
        "cluster": str(cluster),
        "clusterid": str(cluster),
        "process": str(proc),
        "procid": str(proc),
        "jobid": f"{cluster}.{proc}",
        "joblistid": str(cluster),
        "node": "",
        "taskid": "0",
    }


def _build_unused_warnings(symbols: Symbols, named: set[str], used: frozenset[str]) -> list[str]:
    warnings = []
    for number, (what, name) in enumerate(find_unused(symbols, named, set(used))):
        near = find_nearest(name, COMMAND_NAMES) if number < _MAX_HINTS else ""
        hint = f" Did you mean '{near}'?" if near not in ("", name) else ""
        warnings.append(f"WARNING: {what} was unused by condor_submit. Is it a typo?{hint}\n")
    return warnings
