"""The messages of a submit: sound, all of them, before the first is published."""

from __future__ import annotations

import os
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.fake_submit_host import Host
from thyme.protocol import codec
from thyme.protocol.blobs import MAX_SIZE
from thyme.protocol.events import Recorded, Submit
from thyme.protocol.job import JobId, SandboxFile, Task
from vobox.classad.ad import Ad, SharedItems
from vobox.rpc.types import PreparedJob, SubmitRefused
from vobox.schedd import submit_batch
from vobox.schedd.submit_batch import SubmitBatch

SHARED = SharedItems(Ad({"Owner": '"games"', "Cmd": '"/bin/true"'}).as_template())
TASK = Task("/bin/true")


def make(each: PreparedJob, task: Task) -> Submit | Recorded:
    job = JobId(7, each.proc)
    if each.is_recorded:
        return Recorded("vm", job, 1.5, "p", 1, 2, each.ad.texts(), task)
    return Submit("vm", job, 1.5, "p", 1, 2, 0, each.ad.texts(), task)


def job(proc: int, task: Task = TASK, on_hold: bool = False, **attributes: str) -> PreparedJob:
    ad = Ad.of_items({}, SHARED)
    ad.update(attributes)
    return PreparedJob(proc, ad, task, on_hold)


def bodies(jobs: Sequence[PreparedJob]) -> list[bytes]:
    made = SubmitBatch(7, jobs, make, 600.0)
    return [*made.bodies(made.queued), *made.bodies(made.recorded)]


TEXTS = st.sampled_from(["0", "10", '"caf\xe9"', '"\\\\"', "undefined", "x" * 300])


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([TASK, Task("/bin/sh", ("a",), lease=5.0)]),
            st.booleans(),
            st.dictionaries(st.sampled_from(["A", "B", "Cmd"]), TEXTS),
        ),
        max_size=12,
    )
)
def test_each_is_the_bytes_that_it_would_be_alone_and_its_size_was_known(
    given_jobs: list[tuple[Task, bool, dict[str, str]]],
) -> None:
    jobs = [job(n, task, held, **own) for n, (task, held, own) in enumerate(given_jobs)]
    sent = SubmitBatch(7, jobs, make, 600.0)

    for some in (sent.queued, sent.recorded):
        sizes = list(sent._checked(some))
        found = list(sent.bodies(some))

        assert sizes == [len(body) for body in found]
        assert [codec.decode(body).job.proc for body in found] == [each.proc for each in some]
        for body, each in zip(found, some, strict=True):
            task = each.task if each.task.lease else sent._task(each.task)
            assert body == codec.encode(make(each, task))
            assert sent.published[body] == make(each, task)


def test_only_jobs_that_differ_otherwise_are_made_before_they_are_published() -> None:
    made: list[int] = []

    def noted(each: PreparedJob, task: Task) -> Submit | Recorded:
        made.append(each.proc)
        return make(each, task)

    other = Task("/bin/sh")
    jobs = [job(n, ProcId=str(n)) for n in range(5)] + [job(5, other, ProcId="5")]

    sent = SubmitBatch(7, jobs, noted, 600.0)

    assert made == [0, 5]
    assert len(list(sent.bodies(sent.queued))) == 6
    assert made == [0, 5, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (job(3, Task("/bin/sh", files=(SandboxFile("big", os.urandom(MAX_SIZE)),))), "the limit"),
        (job(3, ProcId="x" * MAX_SIZE), "the limit is 16777216"),
        (job(3, Task("")), "field 'executable' should be"),
    ],
)
def test_one_that_no_message_can_carry_refuses_all(bad: PreparedJob, says: str) -> None:
    jobs = [job(n, ProcId=str(n)) for n in range(3)]

    with pytest.raises(SubmitRefused, match=rf"job 7\.3: .*{says}"):
        SubmitBatch(7, [*jobs, bad], make, 600.0)


def test_all_together_have_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = [job(n, ProcId=str(n)) for n in range(10)]
    monkeypatch.setattr(submit_batch, "MAX_SUBMIT", sum(map(len, bodies(jobs))))
    assert len(bodies(jobs)) == 10

    with pytest.raises(SubmitRefused, match="these 11 jobs carry their files with them"):
        bodies([*jobs, job(10, ProcId="10")])


def test_the_jobs_of_a_cluster_are_made_when_their_turn_comes() -> None:
    jobs = Host({"/home/alice/work/agent.sh": b"#!/bin/sh\n"}).jobs(
        "executable = agent.sh\noutput = $(Process).out\nqueue 20\n"
    )

    sent = SubmitBatch(7, jobs, make, 600.0)

    assert len(sent._made) <= 2 and len(list(sent.bodies(sent.queued))) == 20


def test_what_nobody_foresaw_is_said_when_it_is_made() -> None:
    sent = SubmitBatch(7, [job(n, ProcId=str(n)) for n in range(3)], make, 600.0)
    sent.queued[2].ad["ProcId"] = "x" * MAX_SIZE

    with pytest.raises(SubmitRefused, match=r"job 7\.2: .* the limit is 16777216"):
        list(sent.bodies(sent.queued))
