"""Where ``thyme-worker`` is told of its broker and its pool, and how many jobs it takes."""

import socket
import time
from pathlib import Path

import pytest

from tests.support.worker_program import TRUE, WorkerSite, ended, running, shell


def test_the_url_is_read_from_a_file(site: WorkerSite) -> None:
    site.submit(TRUE)
    (site.path / "url").write_text(f"\ufeff{site.url}\r\n")  # as an editor of Windows does

    code, _said = site.run(
        env={"THYME_URL_FILE": f"{site.path}/url", "THYME_URL": "sqlite:////elsewhere/b.db"}
    )

    assert code == 0


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot read"),
        (b"", "is empty"),
        (b"\xff\xfe", "is not UTF-8"),
        (b"a" * 65537, "has more than 65536 characters"),
    ],
)
def test_6_a_url_file_that_cannot_be_used(
    site: WorkerSite, content: bytes | None, said: str
) -> None:
    if content is not None:
        (site.path / "url").write_bytes(content)

    code, line = site.run(env={"THYME_URL_FILE": f"{site.path}/url"})

    assert code == 6
    assert line.startswith("thyme-worker: THYME_URL_FILE: ")
    assert said in line


def test_the_option_goes_before_the_environment(site: WorkerSite) -> None:
    site.submit(TRUE)

    code, _said = site.run("--url", site.url, env={"THYME_URL": "sqlite:////elsewhere/b.db"})

    assert code == 0


@pytest.mark.parametrize("by_option", [True, False])
def test_the_names_of_2017_still_say_where_the_broker_is(site: WorkerSite, by_option: bool) -> None:
    with socket.socket() as nobody:  # bound, and nobody listens
        nobody.bind(("127.0.0.1", 0))
        place = f"127.0.0.1:{nobody.getsockname()[1]}"
        options = ["--rabbitmq", place] if by_option else []

        code, said = site.run(*options, env={} if by_option else {"THYME_RABBITMQ": place})

    assert code == 4
    assert place in said.splitlines()[-1]


def test_6_a_place_of_2017_holds_no_password(site: WorkerSite) -> None:
    assert site.run("--rabbitmq", "worker:secret@broker", env={}) == (
        6,
        "thyme-worker: THYME_RABBITMQ: write HOST or HOST:PORT, IPv6 as [2001:db8::1]:PORT; for "
        "a user and a password use "
        "THYME_URL_FILE\n",
    )


@pytest.mark.root
def test_what_names_the_broker_is_gone_from_the_workers_environment(site: WorkerSite) -> None:
    site.submit(shell(f"touch {site.path}/up; until [ -e {site.path}/go ]; do sleep 0.05; done"))
    worker = running(site)

    shown = Path(f"/proc/{worker.pid}/environ").read_bytes()
    (site.path / "go").touch()

    assert ended(worker) == 0
    assert b"THYME_JOB_USER=self" in shown
    assert site.url.encode() not in shown


def test_the_pool_is_named_by_option_or_environment(site: WorkerSite) -> None:
    site.submit(TRUE, pool="gpu")
    site.submit(TRUE, pool="big")

    assert site.run("--timeout", "0")[0] == 3
    assert site.run(env={"THYME_URL": site.url, "THYME_QUEUE": "gpu"})[0] == 0
    assert site.run("--queue", "big", env={"THYME_URL": site.url, "THYME_QUEUE": "gpu"})[0] == 0


def test_the_lanes_are_named_by_option_or_environment(site: WorkerSite) -> None:
    site.submit(TRUE, TRUE, pool="alien_jobs.lane.600")
    lanes = {"THYME_URL": site.url, "THYME_LANES": "10m"}

    assert site.run("--timeout", "0")[0] == 3
    assert site.run("--timeout", "0", env={**lanes, "THYME_LANES": "20m"})[0] == 3
    assert site.run(env=lanes)[0] == 0
    assert site.run("--lanes", "600,1h", env={**lanes, "THYME_LANES": "1m"})[0] == 0


def test_a_worker_falls_back_when_it_is_told_to(site: WorkerSite) -> None:
    site.submit(TRUE, pool="alien_jobs.lane.600")
    features = site.path / "jobfeatures"
    features.mkdir()
    (features / "shutdowntime_job").write_text(f"{time.time() + 300:.0f}\n")
    env = {"THYME_URL": site.url, "THYME_LANES": "10m", "JOBFEATURES": str(features)}

    assert site.run("--timeout", "0", env=env)[0] == 3
    assert site.run(env={**env, "THYME_LANE_FALLBACK": "never"}) == (
        6,
        "thyme-worker: THYME_LANE_FALLBACK: 'never' is no number of seconds\n",
    )
    assert site.run("--lane-fallback", "0", env=env)[0] == 0


@pytest.mark.parametrize(
    ("limit", "done"),
    [([], 1), (["--max-jobs", "3"], 3), (["--max-jobs", "0", "--timeout", "3"], 5)],
)
def test_so_many_jobs_and_no_more(site: WorkerSite, limit: list[str], done: int) -> None:
    site.submit(*[TRUE] * 5)

    assert site.run(*limit) == (0, "")

    assert site.kinds() == ["started", "finished"] * done
    assert site.broker.count_ready("alien_jobs") == 5 - done
