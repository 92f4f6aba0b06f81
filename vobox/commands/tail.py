"""condor_tail: what a running job has written, asked of its worker.

The worker is asked by mail and answers by mail; it reads nothing outside the
job's own directory. Command line and texts as HTCondor's tool
(src/condor_tools/peek.cpp); with ``-f`` it asks again every two seconds, until
the job does not run any more.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from thyme.protocol.job import JobId
from thyme.protocol.mail import Peek, Peeked
from vobox.client.usage import USAGES
from vobox.jobs.job import Job
from vobox.jobs.status import HELD, IDLE, RUNNING, SUSPENDED
from vobox.rpc.types import Answer

from .command_line import CommandLine, EarlyExit, Option, Word, answers_early
from .job_selection import is_cluster_id, is_job_id, may_modify
from .schedd_names import is_schedd

OPTIONS = (
    Option("help", 4),
    Option("version", 7),
    Option("debug", 5, ignored=True),
    Option("pool", 4, values=1, ignored=True),
    Option("name", 4, values=1),
    Option("maxbytes", 8, values=1),
    Option("no-stdout", 9),
    Option("stderr", 6),
    Option("f", 1),
    Option("follow", 6),
    Option("auto-retry", 10),
)
USAGE = USAGES["condor_tail"]
COMMAND_LINE = CommandLine(
    OPTIONS,
    USAGE,
    unknown="Unrecognized option: {option}\n{usage}",
    missing="{option} requires an argument.\n\n{usage}",
    help_on_stderr=True,
)
#: HTCondor's names for the streams in the job's directory.
STDOUT, STDERR = "_condor_stdout", "_condor_stderr"
#: Bytes of a file at first, unless ``-maxbytes`` is given.
MAX_BYTES = 1024
#: Bytes of a file in one answer at most.
MOST = 1024 * 1024
#: Seconds until a following tail asks again.
PAUSE = 2.0


class CannotPeek(Exception):
    """There is nothing to show; ``later``: whether there may be something after a while."""

    def __init__(self, text: str, later: bool = False) -> None:
        super().__init__(text)
        self.later = later


@dataclass
class TailRequest:
    """A parsed command line; ``files`` are names in the job's directory."""

    job: JobId = field(default_factory=lambda: JobId(0, 0))
    files: list[str] = field(default_factory=list)
    limit: int = MAX_BYTES
    follow: bool = False
    retry: bool = False


def parse(argv: Sequence[str], schedd: str) -> TailRequest:
    """Read a command line; raises EarlyExit. ``schedd``: the name of ours."""
    request, words, streams = TailRequest(), [], [STDOUT]
    for item in COMMAND_LINE.parse(argv):
        if isinstance(item, Word):
            words.append(item.text)
            continue
        name, value = item.name, item.value
        if name == "name" and not is_schedd(value, schedd):
            raise EarlyExit(f"No such schedd named {value} in local pool\n")
        if name == "maxbytes":
            digits = value.removeprefix("+")
            if value.startswith("-"):
                raise EarlyExit(f"-maxbytes requires an argument.\n\n{USAGE}")
            if not (digits.isascii() and digits.isdigit()):
                raise EarlyExit(f"Error: maxbytes ({value}) is not valid\n\n{USAGE}")
            request.limit = min(int(digits.lstrip("0")[:12] or "0"), MOST)
        elif name in ("no-stdout", "stderr"):
            streams = [STDERR] if name == "stderr" else []
        request.follow |= name in ("f", "follow")
        request.retry |= name == "auto-retry"
    request.files = streams + words[1:]
    if not request.files:
        raise EarlyExit(f"No file transfer specified.\n\n{USAGE}")
    if not words:
        raise EarlyExit(f"Job ID not specified.\n{USAGE}")
    if is_cluster_id(words[0].removesuffix(".")):
        words[0] = words[0].removesuffix(".") + ".0"
    if not is_job_id(words[0]):
        raise EarlyExit(f"Invalid Job ID: {words[0]}\n{USAGE}")
    request.job = JobId.parse(words[0])
    return request


def check_job(job: Job | None, wanted: JobId, uid: int, user: str) -> Job:
    """Return the job if it runs and the user may read its files; raises CannotPeek.

    ``wanted``: the id that was asked for; ``uid`` and ``user``: who asks.
    """
    if job is None or not job.in_queue:
        raise CannotPeek(f"No such job: {wanted}")
    if not may_modify(job, uid):
        raise CannotPeek(f"{user} is not authorized for access to the files of job {wanted}")
    if job.status in (RUNNING, SUSPENDED) and job.worker:
        return job
    if job.status == HELD:
        raise CannotPeek(f"Job {wanted} is held: {job.ad.text('HoldReason')}")
    raise CannotPeek(f"Job {wanted} is not running.", later=job.status == IDLE)


#: Ask the worker that runs the job; raises CannotPeek.
Ask = Callable[[JobId, Callable[[Job], Peek]], Peeked]


@answers_early
def answer(
    argv: Sequence[str], schedd: str, ask: Ask, sleep: Callable[[float], None] = time.sleep
) -> Answer:
    """Carry out condor_tail; what the files hold comes as the answer's further parts.

    :param schedd: the name of ours
    :param ask: asks the worker that runs the job
    :param sleep: waits so many seconds before it is asked again
    """
    return Answer(more=_build_parts(parse(argv, schedd), schedd, ask, sleep))


def _build_parts(
    request: TailRequest, schedd: str, ask: Ask, sleep: Callable[[float], None]
) -> Iterator[Answer]:
    offsets = dict.fromkeys(request.files, -1)
    shown = False
    while True:
        try:
            for name, offset in offsets.items():
                got = ask(request.job, _build_question(schedd, request, name, offset))
                if got.reason:
                    raise CannotPeek(f"Failed to peek at file from starter: {got.reason}")
                offsets[name] = got.offset + len(got.data)
                yield Answer(got.data.decode("utf-8", "surrogateescape"))
            shown = True
        except CannotPeek as error:
            if shown:
                return  # most likely the job has ended
            if not (error.later and request.retry):
                yield Answer(stderr=f"{error}\n", code=1)
                return
            yield Answer()  # nothing yet: shows whether the caller is still there
        if shown and not request.follow:
            return
        sleep(PAUSE)


def _build_question(
    schedd: str, request: TailRequest, name: str, offset: int
) -> Callable[[Job], Peek]:
    limit = request.limit if offset < 0 else MOST
    return lambda job: Peek(schedd, job.id, job.attempt, name, offset, limit, life=job.life)
