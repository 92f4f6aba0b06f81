"""``thyme-worker`` ends with 4 where the broker cannot be used, and says why."""

import re
import sqlite3
import subprocess
import sys

import pytest

from tests.support.worker_program import TRUE, WorkerSite, make_accessible
from thyme.broker.sqlite.schema import SCHEMA_VERSION


def refused(site: WorkerSite, **more: int) -> str:
    code, said = site.run("--timeout", "20", **more)  # type: ignore[arg-type]
    assert code == 4
    *warnings, last = said.splitlines()
    assert all("; next try in " in line for line in warnings)
    assert last.startswith("thyme-worker: ")
    return last


def test_4_a_file_that_is_no_database(site: WorkerSite) -> None:
    site.file.write_text("this is not a database, whatever its name\n" * 100)

    assert refused(site) == f"thyme-worker: broker {site.file}: file is not a database"
    assert site.file.read_text().startswith("this is not")


def test_4_another_programs_database(site: WorkerSite) -> None:
    other = sqlite3.connect(site.file)
    other.execute("CREATE TABLE cookies(name)")
    other.close()
    before = site.file.read_bytes()

    assert refused(site) == (
        f"thyme-worker: broker {site.file}: this is another program's database"
    )
    assert site.file.read_bytes() == before


@pytest.mark.parametrize("version", [1, 999])
def test_4_a_database_of_another_version(site: WorkerSite, version: int) -> None:
    other = sqlite3.connect(site.file)
    other.execute(f"PRAGMA user_version={version}")
    other.close()

    assert refused(site) == (
        f"thyme-worker: broker {site.file}: it has version {version}, this program "
        f"knows {SCHEMA_VERSION} alone; use the release of thyme that made it"
    )


def test_4_a_directory_that_is_not_there(site: WorkerSite) -> None:
    site.url = f"sqlite://{site.path}/none/broker.db"

    assert refused(site).startswith(
        f"thyme-worker: cannot use the broker {site.path}/none/broker.db: there is no directory "
        f"{site.path}/none"
    )


@pytest.mark.root
def test_4_a_directory_that_is_not_writable(site: WorkerSite) -> None:
    make_accessible(site.path)
    site.work.chmod(0o1777)

    assert "Permission denied" in refused(site, user=65534)


@pytest.mark.root
def test_4_another_users_broker(site: WorkerSite) -> None:
    site.submit(TRUE)
    make_accessible(site.path)
    site.path.chmod(0o1777)
    site.work.chmod(0o1777)

    last = refused(site, user=65534)

    assert f"cannot use the broker {site.file}: Permission denied" in last
    assert site.kinds() == []


def test_4_a_full_disk(site: WorkerSite) -> None:
    """A disk that is full, played by SQLite's own limit on the size of the file."""
    site.submit(TRUE)
    site.broker.close()
    site._broker = None
    # no process may make a file longer than it is now: SQLite sees a write that fails
    script = (
        "import resource, signal, sys; from thyme.worker.cli import main\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    done = subprocess.run(
        [
            sys.executable, "-c", script, "--url", site.url, "--workdir", str(site.work),
            "--user", "self", "--timeout", "1",
        ],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip

    assert done.returncode == 4, done
    last = done.stderr.splitlines()[-1]
    assert re.fullmatch(
        rf"thyme-worker: gave up after --timeout: broker {site.file}: (disk I/O error|database or "
        "disk is full)",
        last,
    )
    assert "Traceback" not in done.stderr
    assert site.kinds() == []
    assert site.broker.count_ready("alien_jobs") == 1
