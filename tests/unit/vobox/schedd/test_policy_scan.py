"""A round of policies over many jobs: in slices, with live usage, each alike job once."""

from collections.abc import Iterator

import pytest
from classad2 import ExprTree

from tests.support.schedd_parts import NOW, SCHEDD, Events, Expression, ScheddHarness, ad_of
from thyme.protocol.events import Held, Usage
from thyme.protocol.job import JobId
from vobox.classad.ad import Ad
from vobox.classad.expressions import Evaluator
from vobox.jobs.job import Job
from vobox.jobs.policy import check_periodic
from vobox.schedd import policy_scan


def add(bench: ScheddHarness, *ids: str, **policies: str) -> None:
    attributes = {name: Expression(text) for name, text in policies.items()}
    bench.submit(*(Events(JobId.parse(each), attributes=attributes).submit() for each in ids))


def states(bench: ScheddHarness) -> dict[str, int]:
    return {str(job.id): job.status for job in bench.ledger._read_jobs("1=1")}


def test_a_round_is_cut_into_slices_and_reaches_every_job_once(
    bench: ScheddHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(policy_scan, "SLICE", 2)
    monkeypatch.setattr(policy_scan, "SLICE_SECONDS", 60.0)
    ids = ["1.0", "1.1", "1.2", "2.0", "10.0"]
    add(bench, *ids, PeriodicHold="NumHolds =?= undefined")
    add(bench, "3.0")
    more = [bench.reconciler.scan_policies() for _ in range(3)]
    bench.settle()
    assert more == [True, True, False]
    assert states(bench) == {**dict.fromkeys(ids, 5), "3.0": 1}
    # what is held already is looked at again in the next round, and left as it is
    assert bench.reconciler.scan_policies() is True
    bench.settle()
    assert bench.kinds(JobId(1, 0)) == ["submit", "held"]


def test_a_slice_ends_in_time_however_long_an_expression_takes(bench: ScheddHarness) -> None:
    ids = ["1.0", "1.1", "1.2"]
    add(bench, *ids, PeriodicHold="true")
    times = iter(range(100))  # each look at the clock is a second after the last
    scan = policy_scan.PolicyScan("vm", bench.ledger, lambda _job: {}, lambda: float(next(times)))

    slices = [scan.scan_slice(NOW) for _ in range(4)]

    found = [[str(event.job) for event in events] for events, _ in slices]
    assert found == [*([one] for one in ids), []]
    assert [more for _, more in slices] == [True, True, True, False]


def test_of_a_slice_no_job_is_read_that_is_not_checked(
    bench: ScheddHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each may have an ad of megabytes."""
    monkeypatch.setattr(policy_scan, "SLICE", 2)
    add(bench, *(f"1.{proc}" for proc in range(5)), PeriodicHold="true")
    read: list[JobId] = []
    all_read = bench.ledger.read_with_policy

    def note(after: JobId) -> Iterator[Job]:
        for job in all_read(after):
            read.append(job.id)
            yield job

    monkeypatch.setattr(bench.ledger, "read_with_policy", note)
    scan = policy_scan.PolicyScan("vm", bench.ledger, lambda _job: {}, lambda: 0.0)
    for procs, more in (((0, 1), True), ((2, 3), True), ((4,), False)):
        read.clear()
        events, left = scan.scan_slice(NOW)
        assert (read, left) == ([JobId(1, proc) for proc in procs], more)
        assert [event.job for event in events] == read


DOUBLED = {f"A{n}": Expression(f"strcat(A{n - 1}, A{n - 1})") for n in range(1, 21)}


@pytest.mark.parametrize(
    ("attributes", "subcode"),
    [
        ({"PeriodicHoldSubCode": Expression("-9223372036854775807 - 1")}, -(2**31)),
        ({"PeriodicHoldSubCode": Expression("99999999999")}, 2**31 - 1),
        ({"A0": "x" * 16, **DOUBLED, "PeriodicHoldReason": Expression("A20")}, 0),
    ],
    ids=["a small number", "a large one", "16 million letters"],
)
def test_whatever_an_expression_gives_the_job_is_held_and_the_others_go_on(
    bench: ScheddHarness, attributes: dict[str, object], subcode: int
) -> None:
    bad = Events(JobId(1, 0), attributes={"PeriodicHold": Expression("true"), **attributes})
    bench.submit(bad.submit())
    add(bench, "2.0", PeriodicHold="true")

    bench.policies()
    bench.policies()  # the first may have taken all the time of a slice

    assert states(bench) == {"1.0": 5, "2.0": 5}
    held = bench.job(JobId(1, 0)).ad
    assert held.number("HoldReasonSubCode", 1) == subcode
    assert len(held.text("HoldReason")) <= 4096


def test_a_job_whose_policies_cannot_be_checked_is_held_and_the_others_go_on(
    bench: ScheddHarness, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    add(bench, "1.0", "2.0", PeriodicHold="true")
    real = policy_scan.policy.check_periodic

    def check(ad: Ad, *more: object) -> object:
        if ad["ClusterId"] == "1":
            raise ZeroDivisionError("oops")
        return real(ad, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(policy_scan.policy, "check_periodic", check)

    bench.policies()

    assert states(bench) == {"1.0": 5, "2.0": 5}
    assert bench.job(JobId(1, 0)).ad.text("HoldReason") == (
        "its policies cannot be checked: ZeroDivisionError: oops"
    )
    assert "checking the policies of job 1.0" in caplog.text


def test_policies_see_what_a_running_job_has_used_so_far(bench: ScheddHarness) -> None:
    add(bench, "1.0", "1.1", PeriodicHold="ResidentSetSize > 1000 && RemoteUserCpu > 10")
    bench.record(Events(JobId(1, 0)).started(), Events(JobId(1, 1)).started("w2"))
    bench.leases.live.update(JobId(1, 0), Usage(20.0, 1.0, 30.0, 2048), NOW)
    bench.leases.live.update(JobId(1, 1), Usage(20.0, 1.0, 30.0, 512), NOW)
    bench.policies()
    assert states(bench) == {"1.0": 5, "1.1": 2}
    # and the ledger's ad is not made of live values
    assert "ResidentSetSize" not in bench.job(JobId(1, 1)).ad


def test_jobs_with_the_same_values_are_evaluated_once(monkeypatch: pytest.MonkeyPatch) -> None:
    evaluated = []
    real = Evaluator._evaluate

    def counted(self: Evaluator, ad: Ad, tree: ExprTree, values: dict[str, object]) -> object:
        evaluated.append(str(tree))
        return real(self, ad, tree, values)

    monkeypatch.setattr(Evaluator, "_evaluate", counted)
    look = Evaluator(NOW)
    text = "CurrentTime - QDate > 100"
    for proc in range(50):
        ad = ad_of(JobId(7, proc), PeriodicRemove=Expression(text), Args=f"job {proc}")
        check_periodic(ad, 1, NOW, look)
    assert len(evaluated) == 1


def test_a_completed_job_stays_for_as_long_as_it_says_and_then_leaves(bench: ScheddHarness) -> None:
    add(bench, "1.0", LeaveJobInQueue="CurrentTime - CompletionDate < 5000")
    e = Events(JobId(1, 0))
    bench.record(e.started(), e.finished())
    bench.policies()
    assert bench.job(JobId(1, 0)).in_queue and bench.job(JobId(1, 0)).status == 4
    bench.wall.now += 10000
    bench.policies()
    assert not bench.job(JobId(1, 0)).in_queue


def test_a_policy_removes_a_completed_job_that_stays(bench: ScheddHarness) -> None:
    add(bench, "1.0", LeaveJobInQueue="JobStatus == 4", PeriodicRemove="JobStatus == 4")
    e = Events(JobId(1, 0))
    bench.record(e.started(), e.finished())
    bench.policies()
    job = bench.job(JobId(1, 0))
    assert (job.status, job.in_queue) == (3, False)


def test_a_job_whose_policies_take_too_long_is_held_and_not_checked_again(
    bench: ScheddHarness,
) -> None:
    add(bench, "1.0", "2.0", PeriodicHold="JobStatus == 7")
    spent = {"1": 0.2, "2": 0.001}
    cpu, checked = [0.0], []

    def check(ad: Ad, *_more: object) -> object:
        checked.append(ad["ClusterId"])
        cpu[0] += spent[ad["ClusterId"]]
        return policy_scan.policy.NO_ACTION

    scan = policy_scan.PolicyScan(SCHEDD, bench.ledger, lambda _job: {}, cpu_time=lambda: cpu[0])
    bench.state.policy_scan = scan
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(policy_scan.policy, "check_periodic", check)
        for _ in range(3):
            bench.policies()

    assert states(bench) == {"1.0": 5, "2.0": 1}
    reason = bench.job(JobId(1, 0)).ad.text("HoldReason")
    assert reason.startswith(
        "its policies took 0.20 s of CPU to evaluate, more than 0.1 s; simplify"
    )
    assert checked.count("1") == 2 and checked.count("2") == 3


def test_an_ended_job_whose_leave_in_queue_takes_too_long_leaves_the_queue(
    bench: ScheddHarness, caplog: pytest.LogCaptureFixture
) -> None:
    e = Events(JobId(1, 0), attributes={"LeaveJobInQueue": Expression("true")})
    bench.submit(e.submit())
    bench.record(e.started(), e.finished())
    cpu = [0.0]

    def stay(*_more: object) -> bool:
        cpu[0] += 0.2
        return True

    scan = policy_scan.PolicyScan(SCHEDD, bench.ledger, lambda _job: {}, cpu_time=lambda: cpu[0])
    bench.state.policy_scan = scan
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(policy_scan.policy, "stays_in_queue", stay)
        bench.policies()
        assert bench.job(e.job).in_queue, "once may be the machine's fault"
        bench.policies()

    assert not bench.job(e.job).in_queue
    assert caplog.messages == ["job 1.0: leave_in_queue took 0.20 s to evaluate: it leaves"]


def test_a_leave_in_queue_that_cannot_be_evaluated_is_said_and_tried_again(
    bench: ScheddHarness, caplog: pytest.LogCaptureFixture
) -> None:
    e = Events(JobId(1, 0), attributes={"LeaveJobInQueue": Expression("true")})
    bench.submit(e.submit())

    def fail(*_more: object) -> bool:
        raise RuntimeError("the library is at fault")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(policy_scan.policy, "stays_in_queue", fail)
        bench.record(e.started(), e.finished())
    assert caplog.messages == ["job 1.0: its leave_in_queue, which is evaluated again"]
    assert bench.job(e.job).in_queue

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(policy_scan.policy, "stays_in_queue", lambda *_more: False)
        bench.policies()
    assert not bench.job(e.job).in_queue


def test_policies_of_an_owner_who_has_spent_his_time_wait_and_nobody_elses(
    bench: ScheddHarness,
) -> None:
    add(bench, *(f"1.{proc}" for proc in range(30)), PeriodicHold="false")
    other = Events(JobId(2, 0), attributes={"PeriodicHold": Expression("true")}, uid=4711)
    bench.submit(other.submit())
    cpu = [0.0]
    real = policy_scan.policy.check_periodic

    def check(ad: Ad, *more: object) -> object:
        cpu[0] += 0.09 if ad["ClusterId"] == "1" else 0.0
        return real(ad, *more)  # type: ignore[arg-type]

    scan = policy_scan.PolicyScan(
        SCHEDD, bench.ledger, lambda _job: {}, lambda: 0.0, cpu_time=lambda: cpu[0]
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(policy_scan.policy, "check_periodic", check)
        bench.state.policy_scan = scan
        bench.policies()
    assert cpu[0] < 1.2, "30 would take 2.7 s"
    assert bench.job(JobId(2, 0)).status == 5
    held = scan.check_exit(bench.job(JobId(1, 0)), NOW, NOW)
    assert isinstance(held, Held)
    assert held.hold.text.startswith(
        "its policies are not checked: the expressions took more than 1 s of CPU"
    )
