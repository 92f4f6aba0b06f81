"""Whatever is typed after a command that changes jobs: an answer, never another exception."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.support.fake_command_queue import BOB, Queue
from tests.support.fake_submit_host import CWD, FakeSubmitHost
from tests.support.schedd_parts import SCHEDD, ScheddHarness
from vobox.client import user_log, wait, watch_q
from vobox.commands import act, config_val, qedit, reschedule, tail, vacate
from vobox.commands.command_line import EarlyExit
from vobox.rpc.types import Answer, Request
from vobox.schedd.state import Settings

COMMANDS = (*act.OPTIONS, "condor_qedit", "condor_prio", "condor_vacate")
NAMES = sorted(
    {
        option.name
        for table in (
            *act.OPTIONS.values(), qedit.OPTIONS, tail.OPTIONS, config_val.OPTIONS,
            vacate.OPTIONS, reschedule.OPTIONS,
        )
        for option in table
    }
)  # fmt: skip
OPTION = st.builds(
    lambda dash, name, length, letters: dash + name[: length + 1] + letters,
    st.sampled_from(["-", "-", "-", "--"]),
    st.sampled_from(NAMES),
    st.integers(0, 12),
    st.sampled_from(["", "", "", ":", ":x"]),
)
WORD = st.one_of(
    st.sampled_from(["", "5", "5.0", "5.1", "9.0", "0", "0.0", "alice", "bob", "-a", "-p", "+5"]),
    st.sampled_from(["-", "e.sub", "k=v", "+A=1", "queue", "2"]),
    st.sampled_from(["JobPrio", "Owner", "A=1", "A", '"x"', "1 +", "true", "JobStatus == 1"]),
    st.sampled_from(["9" * 30, "9" * 5000, "1." + "9" * 30, "-" + "9" * 400, SCHEDD, "vobox1"]),
    st.integers().map(str),
    st.text(max_size=12),
    st.text(st.characters(min_codepoint=0xD800, max_codepoint=0xDFFF), max_size=2),
)
LINE = st.lists(st.one_of(OPTION, WORD), max_size=6)
OFTEN = settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[Queue]:
    made = Queue(ScheddHarness(tmp_path))
    made.add("5.0", "5.1")
    made.add("9.0", uid=BOB, owner="bob")
    made.start("5.1")
    yield made
    made.bench.close()


def is_answer(answer: Answer) -> None:
    assert answer.code in (0, 1)
    assert answer.code == 0 or answer.stderr
    for text in (answer.stdout, answer.stderr):
        text.encode("utf-8", "surrogateescape")


@pytest.mark.parametrize("command", COMMANDS)
@given(argv=LINE)
@example(argv=["-constraint", "\ud800", "5"])
@example(argv=["5.0", "A", "\ud800"])
@OFTEN
def test_commands_that_change_jobs(queue: Queue, command: str, argv: list[str]) -> None:
    is_answer(queue.run(command, *argv))
    # and never another user's job
    assert queue.states()["9.0"] == 1


def _config_val(argv: Sequence[str]) -> None:
    request = Request("condor_config_val", argv, "/", {}, 1, 1, "alice")
    is_answer(config_val.answer(request, Settings(SCHEDD), "</s>"))


def _reschedule(argv: Sequence[str]) -> None:
    is_answer(reschedule.answer(Request("condor_reschedule", argv, "/", {}, 1, 1, "a"), SCHEDD))


def _tail(argv: Sequence[str]) -> None:
    with contextlib.suppress(EarlyExit):
        tail.parse(argv, SCHEDD)


def _submit(argv: Sequence[str]) -> None:
    host = FakeSubmitHost({f"{CWD}/e.sub": b"executable = agent.sh\nqueue\n"})
    is_answer(host.run(*argv, stdin="executable = agent.sh\nqueue\n"))


def _wait(argv: Sequence[str]) -> None:
    with contextlib.suppress(user_log.CommandExit):
        wait.parse(list(argv))


def _watch_q(argv: Sequence[str]) -> None:
    with contextlib.suppress(user_log.CommandExit):
        watch_q.parse(list(argv))


@pytest.mark.parametrize("command", [_config_val, _reschedule, _submit, _tail, _wait, _watch_q])
@given(argv=LINE)
@OFTEN
def test_the_other_commands(command: Callable[[Sequence[str]], None], argv: list[str]) -> None:
    command(argv)


EVENT = b"005 (038.000.000) 2026-11-22 13:25:12 Job terminated.\n\t(1) Normal\n...\n"
PIECE = st.one_of(
    st.binary(max_size=40),
    st.sampled_from([EVENT, b"\n...\n", b"...\n", EVENT[:30], b"000 (1.2.3) 11/22 25:61:61 x\n"]),
)


@given(pieces=st.lists(PIECE, max_size=6))
@OFTEN
def test_any_bytes_in_a_log_are_events_or_an_error(tmp_path: Path, pieces: list[bytes]) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"".join(pieces))
    log = user_log.UserLog(str(path))
    with contextlib.suppress(ValueError):
        for _ in range(100):
            events, at_end = log.read()
            for event in events:
                event.format(False, True, True)
            if at_end:
                break
        else:
            raise AssertionError("it comes to no end")
    log.close()
