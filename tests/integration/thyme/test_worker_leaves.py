"""What ``thyme-worker`` costs, and how it leaves."""

import signal
import subprocess
import time
from pathlib import Path

from tests.support.waiting import wait_until
from tests.support.worker_program import TRUE, WorkerSite, ended, running, shell
from thyme.protocol.job import SandboxFile

MIB = 1024 * 1024


def kib(worker: subprocess.Popen[str], name: str) -> int:
    """Return a size that the kernel knows of it; 0 when it has ended."""
    for line in Path(f"/proc/{worker.pid}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    return 0


def test_a_jobs_input_files_are_not_kept_in_memory_while_it_runs(site: WorkerSite) -> None:
    wait = f"touch {site.path}/up; until [ -e {site.path}/go ]; do sleep 0.05; done"
    site.submit(shell(wait, files=(SandboxFile("in", bytes(100 * MIB)),)))
    worker = running(site)

    resident = kib(worker, "VmRSS")
    (site.path / "go").touch()

    assert ended(worker) == 0
    assert resident < 60 * 1024


def test_a_result_is_read_and_deflated_bit_by_bit(site: WorkerSite) -> None:
    site.submit(shell("head -c 150000000 /dev/zero > out", max_output=200 * MIB))
    worker = site.start("--timeout", "10")

    peaks = [0]
    while worker.poll() is None:
        peaks.append(kib(worker, "VmHWM"))
        time.sleep(0.005)

    assert ended(worker) == 0
    (file,) = site.told()[-1].files
    assert (file.name, len(file.data)) == ("out", 150_000_000)
    assert 0 < max(peaks) < 60 * 1024


def test_a_job_over_its_time_is_ended_and_held_and_its_output_kept(site: WorkerSite) -> None:
    site.submit(
        shell("trap 'echo asked; exit 1' TERM; echo up; while :; do sleep 0.05; done",
              allowed_execute_duration=5.0)
    )  # fmt: skip

    assert site.run() == (0, "")

    finished = site.told()[-1]
    assert (finished.exit_code, finished.signal) == (1, None)
    assert (finished.hold.code, finished.stdout) == (47, b"up\nasked\n")


def test_sigterm_evicts_the_job_and_ends_with_143(site: WorkerSite) -> None:
    site.submit(
        shell(f"trap 'touch {site.path}/asked; exit' USR1; touch {site.path}/up; "
              "while :; do sleep 0.05; done", kill_signal=int(signal.SIGUSR1)), TRUE,
    )  # fmt: skip
    worker = running(site)

    worker.terminate()

    assert ended(worker) == 143
    assert (site.path / "asked").exists()
    assert site.kinds() == ["started", "evicted"]
    assert site.told()[-1].reason == "evicted with its pilot"
    assert list(site.work.iterdir()) == []


DEAF = "trap '' TERM INT; touch {}/up; while :; do sleep 0.05; done"


def test_a_deaf_job_is_killed_after_its_grace(site: WorkerSite) -> None:
    site.submit(shell(DEAF.format(site.path), kill_grace=0.3))
    worker = running(site)

    worker.terminate()

    assert ended(worker) == 143
    assert site.kinds() == ["started", "evicted"]
    assert site.told()[-1].usage.wall >= 0.3


def test_a_second_sigterm_ends_a_deaf_job_at_once(site: WorkerSite) -> None:
    deaf = (
        f"trap 'touch {site.path}/asked' TERM; touch {site.path}/up; while :; do sleep 0.05; done"
    )
    site.submit(shell(deaf, kill_grace=3000.0))
    worker = running(site, "--verbose")
    worker.terminate()
    # one that the worker has not taken yet would be the same as the next
    wait_until((site.path / "asked").exists, "the job to be asked", state=site.kinds)
    assert worker.poll() is None  # it gives the job its grace

    worker.terminate()

    assert ended(worker) == 143
    assert site.kinds() == ["started", "evicted"]


def test_an_idle_worker_ends_with_128_and_the_signal(site: WorkerSite) -> None:
    worker = site.start("--timeout", "600", "--verbose")
    wait_until(lambda: list(Path(f"{site.file}.connections").glob(f"{worker.pid}-*")), "the worker")

    worker.send_signal(signal.SIGINT)

    assert ended(worker) == 130
