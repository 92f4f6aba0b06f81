"""condor_wait: texts, streams and exit codes on logs that are there, grow, or are none."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.schedd_process import thin
from tests.unit.vobox.client.log_texts import aborted, executing, submitted, terminated
from thyme.protocol.job import JobId
from vobox.client import user_log, wait
from vobox.jobs.user_log_xml import convert_to_xml

ONE, TWO = JobId(38, 0), JobId(40, 1)
Ended = subprocess.CompletedProcess


ENDED = submitted(ONE) + executing(ONE) + submitted(TWO) + terminated(ONE) + aborted(TWO)
OPEN = submitted(ONE) + submitted(TWO) + executing(TWO) + terminated(TWO)
DONE = "All jobs done.\n"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log"
    path.write_text(ENDED)
    return path


def run(*argv: str | Path) -> Ended[str]:
    """Return the command on a bare Python with an empty environment."""
    env = {"TZ": "UTC"}
    words = [*thin("condor_wait"), *map(str, argv)]
    return subprocess.run(words, capture_output=True, text=True, timeout=60, env=env)


def said(done: Ended[str]) -> tuple[str, str, int]:
    return done.stdout, done.stderr, done.returncode


# --- logs that say it all -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argv", "stdout"),
    [
        (["40.1.0"], DONE),
        (["-1"], DONE),
        (["-wait", "0"], DONE),
        (["-num", "2"], "Specifed number of jobs (2) done.\n"),
        (
            ["-status"],
            "38.0.0 submitted\n38.0.0 executing on host <node7:0>\n40.1.0 submitted\n"
            "38.0.0 completed\n40.1.0 aborted\n" + DONE,
        ),
        (["-status", "40"], "40.1.0 submitted\n40.1.0 aborted\n" + DONE),
        (["-allevents"], ""),
    ],
)
def test_the_end_of_the_wait_is_printed(log: Path, argv: list[str], stdout: str) -> None:
    job = [word for word in argv if word[0].isdigit() or word == "-1"]
    job = job if argv[:1] not in (["-num"], ["-wait"]) else []
    options = [word for word in argv if word not in job]
    assert said(run(*options, log, *job)) == (stdout, "", 0)


def test_a_log_in_xml_says_the_same(log: Path) -> None:
    texts = [f"{text}...\n" for text in ENDED.split("...\n") if text]
    wanted = [said(run("-status", log, *job)) for job in ([], ["38.0"])]
    log.write_text("".join(map(convert_to_xml, texts)))

    assert [said(run("-status", log, *job)) for job in ([], ["38.0"])] == wanted
    assert wanted[0][2] == 0 and "executing on host" in wanted[0][0]


def test_events_are_echoed_with_the_date_asked_for(log: Path) -> None:
    log.write_text(aborted(ONE))
    body = "Job was aborted.\n\tvia condor_rm (by user games)\n...\n"
    assert run("-echo", log).stdout == f"009 (038.000.000) 11/22 13:25:12 {body}{DONE}"
    iso = f"009 (038.000.000) 2026-11-22 13:25:12 {body}{DONE}"
    assert run("-echo:ISO_DATE", log).stdout == iso
    assert run("-echo:LEGACY,UTC ISO_DATE", log).stdout == iso.replace(":12 ", ":12Z ")
    assert run("-echo:SUB_SECOND,foo", log).stdout == (
        f"009 (038.000.000) 11/22 13:25:12.000 {body}{DONE}"
    )


@pytest.mark.parametrize(
    "date", ["2026-11-22T13:25:12", "2026-11-22T13:25:12Z", "2026-11-22 13:25:12.345"]
)
def test_every_form_of_date_that_htcondor_writes_is_read(log: Path, date: str) -> None:
    log.write_text(aborted(ONE).replace("2026-11-22 13:25:12", date))
    event = "009 (038.000.000) 11/22 13:25:12 Job was aborted.\n\tvia condor_rm (by user games)\n"
    assert said(run("-echo", log)) == (f"{event}...\n{DONE}", "", 0)
    if "." in date:
        wanted = event.replace(":12 ", ":12.345Z ")
        assert said(run("-echo:UTC,SUB_SECOND", log)) == (f"{wanted}...\n{DONE}", "", 0)


@pytest.mark.parametrize(
    "rewrite",
    [
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace("...\n", "...\n\n"),
        lambda text: text.replace("(038.000.000)", "(  38.  0.  0)"),
        lambda text: text.replace("005 (", "005 (038.0\n005 ("),
        lambda text: '<?xml version="1.0"?>\n<!DOCTYPE classads SYSTEM "x">\n<classads>\n'
        + "".join(convert_to_xml(f"{each}...\n") for each in text.split("...\n") if each),
    ],
    ids=["lines of Windows", "empty lines", "blanks", "half an event", "the header of XML"],
)  # fmt: skip
def test_an_odd_log_says_the_same(log: Path, rewrite: Callable[[str], str]) -> None:
    wanted = said(run("-status", log))
    log.write_bytes(rewrite(ENDED).encode())
    assert said(run("-status", log)) == wanted


def test_a_log_with_dates_without_a_year_is_read(log: Path) -> None:
    log.write_text(ENDED.replace("2026-11-22", "11/22"))
    assert said(run(log)) == (DONE, "", 0)


@pytest.mark.parametrize(
    ("argv", "stdout", "code"),
    [
        (["-event-id", "1"], "Got 1 events of id 1\n", 0),
        (["-event-id:0", "12"], "Got 0 events of id 12\n", 0),
        (["-event-id", "12", "-wait", "0"], "", 0),
        (["-event-id", "12", "-wait", "1"], "Time expired.\n", 1),
        (["-event-id", "0"], DONE, 0),
    ],
)
def test_one_may_wait_for_events_of_a_number(
    log: Path, argv: list[str], stdout: str, code: int
) -> None:
    assert said(run(*argv, "-log", log)) == (stdout, "", code)


def test_events_are_echoed_as_json_objects(log: Path) -> None:
    # as HTCondor 25.14.1, whose attributes are in another order
    log.write_text(
        "000 (007.001.000) 2026-11-29 10:00:27 Job submitted from host: <1&alias=vm>\n"
        "    häß\n...\n"
        "012 (007.001.000) 2026-11-29 10:00:28 Job was held.\n"
        '\tsays "no"\n\tCode 1 Subcode 0\n...\n'
        "099 (007.001.000) 2026-11-29 10:00:28.5 Some event of the future\n...\n"
        "009 (007.001.000) 2026-11-29 10:00:29 Job was aborted.\n\tvia x\n...\n"
    )
    ends = run("-echo:JSON", log).stdout.split("}\n")
    events = [json.loads(text + "}") for text in ends[:-1]]

    assert ends[-1] == DONE
    assert '{\n  "MyType": "SubmitEvent",\n' in ends[0] and "häß" in ends[0]
    own = {"Cluster": 7, "Proc": 1, "Subproc": 0}
    times = [f"2026-11-29T10:00:{second}" for second in ("27", "28", "28.500", "29")]
    assert [event.pop("EventTime") for event in events] == times
    assert events == [
        {"MyType": "SubmitEvent", "EventTypeNumber": 0, **own, "SubmitHost": "<1&alias=vm>",
         "LogNotes": "häß"},
        {"MyType": "JobHeldEvent", "EventTypeNumber": 12, **own, "HoldReason": 'says "no"',
         "HoldReasonCode": 1, "HoldReasonSubCode": 0},
        {"MyType": "FutureEvent", "EventTypeNumber": 99, **own,
         "EventHead": "Some event of the future"},
        {"MyType": "JobAbortedEvent", "EventTypeNumber": 9, **own, "Reason": "via x"},
    ]  # fmt: skip
    assert "T10:00:27Z" in run("-echo:JSON,UTC", log).stdout
    assert run("-echo:JSON,!JSON", log).stdout.startswith("000 (007.001.000) 11/29 ")


@pytest.mark.parametrize("option", ["-attach", "-a", "--allevents", "--echo:foo", "-status"])
def test_options_are_known_in_the_forms_of_htcondor(log: Path, option: str) -> None:
    assert run(option, log).returncode == 0


@pytest.mark.parametrize("debug", ["-debug", "-d", "--debug", "-debug:D_FULLDEBUG"])
def test_debug_tells_on_standard_error(log: Path, debug: str) -> None:
    done = run(debug, "-status", log, "38")
    assert done.stdout == DONE and done.stderr.startswith("38.0.0 submitted\n")


# --- logs that grow -----------------------------------------------------------------------------


def test_jobs_that_do_not_end_in_time_are_not_done(log: Path) -> None:
    log.write_text(OPEN)
    assert said(run("-wait", "1", log)) == ("Time expired.\n", "", 1)
    assert said(run("-wait", "1", "-num", "2", log)) == ("Time expired.\n", "", 1)
    assert said(run("-wait", "-5", log)) == ("Time expired.\n", "", 1)
    assert said(run("-wait", "0", log)) == ("", "", 0)
    assert said(run(log, "40")) == (DONE, "", 0)


@pytest.mark.parametrize(
    ("argv", "stderr"),
    [
        (["-num", "1"], "This log does not mention any jobs!\n"),
        (["-allevents"], "This log does not mention any jobs!\n"),
        (["-event-id", "12"], "Saw only 0 events of id 12!\n"),
        (["-event-id", "12", "38"], "This log does not mention that job!\n"),
    ],
)
def test_a_log_without_the_jobs_is_said_when_the_time_is_over(
    log: Path, argv: list[str], stderr: str
) -> None:
    log.write_text("")
    assert said(run("-log", log, "-wait", "1", *argv)) == ("", stderr, 1)


def test_it_waits_for_the_event_that_comes_later_even_in_two_pieces(log: Path) -> None:
    log.write_text(OPEN)
    waiting = subprocess.Popen(
        [*thin("condor_wait"), "-status", "-wait", "60", str(log)],
        stdout=subprocess.PIPE, text=True, env={},
    )  # fmt: skip
    assert waiting.stdout is not None
    lines = iter(waiting.stdout.readline, "")
    assert [next(lines) for _ in range(4)][-1] == "40.1.0 completed\n"
    event = terminated(ONE)
    with log.open("a") as file:
        for part in (event[:40], event[40:]):
            file.write(part)
            file.flush()
            os.fsync(file.fileno())
    assert list(lines) == ["38.0.0 completed\n", DONE]
    assert waiting.wait(60) == 0
    waiting.stdout.close()


def test_a_reader_that_goes_away_ends_it(log: Path) -> None:
    log.write_text(OPEN)
    end, start = os.pipe()
    waiting = subprocess.Popen([*thin("condor_wait"), "-echo", str(log)], stdout=start, env={})
    os.close(start)
    os.read(end, 10)
    os.close(end)
    with log.open("a") as file:
        file.write(executing(ONE))
    assert waiting.wait(60) == 1


@pytest.mark.parametrize(
    "rubbish", ["hello\n...\n", "...\n", "\n\n...\n...\nfoo\n", "1 is odd\n...\n"]
)
def test_what_others_wrote_between_events_is_passed_over(log: Path, rubbish: str) -> None:
    # HTCondor 25.14.1 does so
    log.write_text(submitted(ONE) + rubbish + terminated(ONE))
    assert said(run("-status", log)) == ("38.0.0 submitted\n38.0.0 completed\n" + DONE, "", 0)


@pytest.mark.parametrize("damaged", ["005 (03\n...\n", "hello\n012 x\n...\n"])
def test_an_event_whose_head_is_damaged_ends_it(log: Path, damaged: str) -> None:
    # HTCondor 25.14.1 says nothing and exits with 1
    log.write_text(submitted(ONE) + damaged + terminated(ONE))
    error = f"Couldn't read {log}: line 3 begins no event\n"
    assert said(run("-status", log)) == ("38.0.0 submitted\n", error, 1)


# --- what is none -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda path: None, "Couldn't open {path}: No such file or directory\n"),
        (lambda path: path.mkdir(), "Couldn't open {path}: Is a directory\n"),
        (lambda path: path.write_text("hello\n...\n"),
         "Couldn't read {path}: line 1 begins no event\n"),
        (lambda path: path.write_text(ENDED + "<c>\n</c>\n...\n"),
         "Couldn't read {path}: line 28 begins no event\n"),
        (lambda path: path.write_text('{\n  "MyType": "SubmitEvent"\n}\n'),
         "Couldn't read {path}: it is in JSON, which is not read here\n"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_log_is_explained(tmp_path: Path, make: object, text: str) -> None:
    path = tmp_path / "thing"
    make(path)  # type: ignore[operator]
    assert said(run(path)) == ("", text.format(path=path), 1)


@pytest.mark.parametrize(
    ("argv", "text", "code"),
    [
        ([], wait.USAGE, 1),
        (["-help"], wait.USAGE, 0),
        (["-zzz", "l"], wait.USAGE, 1),
        (["l", "1", "2"], "Extra argument: 2\n\n" + wait.USAGE, 1),
        (["-wait"], "-wait requires an argument\n" + wait.USAGE, 1),
        (["-num"], "-num requires an argument\n" + wait.USAGE, 1),
        (["-num", "0", "l"], "-num must be greater than zero\n" + wait.USAGE, 1),
        (["-num", "1", "-all", "l"],
         "-allevents cannot be used with -num\n" + wait.USAGE, 1),
        (["-all", "-num", "1", "l"],
         "-num cannot be used with -allevents\n" + wait.USAGE, 1),
        (["-log"], "-log requires an argument\n" + wait.USAGE, 1),
        (["-event-id:2"], "-event-id requires an id\n" + wait.USAGE, 1),
        (["-event", "1", "l"], wait.USAGE, 1),
        (["-echo:XML", "l"], "-echo:XML: events are echoed as text or JSON here\n", 1),
    ],
)  # fmt: skip
def test_a_wrong_command_line_is_explained(argv: list[str], text: str, code: int) -> None:
    with pytest.raises(user_log.CommandExit) as caught:
        wait.wait(wait.parse(argv))
    ended = caught.value
    assert (ended.stdout, ended.stderr, ended.code) == ("", text, code)


def test_the_version_is_printed_with_exit_code_1_as_by_htcondor() -> None:
    done = run("-version")
    assert done.returncode == 1 and done.stdout.startswith("$CondorVersion: ")


def test_htcondors_reader_and_ours_see_the_same_events(tmp_path: Path) -> None:
    import htcondor2

    path = tmp_path / "log"
    path.write_text(ENDED)
    theirs = htcondor2.JobEventLog(str(path))
    seen = [(int(e.type), e.cluster, e.proc) for e in theirs.events(stop_after=0)]
    theirs.close()
    ours = user_log.UserLog(str(path)).read()[0]
    assert [(event.number, *event.id[:2]) for event in ours] == seen
