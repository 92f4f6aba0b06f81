"""Which attributes a job has when (contract, section 5), and how its own policy ends it."""

from dataclasses import replace

import classad2
import pytest

from tests.support.schedd_parts import (
    NOW,
    SCHEDD,
    Events,
    Expression,
    describe_effects,
    describe_job,
    job_after,
    transition_after,
)
from thyme.protocol.events import Continued, HoldReason, JobMessage, Machine, Suspended
from vobox.jobs import ad_updates
from vobox.jobs.policy import check_on_exit

# --- the end by the job's own policy ------------------------------------------------------------


def test_a_job_held_by_its_exit_keeps_its_exit_code_and_its_output_is_saved() -> None:
    # DIRAC: on_exit_hold = ExitCode =!= 0, subcode 55
    e = Events(attributes={"OnExitHold": Expression("ExitCode =!= 0"), "OnExitHoldSubCode": 55})
    events = [e.submit(), e.started(), e.finished(code=7)]
    action = check_on_exit(job_after(*events).ad, NOW)
    change = transition_after(*events, e.not_completed(action.hold))
    job = change.job
    assert job is not None and not action.leaves
    assert (job.status, job.ad["ExitCode"], job.ad["HoldReasonCode"]) == (5, "7", "3")
    assert job.ad["HoldReasonSubCode"] == "55"
    assert "TerminationPending" not in job.ad
    assert "CompletionDate" not in job.ad
    assert describe_effects(change) == "012 save"


def test_a_job_that_does_not_want_to_leave_runs_again() -> None:
    e = Events(attributes={"OnExitRemove": Expression("ExitCode == 0")})
    events = [e.submit(), e.started(), e.finished(code=1)]
    assert check_on_exit(job_after(*events).ad, NOW).leaves is False
    change = transition_after(*events, e.not_completed())
    assert change.job is not None and "CompletionDate" not in change.job.ad
    assert change.job.ad["RequeueReason"] == '"OnExitRemove is false"'
    assert describe_job(change.job) == "idle"
    assert describe_effects(change) == "004 save"
    done = job_after(e.submit(), e.started("w1", 0), e.finished(code=0))
    assert done.status == 6


def test_a_job_that_could_not_be_started_is_held_without_an_exit_code() -> None:
    e = Events()
    hold = HoldReason(6, 2, "Failed to execute")
    job = job_after(e.submit(), e.started(), e.finished(code=None, hold=hold))
    assert (job.status, job.ad["HoldReasonCode"], job.has_result) == (5, "6", False)
    assert "ExitCode" not in job.ad and "TerminationPending" not in job.ad


# --- attributes (contract, section 5) -----------------------------------------------------------


def test_attributes_at_submit() -> None:
    ad = job_after(Events().submit()).ad
    assert {ad[name] for name in ("NumJobStarts", "NumJobCompletions", "CurrentHosts")} == {"0"}
    assert ad["RemoteWallClockTime"] == "0.0" and ad["ExitBySignal"] == "false"
    absent = ("JobStartDate", "CompletionDate", "ExitCode", "RemoteHost", "LastJobStatus")
    assert [name for name in absent if name in ad] == []


def test_attributes_of_a_running_job() -> None:
    e = Events()
    ad = job_after(e.submit(), e.started()).ad
    start = str(int(NOW) + 2)
    assert ad["JobStartDate"] == ad["JobCurrentStartDate"] == start
    assert ad["JobCurrentStartExecutingDate"] == ad["EnteredCurrentStatus"] == start
    assert (ad["RemoteHost"], ad["CurrentHosts"]) == ('"slot1_1@w1"', "1")
    assert (ad["NumJobStarts"], ad["JobRunCount"], ad["LastJobStatus"]) == ("1", "1", "1")
    assert ad["RemoteWallClockTime"] == "0.0"


def test_attributes_of_a_second_run_remember_the_first() -> None:
    e = Events()
    first = [e.submit(), e.started(), e.evicted(reason="pilot evicted")]
    ad = job_after(*first).ad
    assert "RemoteHost" not in ad and ad["LastRemoteHost"] == '"slot1_1@w1"'
    ad = job_after(*first, e.submit(1), e.started("w2", 1), e.finished("w2", 1)).ad
    assert ad["NumJobStarts"] == "2"
    assert ad["JobStartDate"] == ad["JobLastStartDate"] != ad["JobCurrentStartDate"]
    assert (ad["RemoteWallClockTime"], ad["RemoteUserCpu"]) == ("20.0", "1.5")
    assert (ad["CumulativeRemoteUserCpu"], ad["CumulativeRemoteSysCpu"]) == ("3.0", "1.0")


def test_attributes_of_a_completed_job() -> None:
    e = Events()
    ended = [e.submit(), e.started(), e.finished(code=3, stdout=b"hi\n")]
    ad = job_after(*ended, e.delivered()).ad
    assert (ad["ExitCode"], ad["ExitBySignal"], ad["ExitStatus"]) == ("3", "false", "0")
    assert "ExitSignal" not in ad and ad["BytesSent"] == "3.0"
    assert ad["CompletionDate"] == str(int(NOW) + 3)
    assert ad["LastJobStatus"] == "2"
    assert ad["EnteredCurrentStatus"] == str(int(NOW) + 4)
    assert (ad["ImageSize"], ad["ImageSize_RAW"]) == ("2250", "2048")
    # 25 % of 1000, rounded up, as HTCondor's SCHEDD_ROUND_ATTR_ResidentSetSize
    assert (ad["ResidentSetSize"], ad["ResidentSetSize_RAW"]) == ("2250", "2048")
    assert (ad["CommittedTime"], ad["CommittedSlotTime"], ad["CpusUsage"]) == ("10", "10.0", "0.2")
    assert ad["MemoryUsage"] == "((ResidentSetSize + 1023) / 1024)"


def test_attributes_of_a_job_that_died_of_a_signal() -> None:
    e = Events()
    ad = job_after(e.submit(), e.started(), e.finished(code=None, signal=9)).ad
    assert (ad["ExitBySignal"], ad["ExitSignal"], "ExitCode" in ad) == ("true", "9", False)


def test_attributes_of_a_job_removed_while_it_ran() -> None:
    e = Events()
    removal = e.submit(), e.started(), e.removed()
    ad = job_after(*removal, e.evicted()).ad
    assert (ad["ExitBySignal"], "ExitCode" in ad, "ExitSignal" in ad) == ("false", False, False)
    assert (ad["VacateReasonCode"], ad["NumVacates"]) == ("1023", "1")
    assert ad["NumVacatesByReason"] == "[ JobRemoved = 1 ]"
    ended = replace(e.evicted(), exit_code=7)
    trapped = job_after(*removal, ended).ad
    assert (trapped["ExitBySignal"], trapped["ExitCode"]) == ("false", "7")
    killed = job_after(*removal, replace(ended, exit_code=None, signal=9)).ad
    assert (killed["ExitBySignal"], killed["ExitSignal"]) == ("true", "9")
    assert killed["ExitReason"] == '"died on signal 9 (Killed)"'
    assert ad["RemoveReason"] == '"via condor_rm (by user games)"'
    assert "CompletionDate" not in ad and "RemoteHost" not in ad
    assert ad["RemoteWallClockTime"] == "10.0"


@pytest.mark.parametrize(
    ("size", "rounded"),
    [(0, 0), (1, 1), (123, 125), (7404, 7500), (1000001, 1250000)],
)
def test_sizes_are_rounded_as_htcondor_rounds_them(size: int, rounded: int) -> None:
    assert ad_updates.round_up_size(size) == rounded


def test_a_run_says_when_it_was_matched_and_what_it_was_given() -> None:
    e = Events()
    machine = Machine(4, 2000, 10**6, "X86_64", "LINUX", "Debian12")
    first = [e.submit(), replace(e.started(), machine=machine)]
    ad = job_after(*first).ad
    assert (ad["CpusProvisioned"], ad["MemoryProvisioned"], ad["DiskProvisioned"]) == (
        "4", "2000", "1000000",
    )  # fmt: skip
    start = str(int(NOW) + 2)
    assert (ad["FirstJobMatchDate"], ad["LastMatchTime"], ad["JobStartDate"]) == (start,) * 3
    assert (ad["NumJobMatches"], ad["InitialWaitDuration"]) == ("1", "2")

    ad = job_after(*first, e.evicted(reason="vacated"), e.submit(1), e.started("w2", 1)).ad
    assert (ad["NumJobMatches"], ad["FirstJobMatchDate"]) == ("2", start)
    assert (ad["LastMatchTime"], "CpusProvisioned" in ad) == (str(int(NOW) + 5), False)
    assert ad["NumVacatesByReason"] == "[ ScheddVacate = 1 ]"
    assert "VacateReason" not in ad and "LastVacateTime" in ad


def test_a_run_that_is_ended_by_a_hold_says_how_its_program_ended() -> None:
    e = Events()
    running = e.submit(), e.started(), e.held(), replace(e.evicted(), signal=15)
    ad = job_after(*running).ad
    assert (ad["ExitBySignal"], ad["ExitSignal"]) == ("true", "15")
    assert ad["ExitReason"] == '"died on signal 15 (Terminated)"'
    assert (ad["BytesSent"], ad["NumJobCompletions"]) == ("0.0", "0")


def test_the_time_of_suspension_is_committed_by_the_run_that_completes_the_job() -> None:
    e = Events()

    def stand_still(since: float, until: float) -> list[JobMessage]:
        return [
            Suspended(SCHEDD, e.job, NOW + since, "by request"),
            Continued(SCHEDD, e.job, NOW + until, "by request"),
        ]

    lost = [e.submit(), e.started(), *stand_still(10, 14), e.evicted(reason="vacated"), e.submit(1)]
    done = [e.started("w2", 1), *stand_still(20, 26), e.finished("w2", 1)]
    assert "CommittedSuspensionTime" not in job_after(*lost, *done[:-1]).ad
    ad = job_after(*lost, *done, e.delivered()).ad
    assert (ad["CommittedSuspensionTime"], ad["CumulativeSuspensionTime"]) == ("6", "10")
    assert "UncommittedSuspensionTime" not in ad


def test_a_removal_by_force_of_a_job_that_was_kept_says_so() -> None:
    e = Events(attributes={"LeaveJobInQueue": Expression("true")})
    kept = [e.submit(), e.removed()]
    assert job_after(*kept).in_queue
    forced = replace(e.removed(force=True), reason="via condor_rm -forcex (by user games)")
    job = job_after(*kept, forced)
    assert (job.in_queue, job.ad["LeaveJobInQueue"]) == (False, "false")
    assert job.ad["RemoveReason"] == '"via condor_rm -forcex (by user games)"'


def test_holds_are_counted_by_their_reason() -> None:
    e = Events()
    ad = job_after(e.submit(), e.held(1), e.released(), e.held(3), e.released(), e.held(1)).ad
    counts = classad2.parseOne("x=" + ad["NumHoldsByReason"])["x"]
    assert (counts["JobPolicy"], counts["UserRequest"], len(counts)) == (1, 2, 2)
    assert job_after(Events().recorded(15)).ad["NumHoldsByReason"] == "[ SubmittedOnHold = 1 ]"


def test_a_run_that_ends_in_a_hold_is_no_completion_and_no_hold_of_the_system() -> None:
    # HTCondor 25.14.1's counts: missing output files, output that could not be written, a job over
    # its time, on_exit_hold, a missing executable, periodic_hold of an idle job
    e = Events()
    ran = e.submit(), e.started()
    lost_output, policy = HoldReason(12, 2, "no output"), HoldReason(3, 0, "policy")
    for events, completions in (
        ((*ran, e.finished(hold=lost_output)), "0"),
        ((*ran, e.finished(), e.not_completed(lost_output)), "0"),
        ((*ran, e.finished(code=None, signal=15, hold=HoldReason(47, 0, "too long"))), "0"),
        ((*ran, e.finished(), e.not_completed(policy)), "1"),
        ((*ran, e.finished(code=None, hold=HoldReason(6, 2, "no executable"))), "0"),
        ((e.submit(), e.held(3)), "0"),
    ):
        ad = job_after(*events).ad
        counts = ad["NumHolds"], ad["NumSystemHolds"], ad["NumJobCompletions"]
        assert counts == ("1", "0", completions), events[-1]
    # its own: where no worker could run the job
    assert job_after(e.submit(), e.held(26)).ad["NumSystemHolds"] == "1"


def test_attributes_of_a_hold_and_of_the_release() -> None:
    e = Events()
    held = [e.submit(), e.held(3, 7, "the job attribute")]
    ad = job_after(*held).ad
    assert (ad["HoldReasonCode"], ad["HoldReasonSubCode"]) == ("3", "7")
    assert ad["NumHolds"] == "1"

    ad = job_after(*held, e.released()).ad
    names = ("HoldReason", "HoldReasonCode", "HoldReasonSubCode")
    assert [name for name in names if name in ad] == []
    assert ad["LastHoldReason"] == '"the job attribute"' and ad["LastHoldReasonCode"] == "3"
    assert ad["ReleaseReason"] == '"via condor_release (by user games)"'


def test_a_job_submitted_on_hold_logs_its_submission_alone() -> None:
    logged = Events(attributes={"UserLog": "/home/games/log"})
    assert describe_effects(transition_after(logged.recorded(15))) == "000"
    assert describe_effects(transition_after(logged.recorded(13))) == "000 012"
    assert describe_effects(transition_after(Events().recorded(13))) == ""
    assert describe_job(job_after(Events().recorded(15))) == "held"


def test_wall_clock_time_of_a_lost_run_counts_and_its_cpu_time_stays_unknown() -> None:
    e = Events()
    history = [e.submit(), e.started()]
    e.now += 100
    ad = job_after(*history, e.lost()).ad
    assert (ad["RemoteWallClockTime"], ad["RemoteUserCpu"]) == ("101.0", "0.0")
    assert ad["LastRemoteHost"] == '"slot1_1@w1"'
