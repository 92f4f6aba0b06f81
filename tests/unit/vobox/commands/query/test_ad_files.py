"""condor_q and condor_history of ads in a file: a user log, -long, -json."""

import time
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from tests.support.fake_query_queue import FakeQueue, ask, job, out
from tests.support.schedd_parts import NOW, USAGE, Events, ad_of
from thyme.protocol.events import HoldReason
from thyme.protocol.job import JobId
from vobox.classad.ad import Ad
from vobox.commands.query import ad_files
from vobox.commands.query.ad_files import TooLarge, read_ads, read_history, read_user_log
from vobox.commands.query.condor_history import answer as condor_history
from vobox.commands.query.condor_q import answer as condor_q
from vobox.jobs import user_log_events

#: Written by HTCondor 25.14: a job that was held, released, and ended.
LOG = """\
000 (123.000.000) 2026-11-22 13:25:12 Job submitted from host: <127.0.0.1:9618?addrs=127.0.0.1-9618>
...
001 (123.000.000) 2026-11-22 13:25:13 Job executing on host: <127.0.0.1:9618?addrs=127.0.0.1-9618>
\tSlotName: slot1_1@node7
\tCpus = 1
...
006 (123.000.000) 2026-11-22 13:25:21 Image size of job updated: 7500
\t8  -  MemoryUsage of job (MB)
\t7500  -  ResidentSetSize of job (KB)
...
012 (123.001.000) 2026-11-22 13:25:22 Job was held.
\tvia condor_hold (by user games)
\tCode 1 Subcode 0
...
005 (123.000.000) 2026-11-22 13:26:23 Job terminated.
\t(1) Normal termination (return value 3)
\t\tUsr 0 00:01:05, Sys 0 00:00:02  -  Run Remote Usage
\t\tUsr 0 00:00:00, Sys 0 00:00:00  -  Run Local Usage
\t89  -  Run Bytes Sent By Job
\t17  -  Run Bytes Received By Job
...
"""


@pytest.fixture
def log(tmp_path: Path) -> str:
    path = tmp_path / "job.log"
    path.write_text(LOG)
    return str(path)


def test_the_jobs_of_a_user_log(log: str) -> None:
    asked = ("-userlog", log, "-af", "ClusterId", "ProcId", "JobStatus", "ExitCode", "QDate")
    assert out(condor_q, FakeQueue([job(7)]), *asked) == (
        f"123 0 4 3 {int(NOW)}\n123 1 5 undefined undefined\n"
    )
    more = ("LastRemoteHost", "RemoteUserCpu", "RemoteWallClockTime", "BytesSent", "BytesRecvd")
    assert out(condor_history, FakeQueue(), "-userlog", log, "123.0", "-af", *more) == (
        "slot1_1@node7 65.0 70.0 89.0 17.0\n"
    )
    assert out(condor_q, FakeQueue(), "-userlog", log, "-constraint", "JobStatus == 5",
               "-af", "HoldReason", "HoldReasonCode") == (
        "via condor_hold (by user games) 1\n"
    )  # fmt: skip


def test_a_user_log_of_ours_is_read_too(tmp_path: Path) -> None:
    one = JobId(38, 0)
    ended = Events(one, now=NOW + 9).finished(code=None, signal=9)
    path = tmp_path / "log"
    path.write_text(
        user_log_events.format_submit(one, NOW, ad_of(one, JobBatchName='my "batch"'))
        + user_log_events.format_execute(one, NOW + 1, "slot1_77@node7")
        + user_log_events.format_evicted(one, NOW + 2, USAGE, HoldReason(0, 0, "pilot"), ad_of(one))
        + user_log_events.format_execute(one, NOW + 3, "slot1_78@node8")
        + user_log_events.format_terminated(one, ended, ad_of(one))
    )
    names = ("JobStatus", "ExitSignal", "NumJobStarts", "LastRemoteHost", "JobBatchName")
    assert out(condor_q, FakeQueue(), "-userlog", str(path), "-af", *names) == (
        '4 9 2 slot1_78@node8 my "batch"\n'
    )


@pytest.mark.parametrize("form", ["-long", "-json"])
def test_ads_that_condor_q_printed_are_read_back(form: str, tmp_path: Path) -> None:
    queue = FakeQueue([job(1, Owner="bob", Note='a "b" c'), job(2, 1, 5)])
    path = tmp_path / "ads"
    path.write_text(out(condor_q, queue, "-allusers", form))

    asked = ("-jobads", str(path), "-af", "ClusterId", "ProcId", "JobStatus", "Owner", "Note")
    assert out(condor_q, FakeQueue(), *asked) == '1 0 1 bob a "b" c\n2 1 5 games undefined\n'
    assert out(condor_q, FakeQueue(), "-jobads", str(path)).startswith(f"\n\n-- Jobads: {path} @ ")


def test_what_is_no_log_and_what_is_not_there_is_said(tmp_path: Path) -> None:
    path = tmp_path / "thing"
    path.write_text("hello\nworld\n")
    answer = ask(condor_q, FakeQueue(), "-userlog", str(path))
    assert (answer.stdout, answer.code) == ("", 1)
    assert answer.stderr == f"Error: -userlog {path}: this is no user log: 'hello\\nworld\\n'\n"
    answer = ask(condor_q, FakeQueue(), "-userlog", str(tmp_path / "nope"))
    assert answer.stderr == f"Error: -userlog {tmp_path}/nope: No such file or directory\n"
    assert ask(condor_q, FakeQueue(), "-userlog").code == 1


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[{", "this is neither -json nor -long of condor_q: Expecting property name"),
        ("[" * 100_000, "maximum recursion depth exceeded"),
        ('[{"A":' + "[" * 900 + "]" * 900 + "}]", ""),
    ],
    ids=["cut off", "deep", "less deep"],
)
def test_what_is_no_list_of_ads_is_said(tmp_path: Path, text: str, why: str) -> None:
    path = tmp_path / "ads"
    path.write_text(text)
    answer = ask(condor_q, FakeQueue(), "-jobads", str(path), "-af", "ClusterId")
    assert answer.stderr.startswith(f"Error: -jobads {path}: {why}" if answer.code else "")
    assert answer.code == 1 or not why


def test_numbers_without_end_in_a_user_log_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text(LOG.replace("Usr 0", "Usr " + "9" * 5000).replace("\t89 ", "\t" + "9" * 5000))
    asked = ("-userlog", str(path), "123.0", "-af", "ExitCode", "RemoteUserCpu")
    assert out(condor_q, FakeQueue(), *asked) == "3 undefined\n"


@pytest.mark.parametrize("form", ["-long", "-json", "log"])
def test_a_file_of_too_many_jobs_is_refused(
    tmp_path: Path, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "ads"
    queue = FakeQueue([job(1), job(2)])
    path.write_text(LOG if form == "log" else out(condor_q, queue, "-allusers", form))
    option = "-userlog" if form == "log" else "-jobads"
    for most, code in ((2, 0), (1, 1)):
        monkeypatch.setattr(ad_files, "MAX_ADS", most)
        answer = ask(condor_q, FakeQueue(), option, str(path), "-af", "ClusterId")
        assert answer.code == code
    assert answer.stderr == (
        f"Error: {option} {path}: it has more than 1 jobs; name a part of it\n"
    )
    monkeypatch.setattr(ad_files, "MAX_CHARACTERS", 10)
    size = len(path.read_text())
    assert ask(condor_q, FakeQueue(), option, str(path)).stderr == (
        f"Error: {option} {path}: it has {size} characters; at most 10 are read, so name a part\n"
    )


HISTORY = (
    "*** none\nA = 1\n*** first\nleft out\nA = 2\nB = 3\n*** second\n*** none\nA = 4\n***\nA = 5\n"
)


@pytest.mark.parametrize("oldest_first", [False, True])
def test_the_jobs_of_a_history_file(oldest_first: bool) -> None:
    found = [ad.texts() for ad in read_history(HISTORY, oldest_first)]
    expected = [{"A": "1"}, {"A": "2", "B": "3"}, {"A": "4"}]
    assert found == (expected if oldest_first else expected[::-1])


def test_of_a_history_file_only_the_jobs_that_are_asked_for_are_made() -> None:
    """Six million took 2.5 GB, and others' queries waited for a minute."""
    paused: list[int] = []
    ads = read_history("A = 1\n***\n" * 1000, pause=lambda: paused.append(1))
    assert next(ads)["A"] == "1"
    assert len(paused) < 5


@pytest.mark.parametrize("option", ["-jobads", "-file"])
def test_a_file_of_too_many_attributes_is_refused(
    tmp_path: Path, option: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "ads"
    path.write_text("".join(f"A{number} = 1\n" for number in range(20)) + "***\n")
    command = condor_q if option == "-jobads" else condor_history
    for most, refused in ((20, False), (18, True)):
        monkeypatch.setattr(ad_files, "MAX_ATTRIBUTES", most)
        why = ""
        try:
            answer = ask(command, FakeQueue(), option, str(path), "-af", "A1")
            why = answer.stderr
        except TooLarge as error:
            why = str(error)
        assert ("more than 18 attributes; name a part of it" in why) == refused


@pytest.mark.parametrize(
    ("read", "text"),
    [
        (read_ads, "A =" + " " * 300_000 + "\n\n"),
        (read_ads, "A" + " " * 300_000 + "x\n\n"),
        (read_history, "A =" + " " * 300_000 + "\n*** \n"),
        (read_user_log, f"006 (001.000.000) 2026-11-28 08:00:00 x\n{'1' * 300_000}\n...\n"),
    ],
    ids=["nothing after =", "no =", "history", "digits"],
)
def test_long_lines_take_no_time(read: Callable[[str], Iterable[Ad]], text: str) -> None:
    # a regular expression keeps all threads of the schedd waiting
    began = time.thread_time()
    assert all("A" not in ad for ad in read(text))
    assert time.thread_time() - began < 5.0


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "004 (001.000.000) 2026-11-"),
        ("", "005 (001.000.000) 2026-11-22 13:25:13 Job terminated.\n"),
        ("", "rubbish\n"),
        ("", "rubbish\n...\n"),
        ("...\n", ""),
        ("\n", "\n"),
    ],
)
def test_the_whole_events_of_a_user_log_count(tmp_path: Path, before: str, after: str) -> None:
    path = tmp_path / "log"
    event = "000 (001.000.000) 2026-11-22 13:25:12 Job submitted from host: <1>\n...\n"
    for text in (event, event.replace("\n", "\r\n")):
        path.write_bytes((before + text + after).encode())
        asked = ("-userlog", str(path), "-af:j", "JobStatus")
        assert out(condor_q, FakeQueue(), *asked) == "1.0 1\n"


def test_a_user_log_in_which_the_first_event_is_being_written_has_no_job(tmp_path: Path) -> None:
    path = tmp_path / "log"
    for text in ("", "\n", "000 (001.000.0", "000 (001.000.000) 2026-11-22 13:25:12 Job submitted"):
        path.write_text(text)
        assert out(condor_q, FakeQueue(), "-userlog", str(path), "-af:j", "JobStatus") == ""


def test_a_user_log_without_slots_tells_the_host_that_runs_a_job(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text(
        "000 (001.000.000) 2026-11-22 13:25:12 Job submitted from host: <1>\n...\n"
        "001 (001.000.000) 2026-11-22 13:25:13 Job executing on host: <10.0.0.1:9618?a=b>\n...\n"
    )
    asked = ("-userlog", str(path), "-af", "RemoteHost", "Cmd", "JobPrio")
    assert out(condor_q, FakeQueue(), *asked) == "<10.0.0.1:9618?a=b> ??? 0\n"
