"""b2luigi: its tasks are our jobs, and the one that fails is seen to fail."""

from pathlib import Path

from tests.clients.pool import Pool


def test_b2luigi_runs_its_tasks_as_jobs(pool: Pool, python: Path, place: Path) -> None:
    said = pool.script(python, "use_b2luigi.py", place)

    results = {
        int(path.parent.name.partition("=")[2]): path.read_text().split()
        for path in place.glob("result_dir/**/square.txt")
    }
    assert {number: int(words[0]) for number, words in results.items()} == {1: 1, 2: 4}
    assert all(words[1].startswith(str(pool.root / "scratch")) for words in results.values())
    assert "Failed task Square(number=3)" in said
