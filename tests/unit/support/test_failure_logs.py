"""The end of a run that failed: pytest as a program, on a test that fails."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import failure_logs

TESTS = """
import pytest

@pytest.mark.parametrize("word", ["a/b c", "good"])
def test_word(word):
    print("said before")
    assert word == "good"
"""
PLUGIN = """
from pathlib import Path
from tests.support import failure_logs

failure_logs.PLACE = Path(__file__).parent / "failed"
pytest_configure = failure_logs.register
"""


@pytest.mark.parametrize("options", [[], ["-n", "2"]], ids=["one process", "several"])
def test_the_last_screen_names_failed_tests_and_their_logs(
    tmp_path: Path, options: list[str]
) -> None:
    (tmp_path / "test_it.py").write_text(TESTS)
    (tmp_path / "conftest.py").write_text(PLUGIN)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "failed").mkdir()
    (tmp_path / "failed/old.log").touch()

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *options, "test_it.py"],
        cwd=tmp_path, capture_output=True, text=True, timeout=120,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(Path(__file__).parents[3])},
    )  # fmt: skip

    *_, head, test, log, last = done.stdout.splitlines()
    assert "failed tests and their logs" in head
    assert test == "test_it.py::test_word[a/b c]"
    assert "1 failed, 1 passed" in last
    assert Path(log.strip()) == tmp_path / "failed/test_it.py/test_word_a_b_c_.log"
    text = Path(log.strip()).read_text()
    assert "assert 'a/b c' == 'good'" in text
    assert "said before" in text
    assert not (tmp_path / "failed/old.log").exists()


def test_a_log_has_a_name_that_every_file_system_takes() -> None:
    log = failure_logs.log_of("tests/unit/x.py::test_y[" + "\x00é/" * 300 + "]")

    assert log.parent == failure_logs.PLACE / "tests/unit/x.py"
    assert len(log.name.encode()) <= 255
