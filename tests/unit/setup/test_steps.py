"""What a person reads when a step of the set-up fails."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.setup.steps import ROOT, SetupError, explain, run
from tests.support.waiting import wait_until

#: As pip, npm and the kernel wrote them, shortened.
NO_INDEX = """\
WARNING: Retrying (Retry(total=0, connect=None)) after connection broken by 'NewConnectionError(
ERROR: Could not find a version that satisfies the requirement setuptools (from versions: none)
ERROR: No matching distribution found for setuptools
"""
NO_NAME = """\
npm error code EAI_AGAIN
npm error syscall getaddrinfo
npm error request to https://registry.example/typescript failed
"""
FULL = "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device\n"
BROKEN = "Collecting a\n  error: subprocess-exited-with-error\nERROR: Failed to build 'a'\nbye\n"


@pytest.mark.parametrize(
    ("output", "says"),
    [
        (NO_INDEX, "packages cannot be fetched from PyPI (PIP_INDEX_URL): NewConnectionError"),
        (NO_NAME, "packages cannot be fetched from PyPI (PIP_INDEX_URL): EAI_AGAIN"),
        (FULL, f"the disk is full: make room below {ROOT}"),
        (BROKEN, "Failed to build 'a'; the log: /x/pip.log"),
        ("Killed\n", "Killed; the log: /x/pip.log"),
        ("", "no output; the log: /x/pip.log"),
    ],
)
def test_a_failed_download_is_explained_in_one_line(output: str, says: str) -> None:
    text = explain(output, "PyPI (PIP_INDEX_URL)", Path("/x/pip.log"))

    assert text.startswith(says)
    assert "\n" not in text


def test_a_step_keeps_what_its_command_printed(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "step.log"

    code, said = run(
        "x", ["sh", "-c", "echo out; echo err >&2; exit 3"], log, seconds=60, where=tmp_path
    )

    assert (code, sorted(said.split())) == (3, ["err", "out"])
    assert log.read_text() == "$ sh -c echo out; echo err >&2; exit 3\n" + said


def test_a_step_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    code, said = run("x", ["sh", "-c", "echo a; exec sleep 600"], tmp_path / "log", seconds=0.3)

    assert (code, said) == (124, "a\n")


def test_a_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="cannot run no-such-program: No such file"):
        run("x", ["no-such-program"], tmp_path / "log", seconds=60)


def test_two_set_ups_of_one_clone_wait_for_each_other(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from tests.setup import steps; "
        "steps.PLACE = pathlib.Path(sys.argv[1]);\n"
        "with steps.alone(): print(sys.argv[2], flush=True); sys.stdin.readline(); print('end')"
    )
    with open(tmp_path / "out", "w") as out:
        first, second = (
            subprocess.Popen(
                [sys.executable, "-c", code, str(tmp_path), name], cwd=ROOT, text=True,
                stdin=subprocess.PIPE, stdout=out, stderr=out,
            )
            for name in ("first", "second")
        )  # fmt: skip
    said = tmp_path / "out"
    try:
        wait_until(lambda: "waiting for it" in said.read_text(), "one to wait", timeout=60)
        assert sum(said.read_text().count(name) for name in ("first", "second")) == 1
    finally:
        for one in (first, second):
            assert one.stdin is not None
            one.stdin.write("\n")
            one.stdin.close()
        assert [one.wait(60) for one in (first, second)] == [0, 0]
    assert said.read_text().count("end") == 2
