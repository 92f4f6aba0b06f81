"""Long answers: in pieces, from one state of the ledger, and nobody waits for a slow reader."""

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from pathlib import Path

import pytest

from tests.support.fake_query_queue import job
from tests.support.schedd_parts import NOW
from tests.support.waiting import wait_until
from thyme.protocol.job import JobId
from vobox.classad.ad import Ad
from vobox.commands.query import kept_ads
from vobox.jobs.job import Job
from vobox.ledger import snapshot
from vobox.ledger.snapshot import LedgerSnapshot
from vobox.ledger.writer import Ledger
from vobox.rpc.connection_limit import OwnerSlots
from vobox.rpc.types import Answer, CommandRefused, Request
from vobox.server import query_service
from vobox.server.fair_lock import FairLock
from vobox.server.query_service import MAX_ANSWER_SECONDS, QueryService

JOBS = 1500


class Clock:
    def __init__(self) -> None:
        self.now = 0.0
        self.step = 0.0  #: by which it goes on each time that it is read

    def __call__(self) -> float:
        self.now += self.step
        return self.now


class Site:
    """A ledger with some thousand jobs, and the queries that it answers."""

    def __init__(self, path: Path) -> None:
        self.ledger = Ledger(path)
        self.ledger._db.execute("PRAGMA busy_timeout=0")  # a checkpoint says at once who is busy
        self.clock = Clock()
        self.live: dict[JobId, dict[str, str]] = {}
        self.trouble = ""
        self.queries = QueryService(
            path, "vobox1.example.org", "<x>", lambda: self.trouble, lambda busy: iter(()),
            lambda number: self.live.get(number, {}), self.clock,
        )  # fmt: skip
        self.put(range(JOBS), 1)

    def put(self, clusters: range, status: int) -> None:
        with self.ledger.transaction():
            for cluster in clusters:
                ad = job(cluster, 0, status, UserLog="/home/games/a_log_of_some_length")
                self.ledger.put(Job(JobId(cluster, 0), 1, 1, "pool", Ad(ad), status))

    def ask(self, *argv: str, command: str = "condor_q") -> Answer:
        request = Request(command, argv, "/", {}, 0, 0, "root")
        return self.queries.answer(request, NOW)

    def checkpointed(self) -> bool:
        """Whether nobody looks at an old state any more."""
        busy, _log, _done = self.ledger._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        return not busy


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path / "ledger.db")
    yield made
    made.ledger.close()


def whole(answer: Answer) -> str:
    return answer.stdout + "".join(part.stdout for part in answer.more or ())


@pytest.mark.parametrize(
    "argv", [["-nobatch"], ["-long"], ["-json"], ["-xml"], ["-af", "UserLog", "Cmd"], []], ids=str
)
def test_a_long_answer_comes_in_pieces_and_is_whole(site: Site, argv: list[str]) -> None:
    answer = site.ask(*argv)
    assert answer.more is not None
    assert len(answer.stdout) < 200_000
    text = whole(answer)
    count = {"-xml": "<c>\n", "-json": "{\n", "-long": "\n\n"}.get("".join(argv[:1]), "\n")
    assert text.count(count) == JOBS + (0 if argv and argv[0] != "-nobatch" else 8)


@pytest.mark.parametrize("meta", [{}, {"counted": "no", "offset": "7"}], ids=str)
def test_while_the_ledger_is_being_made_a_query_fails_as_without_a_schedd(
    site: Site, meta: dict[str, str]
) -> None:
    for name, value in meta.items():
        site.ledger.write_meta(name, value)
    site.trouble = "the ledger is being rebuilt from the stream (0 events read)"
    why = f"the schedd's ledger is still being made: {site.trouble}; try again\n"
    for argv in ([], ["-af", "ClusterId"], ["-totals"], ["-submitter", "nobody"]):
        answer = site.ask(*argv)
        assert (answer.code, answer.stdout) == (1, "")
        assert answer.stderr.startswith("\n-- Failed to fetch ads from: <x> : ")
        assert answer.stderr.endswith(why)
    answer = site.ask("-af", "ClusterId", command="condor_history")
    assert (answer.code, answer.stdout) == (1, "")
    said = "Error: communication error\nCEDAR:6001:Failed to connect to <x>\n"
    assert answer.stderr == said + why


def test_a_file_of_jobs_is_read_while_the_ledger_is_being_made(site: Site, tmp_path: Path) -> None:
    site.trouble = "the ledger is being rebuilt from the stream (0 events read)"
    path = tmp_path / "history"
    path.write_text("ClusterId = 3\n*** Offset = 0\n")
    argv = ("-file", str(path), "-af", "ClusterId")
    assert site.ask(*argv, command="condor_history") == Answer("3\n")


@pytest.mark.parametrize(
    "meta", [{"counted": "yes"}, {"counted": "no", "reading_again": "yes"}], ids=str
)
def test_a_ledger_that_has_all_jobs_answers_with_a_warning_while_the_broker_is_away(
    site: Site, meta: dict[str, str]
) -> None:
    for name, value in {"offset": "7", **meta}.items():
        site.ledger.write_meta(name, value)
    site.trouble = "no broker"
    answer = site.ask("7", "-af", "ClusterId")
    assert (answer.code, answer.stdout) == (0, "7\n")
    assert answer.stderr.endswith("which may be out of date: no broker\n")


def test_a_short_answer_has_no_more(site: Site) -> None:
    answer = site.ask("7", "-af", "ClusterId")
    assert answer == Answer("7\n")
    assert site.checkpointed()


def test_what_is_folded_meanwhile_is_not_half_in_the_answer(site: Site) -> None:
    answer = site.ask("-nobatch")
    site.put(range(JOBS), 5)  # every job is held while the table is being read
    text = whole(answer)
    assert text.count(" I  0 ") == JOBS
    assert f"{JOBS} idle, 0 running, 0 held" in text.splitlines()[-3]
    assert f"{JOBS} held" in site.ask("-totals").stdout


def test_two_passes_see_the_same_jobs(site: Site) -> None:
    answer = site.ask("-af:h", "ClusterId", "Cmd", "UserLog")
    site.put(range(JOBS, 2 * JOBS), 1)
    assert whole(answer).count("\n") == JOBS + 1


def test_whoever_stops_reading_keeps_nobody_waiting(site: Site) -> None:
    stopped = [site.ask("-long") for _ in range(20)]  # nobody reads on
    assert whole(site.ask("-af", "ClusterId")).count("\n") == JOBS
    assert not site.checkpointed()
    del stopped  # they have gone away
    assert site.checkpointed()


def test_an_answer_that_nobody_reads_to_its_end_is_broken_off(site: Site) -> None:
    answer = site.ask("-long")
    assert answer.more is not None
    next(answer.more)
    site.clock.now += MAX_ANSWER_SECONDS + 1
    last = list(answer.more)[-1]
    assert (last.code, "not read within" in last.stderr) == (1, True)
    assert site.checkpointed()


class Caller:
    """A client that may be gone."""

    def __init__(self, gone: bool) -> None:
        self.gone, self.words = gone, 0

    def keep_waiting(self) -> None:
        self.words += 1
        if self.gone:
            raise CommandRefused("the client went away")

    def stdin(self) -> bytes:
        raise NotImplementedError

    def run(self, argv: Sequence[str], limit: int) -> tuple[int, bytes]:
        raise NotImplementedError


@pytest.mark.parametrize("gone", [False, True])
def test_a_query_that_selects_nothing_asks_whether_its_client_is_there(
    site: Site, gone: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot, "TURN_SECONDS", -1.0)
    caller = Caller(gone)
    request = Request("condor_q", ["-constraint", "false"], "/", {}, 0, 0, "root", caller=caller)
    answer = site.queries.answer(request, NOW)
    assert caller.words == (1 if gone else JOBS)
    assert answer.stderr == ("Error: condor_q: the client went away\n" if gone else "")
    assert site.checkpointed()


def test_a_query_that_selects_nothing_ends_in_time(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot, "TURN_SECONDS", -1.0)
    site.clock.step = 1.0
    answer = site.ask("-constraint", "false")
    assert (answer.code, answer.stderr) == (1, "\nError: not read within 900 s\n")
    assert site.checkpointed()


def test_a_query_of_too_many_expressions_is_refused(site: Site) -> None:
    assert site.ask(*map(str, range(5000)), "-af", "ClusterId").code == 0
    answer = site.ask("-af", *["Owner"] * 2000)
    assert (answer.code, answer.stdout) == (1, "")
    assert answer.stderr == "Error: condor_q: 2001 words; at most 2000 beside job ids\n"


def test_files_of_one_users_queries_are_in_memory_one_after_the_other(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "history"
    path.write_text("ClusterId = 3\n*** \n" * 20_000)
    monkeypatch.setattr(query_service, "MAX_FILES_BYTES", 100_000)
    site.queries._files = OwnerSlots(100_000)
    argv = ("-file", str(path), "-long")
    first = site.ask(*argv, command="condor_history")
    assert first.more is not None  # it is not read to its end, and keeps its file
    with ThreadPoolExecutor(1) as client:
        second = client.submit(lambda: whole(site.ask(*argv, command="condor_history")))
        with pytest.raises(FutureTimeout):
            second.result(0.2)
        del first
        assert second.result(60.0) == "ClusterId = 3\n\n" * 20_000


def test_of_one_users_queries_two_at_once_keep_many_jobs(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(query_service, "KEEPING_PATIENCE", 0.01)
    table = tmp_path / "table"
    table.write_text("SELECT\nClusterId\nCmd\nArgs\nIwd\nEnvironment\nGROUP BY Iwd\n")
    sorting = ("-print-format", str(table))
    unread = [site.ask(*sorting) for _ in range(2)]
    assert all(answer.more for answer in unread)
    why = "Error: condor_q: 2 other large queries of yours are not read yet; try again\n"
    refused = site.ask(*sorting)
    assert (refused.stdout, refused.stderr, refused.code) == ("", why, 1)
    assert whole(site.ask("-af", "ClusterId")).count("\n") == JOBS  # keeps none
    assert whole(unread[0]).count("/bin/sleep") == JOBS
    assert whole(site.ask(*sorting)).count("/bin/sleep") == JOBS


def test_a_query_that_would_keep_too_much_is_refused(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_ads, "MAX_SIZE", 1_000_000)
    table = tmp_path / "table"
    table.write_text("SELECT\nClusterId\nGROUP BY Iwd\n")
    answer = site.ask("-print-format", str(table))
    why = "more than 1000000 bytes of ads to be kept in memory; select fewer"
    assert (answer.stdout, answer.stderr) == ("", f"Error: condor_q: {why}\n")
    assert answer.code == 1


def test_queries_of_few_jobs_are_not_counted(site: Site, tmp_path: Path) -> None:
    table = tmp_path / "table"
    table.write_text("SELECT\nClusterId PRINTF %4000d\nWHERE ClusterId < 50\nGROUP BY Iwd\n")
    answers = [site.ask("-print-format", str(table)) for _ in range(5)]
    assert [whole(answer).count("\n") for answer in answers] == [4 + 50] * 5


def test_a_ledger_that_is_gone_is_an_error_and_not_an_empty_queue(site: Site) -> None:
    site.ledger.path.rename(site.ledger.path.with_suffix(".away"))
    answer = site.ask("-af", "ClusterId")
    assert (answer.code, answer.stdout) == (1, "")
    assert str(site.ledger.path) in answer.stderr


def test_a_ledger_that_fails_halfway_ends_with_an_error(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_self: LedgerSnapshot, *_args: object) -> Iterator[Ad]:
        yield from (job(cluster) for cluster in range(1000))
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(LedgerSnapshot, "_ads", broken)
    answer = site.ask("-long")
    assert answer.more is not None
    last = list(answer.more)[-1]
    assert (last.code, "disk I/O error" in last.stderr) == (1, True)
    assert site.checkpointed()


def test_fifty_clients_at_once_all_get_everything(site: Site) -> None:
    with ThreadPoolExecutor(50) as clients:
        texts = list(clients.map(lambda _: whole(site.ask("-af", "ClusterId", "Cmd")), range(50)))
    assert {text.count("\n") for text in texts} == {JOBS}
    assert site.checkpointed()


def test_a_running_job_shows_what_it_has_used_so_far(site: Site) -> None:
    site.put(range(5, 6), 2)
    used = {"RemoteUserCpu": "12.5", "ResidentSetSize": "2048"}
    site.live = {JobId(5, 0): used, JobId(6, 0): used}
    argv = ["-af", "RemoteUserCpu", "MemoryUsage", "RemoteWallClockTime"]
    # 2048 KiB; the wall-clock time stays 0.0 until a run ends, as with HTCondor
    assert site.ask("5", *argv).stdout == "12.5 2 0.0\n"
    assert site.ask("6", "-af", "RemoteUserCpu").stdout == "0.0\n"  # it waits: old news


# --- the lock -----------------------------------------------------------------------------------


def test_the_lock_is_handed_on_in_order() -> None:
    lock, order = FairLock(), []

    def take(number: int) -> None:
        with lock.hold(1):
            order.append(number)

    with lock.hold(1):
        threads = []
        for number in range(5):
            thread = threading.Thread(target=take, args=(number,))
            thread.start()
            threads.append(thread)
            wait_until(lambda: len(lock._waiting.get(1, ())) == len(threads), "it waits")
        assert order == []
        with lock.let_go():
            pass  # all others hold it first
        assert order == [0, 1, 2, 3, 4]
    for thread in threads:
        thread.join()


def test_the_lock_is_released_after_an_error() -> None:
    lock = FairLock()
    with pytest.raises(ZeroDivisionError), lock.hold(1):
        raise ZeroDivisionError
    with lock.hold(1), lock.let_go():
        pass


def test_users_take_the_lock_in_turn() -> None:
    lock, order = FairLock(), []

    def take(uid: int) -> None:
        with lock.hold(uid):
            order.append(uid)

    threads = [threading.Thread(target=take, args=(uid,)) for uid in (7, 7, 7, 7, 8, 9)]
    with lock.hold(7):
        for thread in threads:
            before = sum(map(len, lock._waiting.values()))
            thread.start()
            wait_until(lambda n=before: sum(map(len, lock._waiting.values())) > n, "it waits")
        with lock.let_go():
            pass
    for thread in threads:
        thread.join()
    assert order == [7, 8, 9, 7, 7, 7]
