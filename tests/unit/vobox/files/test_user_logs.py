"""Events of many jobs go into their user logs in order, each once, whatever the disk does."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.schedd_parts import ad_of, logged
from thyme.protocol.job import JobId
from vobox.files import user_logs
from vobox.files.owner_threads import OwnerThreads
from vobox.files.user_logs import UserLogs
from vobox.jobs.job import Job
from vobox.ledger.writer import Ledger


@pytest.fixture
def logs(tmp_path: Path) -> Iterator[UserLogs]:
    ledger = Ledger(tmp_path / "ledger.db")
    yield UserLogs(ledger, OwnerThreads(patience=30.0))
    ledger.close()


def job_of(proc: int, log: Path, **attributes: bool) -> Job:
    ad = ad_of(JobId(1, proc), UserLog=str(log), **attributes)
    return Job(JobId(1, proc), os.geteuid(), os.getegid(), "pool", ad, 1)


def event(proc: int, number: int = 12) -> str:
    return f"{number:03} (001.{proc:03}.000) 2026-11-22 13:25:12 Job was held.\n\twhy\n...\n"


@pytest.fixture
def sizes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the sizes of all writes from now on."""
    found: list[int] = []
    write = os.write

    def note(handle: int, data: bytes) -> int:
        found.append(len(data))
        return write(handle, data)

    monkeypatch.setattr(os, "write", note)
    return found


def test_events_of_one_file_are_written_together_and_in_order(
    logs: UserLogs, tmp_path: Path, sizes: list[int]
) -> None:
    shared, other = tmp_path / "shared", tmp_path / "other"
    for proc in range(5):
        logs.append(job_of(proc, other if proc == 2 else shared), event(proc), once=False)
    logs.flush()
    assert shared.read_text() == "".join(event(proc) for proc in (0, 1, 3, 4))
    assert other.read_text() == event(2)
    assert sizes == [2 * len(event(0)), len(event(2)), 2 * len(event(3))]
    assert logs.take_failures() == []
    logs.flush()
    assert len(sizes) == 3, "each once"


def test_one_write_is_of_a_limited_size(
    logs: UserLogs, tmp_path: Path, sizes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(user_logs, "MAX_WRITE", 3 * len(event(0)))
    for proc in range(8):
        logs.append(job_of(proc, tmp_path / "log"), event(proc), once=False)
    logs.flush()
    assert (tmp_path / "log").read_text() == "".join(map(event, range(8)))
    assert sizes == [3 * len(event(0)), 3 * len(event(0)), 2 * len(event(0))]


def test_what_may_be_in_the_file_and_what_is_xml_is_written_by_itself(
    logs: UserLogs, tmp_path: Path, sizes: list[int]
) -> None:
    log, xml = tmp_path / "log", tmp_path / "xml"
    log.write_text(event(1))
    for proc in range(4):
        logs.append(job_of(proc, log), event(proc), once=proc < 2)
    text = "013 (001.000.000) 2026-11-22 13:25:12 Job was released.\n\twhy\n...\n"
    for _ in range(2):
        logs.append(job_of(0, xml, UserLogUseXML=True), text, once=False)
    logs.flush()
    assert logged(log) == ["012 1.1", "012 1.0", "012 1.2", "012 1.3"]
    assert xml.read_text().count("<c>\n") == 2
    assert len(sizes) == 2 + 2


@pytest.mark.parametrize("written", [0, 10, len(event(0)), 2 * len(event(0)) + 30])
def test_a_write_that_ends_early_is_completed_event_by_event(
    logs: UserLogs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: int
) -> None:
    log, write, cut = tmp_path / "log", os.write, [written]

    def write_less(handle: int, data: bytes) -> int:
        return write(handle, data[: cut.pop()] if cut else data)

    monkeypatch.setattr(os, "write", write_less)
    for proc in range(3):
        logs.append(job_of(proc, log), event(proc), once=False)
    logs.flush()
    whole, rest = divmod(written, len(event(0)))
    cut_short = event(whole)[:rest]
    assert log.read_text() == (
        "".join(map(event, range(whole))) + cut_short + "".join(map(event, range(whole, 3)))
    )
    assert logs.take_failures() == []


def test_each_job_is_held_whose_event_could_not_be_written(logs: UserLogs) -> None:
    for proc in range(3):
        logs.append(job_of(proc, Path("/dev/full")), event(proc), once=False)
    logs.flush()
    found = [(job, why.code, why.subcode) for why, job in logs.take_failures()]
    assert found == [(JobId(1, proc), 22, errno.ENOSPC) for proc in range(3)]
