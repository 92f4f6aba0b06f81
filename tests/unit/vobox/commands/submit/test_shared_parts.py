"""Jobs made together are the jobs that would be made one by one."""

from dataclasses import replace
from functools import partial

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.support.fake_submit_host import CWD, NOW, FakeSubmitHost, make_proxy
from thyme.protocol import codec
from thyme.protocol.blobs import Deflated
from thyme.protocol.events import Submit
from thyme.protocol.job import JobId
from vobox.classad.ad import Ad
from vobox.commands.submit.base_attributes import Submission
from vobox.commands.submit.description import Assignment, ExtraLines, read_description
from vobox.commands.submit.errors import SubmitError
from vobox.commands.submit.input_files import FileCache
from vobox.commands.submit.job import JobMaker, Submitter
from vobox.commands.submit.job_commands import Commands
from vobox.commands.submit.queue import expand_queue
from vobox.commands.submit.shared_parts import SharedParts
from vobox.commands.submit.sources import TextSources
from vobox.rpc.types import PreparedJob

#: What may differ from job to job, said straight or by way of another macro.
VALUES = st.sampled_from(
    ["7", "$(Process)", "$(x)", "$(v)", "$(w)", "1$(Row)", "$(v$(one))", "$CHOICE(0,list)",
     "$(JobId)", "$INT(Process,%03d)", "$(Step)$(Item)", "$(nope)", "$Fnx(path)"]
)  # fmt: skip
COMMANDS = st.sampled_from(
    ["arguments", "environment = A", "output", "error", "input", "log", "+Custom", "+JobPrio",
     "priority", "request_memory", "request_cpus", "+RequestCpus", "periodic_remove = JobStatus >",
     "job_lease_duration", "max_retries", "batch_name", "accounting_group", "description",
     "notify_user", "+TransferOutput", "kill_sig_timeout", "on_exit_hold = ExitCode ==",
     "concurrency_limits = c", "initialdir", "transfer_input_files", "transfer_output_files",
     "leave_in_queue = ProcId ==", "requirements = Memory >", "rank", "allowed_job_duration",
     "max_transfer_output_mb", "image_size = 1", "JobLeaseDuration", "hold = 1 ==",
     "x509userproxy = p", "grid_resource = batch", "transfer_output_remaps = a", "getenv",
     "+KillSig = SIGTERM #", "success_exit_code", "shell"]
)  # fmt: skip
FIXED = """\
executable = agent.sh
one = 1
v = $(w)
w = $(Process)
v1 = $(Row)
list = 3, 4
path = /a/$(x).txt
"""


def files() -> dict[str, bytes]:
    numbers = {f"{CWD}/{n}": b"input %d" % n for n in range(12)}
    inside = {f"{CWD}/{n}/{m}": b"x" for n in ("a0", "a1") for m in range(3)}
    return {**numbers, **inside, **{f"{CWD}/p{n}": make_proxy() for n in range(2)}}


FILES = files()


@st.composite
def line(draw: st.DrawFn) -> str:
    command, value = draw(COMMANDS), draw(VALUES)
    return f"{command}{value}" if "=" in command else f"{command} = {value}"


def one_by_one(text: str) -> list[PreparedJob]:
    """Return the jobs, each made as if it were the first of its queue statement."""
    host = FakeSubmitHost(FILES)
    store = FileCache(host.files)
    sources = TextSources(host.files, store, CWD, host.caller)
    (step,) = read_description(text, "e.sub", ExtraLines(), host.env, {}, sources).queue_statements
    submission = Submission(7, "alice", host.target.schedd_name, NOW, "e.sub")
    submitter = Submitter(CWD, host.env, 1000)
    made = []
    for proc, slot in enumerate(
        expand_queue(step, "e.sub", sources, lambda _warnings: None, 20_000)
    ):
        ids = {"cluster": "7", "process": str(proc), "procid": str(proc), "jobid": f"7.{proc}"}
        commands = Commands(step.symbols, slot.variables, ids, host.env)
        maker = JobMaker(commands, submission, submitter, store)
        made.append(maker.make(proc)[0])
    return made


def said(job: PreparedJob) -> tuple[object, ...]:
    ad = {name: text for name, text in job.ad.pairs() if name != "TotalSubmitProcs"}
    return ad, job.task, job.on_hold


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    lines=st.lists(line(), max_size=6),
    queue=st.sampled_from(
        ["queue 3", "queue x in (5 6 8)", "queue 2 x,arguments from (\n5 a\n6\n)"]
    ),
)
def test_a_job_of_a_cluster_is_what_it_would_be_alone(lines: list[str], queue: str) -> None:
    text = "\n".join([FIXED, *lines, queue])
    host = FakeSubmitHost(FILES)
    answer = host.submit(text)
    if answer.code:
        with pytest.raises(SubmitError):
            one_by_one(text)
        return

    together = host.target.submitted[-1][1]

    assert [said(job) for job in together] == [said(job) for job in one_by_one(text)]


#: What a part writes into the ad, one after the other; None: deletes.
WRITES = st.lists(
    st.tuples(st.sampled_from(["A", "a", "B", "C", "D", "E"]), st.sampled_from(["1", "2", None])),
    max_size=4,
)


def write(ad: Ad, writes: list[tuple[str, str | None]]) -> None:
    for name, text in writes:
        if text is not None:
            ad[name] = text
        elif name in ad:
            del ad[name]


@settings(max_examples=500, deadline=None)
@given(st.lists(st.tuples(WRITES, st.booleans()), max_size=6))
@example([([("a", "1")], False), ([("A", None), ("A", "1")], True)])
def test_parts_that_are_merged_make_the_ad_that_they_make_one_by_one(
    given_parts: list[tuple[list[tuple[str, str | None]], bool]],
) -> None:
    alone = Ad()
    for writes, _for_each in given_parts:
        write(alone, writes)
    parts = SharedParts(Commands({}, {}, {}, {}))
    ads = []
    for _ in range(3):
        ad = parts.begin_job()
        for writes, for_each in given_parts:
            parts.make(partial(write, ad, writes), for_each_job=for_each)
        ads.append(ad)

    assert [dict(ad.pairs()) for ad in ads] == [dict(alone.pairs())] * 3
    assert [ad.texts() for ad in ads] == [dict(alone.pairs())] * 3
    if all(text is not None for writes, _for_each in given_parts for _name, text in writes):
        assert [list(ad.texts()) for ad in ads] == [list(alone)] * 3


@pytest.mark.parametrize("how", ["result", "attribute", "presence", "named", "command"])
def test_a_part_that_reads_what_differs_is_made_for_each_job(how: str) -> None:
    made: list[str] = []
    symbols = {"x": Assignment("x", "$(Process)"), "y": Assignment("y", "7")}
    commands = Commands(symbols, {}, {"process": "0"}, {})
    parts = SharedParts(commands)

    def first(ad: Ad, proc: int) -> int:
        made.append("first")
        ad["Own"] = str(proc)
        return proc

    for proc in range(3):
        commands.next_job({}, {"process": str(proc)})
        ad = parts.begin_job()
        own = parts.make(partial(first, ad, proc), for_each_job=True)
        parts.make(lambda: made.append("shared") or commands.get("y"))  # type: ignore[func-returns-value]
        reading = {
            "result": lambda own=own: own.value,
            "attribute": lambda ad=ad: int(ad["own"]),
            "presence": lambda ad=ad: "OWN" in ad and ad.number("Own"),
            "named": lambda proc=proc: proc,
            "command": lambda: int(commands.get("x") or -1),
        }[how]
        result = parts.make(reading, reads=(own,) if how == "named" else ())
        assert result.value == proc

    assert made == ["first", "shared", "first", "first"]


def test_what_jobs_share_is_the_same_object_and_so_is_deflated_once() -> None:
    jobs = FakeSubmitHost(FILES).make_jobs(
        "executable = agent.sh\narguments = $(Process)\noutput = $(x)\nqueue x in (1 2 3)\n"
    )

    assert len({id(job.task.files) for job in jobs}) == 1
    assert [job.task.arguments for job in jobs] == [("0",), ("1",), ("2",)]


def test_an_attribute_that_two_parts_set_is_the_later_ones_for_every_job() -> None:
    jobs = FakeSubmitHost(FILES).make_jobs(
        "executable = agent.sh\npriority = $(Process)\n+JobPrio = 0\nqueue 3\n"
    )

    # for the first job both say 0; that must not be taken for "the later one said nothing"
    assert [job.ad["JobPrio"] for job in jobs] == ["0", "0", "0"]


def test_messages_that_share_files_are_the_same_bytes_as_alone() -> None:
    big = bytes(range(256)) * 64
    jobs = FakeSubmitHost({f"{CWD}/big": big}).make_jobs(
        "executable = agent.sh\ntransfer_input_files = big\narguments = $(Process)\nqueue 3\n"
    )
    messages = [
        Submit(
            "s", JobId(7, job.proc), 0.0, "p", 1, 1, 0, dict(job.ad.pairs()), job.task, life="a1"
        )
        for job in jobs
    ]

    deflated: Deflated = {}
    together = [codec.encode(each, deflated) for each in messages]
    assert together == [codec.encode(each) for each in messages]


def test_who_does_not_run_a_job_need_not_inflate_its_input() -> None:
    job = FakeSubmitHost({f"{CWD}/big": b"x" * 5000}).make_job(
        "executable = agent.sh\ntransfer_input_files = big\nqueue\n"
    )
    sent = Submit("s", JobId(7, 0), 0.0, "p", 1, 1, 0, dict(job.ad.pairs()), job.task, life="a1")

    read = codec.decode(codec.encode(sent), with_files=False)

    assert isinstance(read, Submit)
    files = {file.name: file.data for file in read.task.files}
    assert files == {file.name: file.data for file in job.task.files} | {"big": bytes(5000)}
    assert replace(read, task=replace(read.task, files=())) == replace(
        sent, task=replace(job.task, files=())
    )
