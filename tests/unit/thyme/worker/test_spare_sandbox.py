"""A scratch directory that the last job left empty: the next job's, unless anything is odd."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from thyme.protocol.job import SandboxFile, Task
from thyme.worker.sandbox import STDERR, STDOUT, Sandbox

TASK = Task("/bin/true")


@pytest.fixture
def used(tmp_path: Path) -> Iterator[Sandbox]:
    """One in which a job has run that wrote to its streams alone."""
    made = Sandbox(tmp_path)
    begin(made, TASK)
    os.write(made.open_stream(STDOUT).fileno(), b"secret of the last job\n")
    yield made
    made.remove()


def begin(sandbox: Sandbox, task: Task) -> None:
    sandbox.unpack(task)
    sandbox.open_stream(STDOUT)
    sandbox.open_stream(STDERR)


def test_the_next_job_finds_nothing_of_the_last_one(used: Sandbox) -> None:
    before = used.path.stat()

    assert used.clear_streams()
    assert used.is_unchanged()
    begin(used, TASK)

    assert used.path.stat().st_ino == before.st_ino
    assert sorted(path.name for path in used.path.iterdir()) == [STDERR, STDOUT]
    assert [path.stat().st_size for path in used.path.iterdir()] == [0, 0]
    assert used.read_stream(STDOUT, 1000) == b""
    assert used.collect_outputs(TASK) == ((), None)
    os.write(used.open_stream(STDERR).fileno(), b"mine")
    assert used.read_stream(STDERR, 1000) == b"mine"


def test_what_the_next_job_reads_of_its_streams_begins_at_their_beginning(used: Sandbox) -> None:
    stream = used.open_stream(STDOUT)
    os.write(stream.fileno(), b"a long line of the last job\n")
    used.clear_streams()
    os.write(used.open_stream(STDOUT).fileno(), b"x")
    os.lseek(stream.fileno(), 0, os.SEEK_SET)
    assert os.read(stream.fileno(), 10) == b"x"


def test_an_input_file_with_the_name_of_a_stream_does_not_become_output(used: Sandbox) -> None:
    assert used.clear_streams()
    begin(used, Task("/bin/true", files=(SandboxFile(STDOUT, b"an input"),)))
    assert used.read_stream(STDOUT, 1000) == b""


LEFT: dict[str, Callable[[Path], object]] = {
    "a file": lambda top: (top / "core").write_bytes(b"x"),
    "a directory": lambda top: (top / "d").mkdir(),
    "a hidden link": lambda top: (top / ".l").symlink_to("/etc/passwd"),
    "no stream": lambda top: (top / STDERR).unlink(),
}


@pytest.mark.parametrize("left", LEFT)
def test_a_directory_in_which_a_job_left_something_is_not_kept(used: Sandbox, left: str) -> None:
    LEFT[left](used.path)
    assert not used.clear_streams()


def replaced(path: Path) -> None:
    path.unlink()
    path.write_bytes(b"")
    path.chmod(0o644)


def moved(top: Path) -> None:
    top.rename(top.with_name("away"))
    top.mkdir(0o700)
    for name in (STDOUT, STDERR):
        (top / name).touch(0o644)


#: What the job did meanwhile, or what a process that outlived it might.
DONE: dict[str, Callable[[Path], object]] = {
    "a file": lambda top: (top / "x").write_bytes(b"x"),
    "an open directory": lambda top: top.chmod(0o755),
    "an access list": lambda top: os.setxattr(top, "user.x", b"1"),
    "another directory": moved,
    "no directory": lambda top: top.rename(top.with_name("gone")),
    "a second name of a stream": lambda top: os.link(top / STDOUT, top.parent / "mine"),
    "another stream": lambda top: replaced(top / STDOUT),
    "a link for a stream": lambda top: [
        (top / STDOUT).unlink(), (top / STDOUT).symlink_to("/dev/null")
    ],
    "a stream that others may write": lambda top: (top / STDERR).chmod(0o666),
    "an access list of a stream": lambda top: os.setxattr(top / STDERR, "user.x", b"1"),
}  # fmt: skip


@pytest.mark.parametrize("done", DONE)
def test_a_directory_that_others_could_reach_is_not_given_to_another_job(
    used: Sandbox, done: str
) -> None:
    assert used.clear_streams()
    try:
        DONE[done](used.path)
    except OSError as error:
        pytest.skip(f"not on this file system: {error}")

    assert not used.is_unchanged()
