"""Counting the tests that will be skipped, on tests of a project of its own."""

import subprocess
import sys
from pathlib import Path

TESTS = """
import pytest
from tests.setup.needs import needs

@pytest.fixture
@needs("rabbitmq")
def broker(): pass

@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.needs("docker"))])
def engine(request): pass

@pytest.fixture
def site(broker): pass

def test_of_nothing(): pass
def test_of_a_fixture_of_a_fixture(site): pass
def test_of_a_parameter(engine, broker): pass
@pytest.mark.needs("influxdb")
def test_of_a_mark(): pass
@pytest.mark.root
def test_of_root(): pass
"""
COUNT = """
import sys, pytest
from tests.setup.needs import SkipCounter
counter = SkipCounter({"rabbitmq", "influxdb"}, {"docker"}, sys.argv[1] == "root")
pytest.main(["--collect-only", "-q", "-p", "no:cacheprovider", "test_it.py"], [counter])
print(counter.total, counter.skipped, counter.need_root, sorted(counter.lacking.items()))
"""


def count(place: Path, user: str) -> str:
    (place / "test_it.py").write_text(TESTS)
    (place / "pytest.ini").write_text("[pytest]\nmarkers =\n  needs(x): y\n  root: z\n")
    done = subprocess.run(
        [sys.executable, "-c", COUNT, user], cwd=place, capture_output=True, text=True, timeout=60,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(Path(__file__).parents[3])},
    )  # fmt: skip
    return done.stdout.splitlines()[-1] if done.returncode == 0 else done.stderr


def test_tests_are_counted_by_their_fixtures_parameters_and_marks(tmp_path: Path) -> None:
    # 6 tests, as one has two parameters; without the broker 3, InfluxDB 1, root 2 (of which
    # one lacks the broker, too)
    assert count(tmp_path, "anna") == "6 5 2 [('influxdb', 1), ('rabbitmq', 3)]"


def test_root_is_not_told_that_tests_need_root(tmp_path: Path) -> None:
    # here "docker" stands for what root cannot use either
    assert count(tmp_path, "root") == "6 4 1 [('influxdb', 1), ('rabbitmq', 3)]"
