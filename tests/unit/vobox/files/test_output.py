"""Output and user logs on the submit host: the right bytes in the right place, or why not."""

import errno
import os
import sys
import threading
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.schedd_parts import Events, Value, job_after, logged
from thyme.protocol.events import Finished, HoldReason
from thyme.protocol.job import SandboxFile
from vobox.files import user_log_index
from vobox.files.output import write_log, write_output
from vobox.files.user_log_index import UserLogIndex
from vobox.jobs.job import Job
from vobox.jobs.output_destination import parse_output_remaps


def job_in(iwd: Path, **attributes: Value) -> Job:
    return job_after(Events(attributes={"Iwd": str(iwd), **attributes}).submit())


def result(**what: object) -> Finished:
    return Events().finished(**what)  # type: ignore[arg-type]


def delivered(job: Job, **what: object) -> HoldReason | None:
    return write_output(job, result(**what))


def log_event(job: Job, text: str, once: bool = False) -> HoldReason | None:
    return write_log(job, text, once=once, user_logs=UserLogIndex())


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_stdout_and_stderr_go_where_the_description_says(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    job = job_in(tmp_path, Out="job.out", Err=str(tmp_path / "elsewhere/job.err"))
    assert delivered(job, stdout=b"out\n", stderr=b"err\n") is None
    assert (tmp_path / "job.out").read_bytes() == b"out\n"
    assert (tmp_path / "elsewhere/job.err").read_bytes() == b"err\n"


def test_nothing_is_written_for_unwanted_streams(tmp_path: Path) -> None:
    assert delivered(job_in(tmp_path), stdout=b"out", stderr=b"err") is None
    unwanted = job_in(tmp_path, Out="out", TransferOut=False)
    assert delivered(unwanted, stdout=b"out") is None
    assert names(tmp_path) == []


@pytest.mark.parametrize("error", ["job.log", "./job.log", "sub/../job.log"])
def test_one_file_for_both_streams_holds_both(tmp_path: Path, error: str) -> None:
    # ARC; where the names differ the worker could not know that it is one file
    (tmp_path / "sub").mkdir()
    job = job_in(tmp_path, Out="job.log", Err=error)
    assert delivered(job, stdout=b"out\n", stderr=b"err\n") is None
    assert (tmp_path / "job.log").read_bytes() == b"out\nerr\n"


def test_changed_files_come_back_with_their_modes_and_directories(tmp_path: Path) -> None:
    files = (SandboxFile("run.sh", b"#!/bin/sh\n", 0o755), SandboxFile("plots/a/b.png", b"PNG"))
    assert delivered(job_in(tmp_path, TransferOutput="run.sh, plots"), files=files) is None
    assert (tmp_path / "run.sh").stat().st_mode & 0o700 == 0o700
    assert (tmp_path / "plots/a/b.png").read_bytes() == b"PNG"


@pytest.mark.parametrize(
    ("asked", "written"),
    [
        ({}, [".bashrc", "a"]),  # as with HTCondor: all that is new at the top
        ({"TransferOutput": "a"}, ["a"]),
        ({"TransferOutput": "x/a, d"}, ["a", "d/b"]),
        ({"TransferOutput": ""}, []),
        ({"ShouldTransferFiles": "NO"}, []),
    ],
)
def test_a_worker_brings_only_the_files_that_the_job_asked_for(
    tmp_path: Path, asked: dict[str, Value], written: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    sent = (".bashrc", "a", "d/b", ".ssh/authorized_keys")
    files = tuple(SandboxFile(name, b"x") for name in sent)
    assert delivered(job_in(tmp_path, **asked), files=files) is None
    found = sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file())
    assert found == written
    refused = [name for name in sent if name not in written]
    more = {2: " and 1 more files", 3: " and 2 more files", 4: " and 3 more files"}
    assert caplog.messages == [
        f"job 38.0: its worker sent {refused[0]!r}{more[len(refused)]}, for which it did not ask"
    ]


def test_remaps_rename_and_move_files(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    there = tmp_path / "there/c.root"
    job = job_in(tmp_path, TransferOutputRemaps=f" a = b ;c={there}")
    files = (SandboxFile("a", b"1"), SandboxFile("c", b"2"), SandboxFile("d", b"3"))
    assert delivered(job, files=files) is None
    assert names(tmp_path) == ["b", "d", "there"]
    assert there.read_bytes() == b"2"


def test_remaps_text_is_read_as_names_in_which_a_backslash_keeps_a_mark() -> None:
    assert parse_output_remaps("a=b;c=d/e; ;f") == {"a": "b", "c": "d/e"}
    text = "a\\=b = c\\;d; e = f\\\\g; h = x=y; i = j\\k"
    assert parse_output_remaps(text) == {"a=b": "c;d", "e": "f\\g", "h": "x=y", "i": "j\\k"}


def test_a_directory_may_be_remapped_with_all_in_it(tmp_path: Path) -> None:
    (tmp_path / "into").mkdir()
    remaps = "d = e; d/b = own; p = into/; q/r = into/"
    job = job_in(tmp_path, TransferOutput="d,p,q", TransferOutputRemaps=remaps)
    files = tuple(SandboxFile(name, b"x") for name in ("d/a", "d/s/c", "d/b", "p", "q/r/z"))
    assert delivered(job, files=files) is None
    found = sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file())
    assert found == ["e/a", "e/s/c", "into/p", "into/r/z", "own"]


def test_outputs_keep_their_directories_when_asked_to(tmp_path: Path) -> None:
    job = job_in(tmp_path, TransferOutput="x/y/a, d/, /abs/b, ../c")
    job.ad["PreserveRelativePaths"] = "true"
    files = tuple(SandboxFile(name, b"x") for name in ("a", "in-d", "b", "c"))
    assert delivered(job, files=files) is None
    found = sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file())
    assert found == ["b", "c", "in-d", "x/y/a"]
    assert (tmp_path / "x/y").stat().st_mode & 0o777 == 0o755


def test_a_file_gets_the_mode_and_content_of_the_jobs_also_where_it_is_there(
    tmp_path: Path,
) -> None:
    # as HTCondor 25.14.1, which gives 0644 to the file of stdout
    for name, mode in (("a", 0o644), ("b", 0o600), ("o", 0o666)):
        (tmp_path / name).write_text("older and longer")
        (tmp_path / name).chmod(mode)
    files = (SandboxFile("a", b"x", 0o600), SandboxFile("b", b"y", 0o666))
    assert delivered(job_in(tmp_path, Out="o"), stdout=b"out", files=files) is None
    modes = [(tmp_path / name).stat().st_mode & 0o777 for name in ("a", "b", "o")]
    assert modes == [0o600, 0o666, 0o644]
    assert [(tmp_path / name).read_bytes() for name in ("a", "b", "o")] == [b"x", b"y", b"out"]


def test_directories_get_the_modes_that_the_job_gave_them(tmp_path: Path) -> None:
    job = job_in(tmp_path, TransferOutput="d")
    files = (
        SandboxFile("d", b"", 0o777, is_directory=True),
        SandboxFile("d/locked", b"", 0o555, is_directory=True),
        SandboxFile("d/locked/f", b"x"),
    )
    for _ in range(2):  # the second time they are there
        assert delivered(job, files=files) is None
    assert (tmp_path / "d").stat().st_mode & 0o777 == 0o777
    assert (tmp_path / "d/locked").stat().st_mode & 0o777 == 0o755  # it has to be written into


def test_a_spooled_jobs_output_is_written_only_when_it_is_fetched(tmp_path: Path) -> None:
    job = job_in(tmp_path, Out="out", SUBMIT_Iwd=str(tmp_path))
    job.ad["StageInFinish"] = "1"
    assert delivered(job, stdout=b"x") is None
    assert names(tmp_path) == []


def test_a_log_that_many_jobs_share_is_read_once(tmp_path: Path) -> None:
    path, events = str(tmp_path / "log"), UserLogIndex()
    first, second = b"000 (001.000.000) a\n...\n", b"000 (001.001.000) b\n    more\n...\n"
    assert not events.has_event(path, first)
    Path(path).write_bytes(first)
    assert events.has_event(path, first) and not events.has_event(path, second)
    with Path(path).open("ab") as log:
        log.write(second)
    events.add(path, second)
    assert events.has_event(path, second) and events.has_event(path, first)
    # as long as it is the same file of the size that we know, it is not read again
    Path(path).write_bytes(first[:-1] + b"!" * (len(second) + 1))
    assert events.has_event(path, second)
    Path(path).write_bytes(first)
    assert not events.has_event(path, second)
    Path(path).unlink()
    assert not events.has_event(path, first)


def test_a_log_of_any_size_is_read_in_bounds(tmp_path: Path) -> None:
    path, event = tmp_path / "log", b"000 (001.000.000) a\n...\n"
    path.write_bytes(event)
    os.truncate(path, 1 << 40)  # 1 TiB, of which a disk has one block
    with path.open("ab") as log:
        log.write(b"\n...\n" + event)
    tracemalloc.start()

    assert UserLogIndex().has_event(str(path), event)

    assert tracemalloc.get_traced_memory()[1] < 10 * 1024 * 1024
    tracemalloc.stop()


def test_of_a_log_that_grows_for_ever_the_last_events_are_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(user_log_index, "MAX_READ", 100_000)
    path, logs = tmp_path / "log", UserLogIndex()
    path.touch()
    assert not logs.has_event(str(path), b"")
    tracemalloc.start()

    with path.open("ab", buffering=0) as log:
        for number in range(2000):
            event = b"%04d %s\n...\n" % (number, b"a" * 1000)
            log.write(event)
            logs.add(str(path), event)
            if number % 100 == 0:
                assert logs.has_event(str(path), event)

    assert logs.has_event(str(path), event)
    assert tracemalloc.get_traced_memory()[0] < 2000 * sys.getsizeof(hash(event))
    tracemalloc.stop()


def test_only_so_many_events_of_all_logs_are_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """64 logs of many small events took gigabytes after a restart."""
    monkeypatch.setattr(user_log_index, "MAX_EVENTS", 1000)
    logs = UserLogIndex()
    paths = [tmp_path / str(number) for number in range(10)]
    for path in paths:
        path.write_bytes(b"".join(b"%d\n...\n" % number for number in range(900)))
    for path in paths * 2:
        assert logs.has_event(str(path), b"899\n...\n")
        assert sum(len(log.events) for log in logs._logs.values()) <= 1000
    paths[0].write_bytes(b"".join(b"%d\n...\n" % number for number in range(2500)))
    assert logs.has_event(str(paths[0]), b"2499\n...\n")
    assert len(logs._logs[str(paths[0])].events) <= 1000


def test_half_an_event_is_not_the_event(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"000 (001.000.000) a\n..")
    assert not UserLogIndex().has_event(str(path), b"000 (001.000.000) a\n...\n")


def test_a_read_only_file_of_the_last_run_is_replaced(tmp_path: Path) -> None:
    files = (SandboxFile("result", b"first", 0o400),)
    assert delivered(job_in(tmp_path), files=files) is None
    again = (SandboxFile("result", b"second", 0o400),)
    assert delivered(job_in(tmp_path), files=again) is None
    assert (tmp_path / "result").read_bytes() == b"second"


def test_directories_that_are_missing_are_made_as_htcondor_makes_them(tmp_path: Path) -> None:
    files = (SandboxFile("a", b"a"), SandboxFile("d/e", b"", 0o755, is_directory=True))
    job = job_in(
        tmp_path, Out="one/two/out", TransferOutput="a,d", TransferOutputRemaps="a=three/a"
    )
    assert delivered(job, stdout=b"x", files=files) is None
    assert (tmp_path / "one/two/out").read_bytes() == b"x"
    assert (tmp_path / "three/a").read_bytes() == b"a"
    assert list((tmp_path / "d/e").iterdir()) == []
    modes = {name: (tmp_path / name).stat().st_mode & 0o777 for name in ("one", "one/two", "three")}
    assert set(modes.values()) == {0o700}, modes


def test_a_directory_that_cannot_be_made_holds_the_job_with_its_errno(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    hold = delivered(job_in(tmp_path, Out="file/missing/out"), stdout=b"x")
    assert hold is not None
    assert (hold.code, hold.subcode) == (12, errno.ENOTDIR)
    assert "file/missing/out" in hold.text and "Not a directory" in hold.text
    assert names(tmp_path) == ["file"]


def test_an_output_that_is_a_directory_holds_the_job(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    hold = delivered(job_in(tmp_path, Out="out"))
    assert hold is not None and (hold.code, hold.subcode) == (12, errno.EISDIR)


def test_a_full_disk_holds_the_job() -> None:
    hold = delivered(job_in(Path("/dev"), Out="full"), stdout=b"x")
    assert hold is not None and (hold.code, hold.subcode) == (12, errno.ENOSPC)


@pytest.fixture
def pipe(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    yield path
    path.unlink()


def in_time(what: object) -> object:
    """Return the result of ``what``; fails if it hangs."""
    found: list[object] = []
    thread = threading.Thread(target=lambda: found.append(what()), daemon=True)  # type: ignore[operator]
    thread.start()
    thread.join(10)
    assert found, "it waits for somebody at the other end of the pipe"
    return found[0]


def test_a_pipe_without_a_reader_is_an_error_at_once(pipe: Path) -> None:
    job = job_in(pipe.parent, Out="pipe", UserLog=str(pipe))
    hold = in_time(lambda: delivered(job, stdout=b"x"))
    assert isinstance(hold, HoldReason) and (hold.code, hold.subcode) == (12, errno.ENXIO)
    hold = in_time(lambda: log_event(job, "000 ...\n"))
    assert isinstance(hold, HoldReason) and (hold.code, hold.subcode) == (22, errno.ENXIO)
    hold = in_time(lambda: log_event(job, "000 ...\n", once=True))
    assert isinstance(hold, HoldReason) and hold.code == 22


# --- the user log -------------------------------------------------------------------------------


def test_log_events_are_appended(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("000 (001.000.000) older\n...\n")
    job = job_in(tmp_path, UserLog=str(log))
    assert log_event(job, "009 (038.000.000) newer\n...\n") is None
    assert logged(log) == ["000 1.0", "009 38.0"]


def test_without_a_log_nothing_is_written(tmp_path: Path) -> None:
    assert log_event(job_in(tmp_path), "x") is None
    assert names(tmp_path) == []


def test_once_leaves_out_what_the_log_holds_already(tmp_path: Path) -> None:
    log = tmp_path / "log"
    job = job_in(tmp_path, UserLog=str(log))
    for _ in range(3):
        assert log_event(job, "009 (038.000.000) gone\n...\n", once=True) is None
    assert logged(log) == ["009 38.0"]
    assert log_event(job, "009 (038.000.000) gone\n...\n") is None
    assert logged(log) == ["009 38.0"] * 2


def test_a_log_that_cannot_be_written_holds_the_job(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    path = tmp_path / "file/log"
    hold = log_event(job_in(tmp_path, UserLog=str(path)), "x")
    assert hold is not None
    assert (hold.code, hold.subcode) == (22, errno.ENOTDIR)
    assert hold.text == f"Failed to initialize user log to {path}: Not a directory"


def test_a_log_in_xml_gets_each_event_once(tmp_path: Path) -> None:
    path = tmp_path / "log"
    job = job_in(tmp_path, UserLog=str(path), UserLogUseXML=True)
    text = "013 (038.000.000) 2026-11-22 13:25:12 Job was released.\n\tby a < b\n...\n"
    for logs in (UserLogIndex(), UserLogIndex()):
        for _ in range(2):
            assert write_log(job, text, once=True, user_logs=logs) is None
    assert path.read_text().count("</c>\n") == path.read_text().count("<c>\n") == 1
    assert '<a n="Reason"><s>by a &lt; b</s></a>' in path.read_text()


def test_an_event_and_its_job_ad_information_are_written_once(tmp_path: Path) -> None:
    path = tmp_path / "log"
    job = job_in(tmp_path, UserLog=str(path), JobAdInformationAttrs="Owner", Owner="games")
    text = "013 (038.000.000) 2026-11-22 13:25:12 Job was released.\n\tby a < b\n...\n"
    for logs in (UserLogIndex(), UserLogIndex()):
        for _ in range(2):
            assert write_log(job, text, once=True, user_logs=logs) is None
    assert [line[:3] for line in path.read_text().splitlines() if "(038" in line] == ["013", "028"]
    assert 'Owner = "games"\n' in path.read_text()
    job.ad["UserLogUseXML"] = "true"
    assert write_log(job, text, once=False, user_logs=UserLogIndex()) is None
    assert path.read_text().count("028") == 1


def test_the_directory_of_a_log_is_made(tmp_path: Path) -> None:
    path = tmp_path / "a/b/log"
    assert log_event(job_in(tmp_path, UserLog=str(path)), "x") is None
    assert path.read_text() == "x"
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o755


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write every file")
def test_a_log_that_is_read_only_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"mine")
    path.chmod(0o444)
    assert log_event(job_in(tmp_path, UserLog=str(path)), "x") is None
    assert path.read_bytes() == b"mine"


def test_a_log_on_a_full_disk_holds_the_job() -> None:
    hold = log_event(job_in(Path("/"), UserLog="/dev/full"), "x")
    assert hold is not None and (hold.code, hold.subcode) == (22, errno.ENOSPC)


def test_a_name_that_is_no_utf8_is_logged_as_it_was(tmp_path: Path) -> None:
    log = tmp_path / "log"
    job = job_in(tmp_path, UserLog=str(log))
    text = os.fsdecode(b"009 (038.000.000) via caf\xe9\n...\n")
    for _ in range(2):
        assert log_event(job, text, once=True) is None
    assert log.read_bytes() == b"009 (038.000.000) via caf\xe9\n...\n"
