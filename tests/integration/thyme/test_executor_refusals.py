"""Jobs that cannot start are held with the reason; a node that can start none holds no job."""

import os
from pathlib import Path

import pytest

from tests.support.run_job import SLOT, Run
from thyme.errors import NodeUnfit
from thyme.protocol.job import SandboxFile, Task
from thyme.worker.start_errors import CannotStart

# what a test starts ends with it, as with the worker: see conftest.py
pytestmark = pytest.mark.own_process


def hold_of(workdir: Path, task: Task) -> tuple[int, int, str]:
    with pytest.raises(CannotStart) as refused:
        Run(workdir, task)
    assert list(workdir.iterdir()) == []
    return refused.value.hold.code, refused.value.hold.subcode, refused.value.hold.text


@pytest.mark.parametrize(
    ("task", "number", "words"),
    [
        (
            Task("/nope", arguments=("a", "b c", "it's", "", "d")),
            2,
            "Failed to execute '/nope' with arguments a b' 'c it''''s '' d: (errno=2: 'No such",
        ),
        (Task("/etc"), 13, "'/etc': (errno=13: 'Permission denied')"),
        (Task("x", files=(SandboxFile("x", b"#!/bin/sh\n", 0o644),)), 13, "(errno=13: "),
        (Task("x", files=(SandboxFile("x", b"echo no line 1", 0o755),)), 8, "'Exec format error'"),
        (
            Task("x", files=(SandboxFile("x", b"#!/nope -x\n", 0o755),)),
            2,
            "x': invalid interpreter (/nope) specified on first line of script (errno=2: 'No such",
        ),
        (Task("/bin/true", arguments=("x" * 3_000_000,)), 7, "...: (errno=7: 'Argument list too"),
        (Task("/bin/true", arguments=("a\0b",)), 0, "embedded null byte"),
        (Task("/bin/true", environment={"A=B": "x"}), 0, "illegal environment variable name"),
        (Task("/bin/true", environment={"A": "\0"}), 0, "embedded null byte"),
        (Task("/bin/true", arguments=("\ud800",)), 0, "surrogates not allowed"),
    ],
)
def test_a_job_that_cannot_be_executed_is_held_with_the_reason(
    tmp_path: Path, task: Task, number: int, words: str
) -> None:
    code, subcode, text = hold_of(tmp_path, task)

    assert (code, subcode) == (6, number)
    assert text.startswith(f"Error from {SLOT}: Failed to execute '")
    assert words in text
    assert len(text) < 2100
    assert "\n" not in text


@pytest.mark.parametrize("directory", ["/nope", "/etc/passwd", "x" * 5000, "a\0b", "\ud800"])
def test_a_missing_directory_holds_the_job(tmp_path: Path, directory: str) -> None:
    code, number, text = hold_of(tmp_path, Task("/bin/true", directory=directory))

    assert (code, number) == (14, 2)
    assert "does not exist on this node" in text


@pytest.mark.parametrize("stdin", ["nope", "/etc", "a" * 300])
def test_a_stdin_that_cannot_be_opened_holds_the_job(tmp_path: Path, stdin: str) -> None:
    code, _number, text = hold_of(tmp_path, Task("/bin/true", stdin=stdin))

    assert code == 8
    assert "as standard input: (errno=" in text


def test_a_stdin_that_is_a_silent_pipe_blocks_the_job_alone(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "w").mkdir()

    run = Run(tmp_path / "w", Task("/bin/cat", stdin=f"{tmp_path}/pipe"))

    assert run.outcome.exit_code == 0  # nobody writes: its end, at once


def test_a_program_that_is_a_silent_pipe_holds_its_job(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "w").mkdir()

    code, number, text = hold_of(tmp_path / "w", Task(f"{tmp_path}/pipe"))

    assert (code, number) == (6, 13)
    assert "(errno=13: 'Permission denied')" in text


@pytest.mark.parametrize("number", [11, 12, 24])
def test_a_node_that_can_start_no_process_holds_no_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def fails(*_args: object, **_options: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("thyme.worker.processes.subprocess.Popen", fails)

    with pytest.raises(NodeUnfit, match=rf"Failed to execute '/bin/true': \[Errno {number}\]"):
        Run(tmp_path, Task("/bin/true"))
