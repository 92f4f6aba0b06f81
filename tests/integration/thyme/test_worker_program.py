"""``thyme-worker`` as a program: its exit codes, and the page that tells of it."""

import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.worker_program import PAGE, TRUE, WorkerSite, make_accessible, shell
from thyme.errors import ExitCode
from thyme.protocol.job import SandboxFile, Task
from thyme.worker.cli import make_parser


def test_0_ran_a_job_to_its_end_whatever_the_jobs_own_exit_code(site: WorkerSite) -> None:
    site.submit(shell("exit 9"))

    assert site.run() == (0, "")

    assert site.kinds() == ["started", "finished"]
    assert list(site.work.iterdir()) == []


def test_3_nothing_to_do_within_the_timeout(site: WorkerSite) -> None:
    assert site.run("--timeout", "0.2") == (3, "")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--url", "sqlite://relative.db"], "write sqlite:///ABSOLUTE/PATH (four slashes in all"),
        (["--url", "sqlite:////dir/"], "write sqlite:///ABSOLUTE/PATH"),
        (["--url", "sqlite:////a%00b"], "write sqlite:///ABSOLUTE/PATH"),
        (["--url", "sqlite:////a?mode=ro"], "write sqlite:///ABSOLUTE/PATH"),
        (["--url", "sqlite:////a\nsqlite:////b"], "write sqlite:///ABSOLUTE/PATH"),
        (["--url", "sqlite://[x"], "broker URL: Invalid IPv6 URL"),
        (
            ["--url", "http://x"],
            "broker URL: unknown scheme 'http'; use amqp://USER:PASSWORD@HOST/VHOST",
        ),
        (["--timeout", "soon"], "argument --timeout/-t: invalid number of seconds value: 'soon'"),
        (["--timeout", "nan"], "argument --timeout/-t: invalid number of seconds value: 'nan'"),
        (["--max-jobs", "-1"], "argument --max-jobs: invalid number of jobs value: '-1'"),
        (["--max-jobs", "x"], "argument --max-jobs: invalid number of jobs value: 'x'"),
        (["--nonsense"], "unrecognized arguments: --nonsense; see thyme-worker --help"),
        (["--queue", "two\nlines"], "pool 'two\\nlines': give 1 to 255 printable characters"),
        (["--queue", "q" * 256], "give 1 to 255 printable characters"),
    ],
)
def test_6_bad_invocation(site: WorkerSite, options: list[str], said: str) -> None:
    code, line = site.run(*options)

    assert code == 6
    assert line.startswith("thyme-worker: ")
    assert said in line
    assert line.count("\n") == 1


def test_6_no_broker_named(site: WorkerSite) -> None:
    assert site.run(env={}) == (
        6, "thyme-worker: no broker named: use --url, THYME_URL_FILE, THYME_URL or "
        "THYME_RABBITMQ\n",
    )  # fmt: skip


def test_a_password_in_a_url_is_never_printed(site: WorkerSite) -> None:
    code, line = site.run("--url", "amqps://worker:secret@broker/")

    assert code == 6
    assert "secret" not in line
    assert line == (
        "thyme-worker: --url: a password on the command line is seen by everybody on this "
        "machine; put the URL into a file that only this user can read, and name that in "
        "THYME_URL_FILE\n"
    )


def test_5_a_scratch_that_cannot_be_used(site: WorkerSite) -> None:
    site.submit(TRUE)

    code, line = site.run("--workdir", f"{site.path}/none")

    assert code == 5
    assert line.startswith(
        f"thyme-worker: cannot make a scratch directory in {site.path}/none: [Errno 2] "
    )
    assert site.broker.count_ready("alien_jobs") == 1


@pytest.mark.root
def test_5_a_scratch_of_another_user(site: WorkerSite) -> None:
    make_accessible(site.path)
    site.path.chmod(0o1777)
    site.work.chmod(0o700)

    code, line = site.run(user=65534)

    assert code == 5
    assert "Permission denied" in line
    assert line.count("\n") == 1


@pytest.fixture
def small_disk(site: WorkerSite) -> Iterator[Path]:
    """Mount a disk of 256 KiB for scratch directories, or skip."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "none", str(site.work)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs to be root and allowed to mount")
    yield site.work
    subprocess.run(["umount", str(site.work)], check=True)


@pytest.mark.root
def test_5_inputs_that_do_not_fit_go_back_to_the_queue(site: WorkerSite, small_disk: Path) -> None:
    big = SandboxFile("big", os.urandom(1_000_000))
    site.submit(Task("/bin/true", files=(big,)))

    code, line = site.run()

    assert code == 5
    assert line == (
        "thyme-worker: Failed to write input file 'big': [Errno 28] No space left on device\n"
    )
    assert site.kinds() == ["started", "evicted"]
    assert site.told()[-1].reason in line
    assert list(small_disk.iterdir()) == []


@pytest.mark.root
def test_a_job_that_fills_its_scratch_is_reported_and_cleaned_up(
    site: WorkerSite, small_disk: Path
) -> None:
    site.submit(shell("echo before; head -c 9000000 /dev/zero > fill; echo after; exit 4"))

    assert site.run() == (0, "")

    finished = site.told()[-1]
    assert finished.exit_code == 4
    assert finished.stdout.startswith(b"before\n")
    assert [file.name for file in finished.files] == ["fill"]
    assert list(small_disk.iterdir()) == []


def test_a_site_gives_its_jobs_variables_which_a_job_may_set_itself(site: WorkerSite) -> None:
    given = "http_proxy=http://squid:3128 SITE='two words' OWN=site"
    task = replace(
        shell('echo "$http_proxy|$SITE|$OWN|$THYME_JOB_ENVIRONMENT"'), environment={"OWN": "job"}
    )
    site.submit(task)

    assert site.run(env={"THYME_URL": site.url, "THYME_JOB_ENVIRONMENT": given}) == (0, "")

    assert site.told()[-1].stdout == b"http://squid:3128|two words|job|\n"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("A=1 PROXY", "--job-environment or THYME_JOB_ENVIRONMENT: word 2 is not NAME=VALUE"),
        ("A=1 B='secret", "--job-environment or THYME_JOB_ENVIRONMENT: No closing quotation"),
        ("A=two words", "--job-environment or THYME_JOB_ENVIRONMENT: word 2 is not NAME=VALUE"),
        ("1A=1", "--job-environment or THYME_JOB_ENVIRONMENT: word 1 is not NAME=VALUE"),
        (
            "_CONDOR_SLOT=x",
            "--job-environment or THYME_JOB_ENVIRONMENT: _CONDOR_SLOT is set by the worker itself",
        ),
    ],
)
def test_6_a_wrong_environment_of_jobs_is_refused(site: WorkerSite, given: str, said: str) -> None:
    assert site.run("--job-environment", given) == (6, f"thyme-worker: {said}\n")


def test_the_page_names_every_option_and_every_exit_code() -> None:
    page = PAGE.read_text()
    options = [
        option
        for action in make_parser()._actions
        for option in action.option_strings
        if option.startswith("--")
    ]

    assert len(options) >= 9
    for option in options:
        assert f"| `{option}" in page, option
    for code in ExitCode:
        assert re.search(rf"^\| {code.value} \|", page, re.MULTILINE), code
    for default in ("120", "16", "60", "alien_jobs"):
        assert default in page


def test_the_page_names_every_variable_of_a_jobs_environment() -> None:
    from thyme.worker.executor import build_environment

    page = PAGE.read_text()

    for name in build_environment(TRUE, "/scratch", "slot1_1@node"):
        assert f"`{name}" in page, name
