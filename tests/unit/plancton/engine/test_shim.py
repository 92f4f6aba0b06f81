"""Why a pilot's program could not be run."""

import errno
from pathlib import Path

import pytest

from plancton.engine.process.shim import find_reason


@pytest.mark.parametrize(
    ("program", "number", "reason"),
    [
        ("thyme-wroker", errno.EACCES, errno.ENOENT),  # a directory of PATH may not be entered
        ("notes.txt", errno.EACCES, errno.EACCES),  # it is there, and not executable
        ("/opt/thyme-worker", errno.EACCES, errno.EACCES),
        ("thyme-wroker", errno.ENOENT, errno.ENOENT),
        ("notes.txt", errno.ENOEXEC, errno.ENOEXEC),
    ],
)
def test_a_program_that_is_nowhere_in_path_is_not_there(
    tmp_path: Path, program: str, number: int, reason: int
) -> None:
    (tmp_path / "notes.txt").touch()
    path = f"/nowhere:{tmp_path}"
    assert find_reason(OSError(number, "x"), program, path) == reason
