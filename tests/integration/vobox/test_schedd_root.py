"""A schedd run as root serves every user, and does for each only what he could do himself."""

import os
import pwd
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.schedd_process import ROOT, LiveSchedd
from tests.support.waiting import wait_until
from thyme.errors import ExitCode
from vobox.files.as_user import as_owner

pytestmark = pytest.mark.root
NOBODY = pwd.getpwnam("nobody").pw_uid


@pytest.fixture
def schedd(top: Path) -> Iterator[LiveSchedd]:
    if subprocess.run(
        [
            "setpriv",
            f"--reuid={NOBODY}",
            "--clear-groups",
            "test",
            "-r",
            ROOT / "vobox/client/client.py",
        ]
    ).returncode:
        pytest.skip("nobody cannot read this checkout")
    made = LiveSchedd(top)
    os.chown(made.home, NOBODY, NOBODY)
    made.start()
    yield made
    made.close()


def as_nobody(schedd: LiveSchedd, text: str) -> int:
    return schedd.submit(text, uid=NOBODY)


def hold_of(schedd: LiveSchedd, job: str = "1.0") -> tuple[str, str, str]:
    wait_until(lambda: schedd.states().get(job) == 5, f"{job} is held", state=schedd.states)
    asked = ("HoldReasonCode", "HoldReasonSubCode", "HoldReason")
    said = schedd.run("condor_q", job, "-af", *asked).stdout.strip()
    code, subcode, reason = said.split(" ", 2)
    return code, subcode, reason


def test_what_a_users_job_leaves_belongs_to_him(schedd: LiveSchedd) -> None:
    as_nobody(
        schedd,
        "executable = /bin/sh\narguments = \"-c 'echo hi; echo x > made'\"\n"
        "output = out\nerror = err\nlog = log\nqueue",
    )
    owner = schedd.run("condor_q", "-allusers", "-af", "Owner", "User").stdout.split()
    assert owner[0] == "nobody" and owner[1].startswith("nobody@")
    schedd.work()
    schedd.wait_for(j1_0=4)
    for name in ("out", "err", "log", "made"):
        assert (schedd.home / name).stat().st_uid == NOBODY, name
    assert (schedd.home / "out").read_text() == "hi\n"


#: What another user says of job 1.0 → how he is refused.
DENIED = {
    "condor_rm": "remove",
    "condor_rm -forcex": "force removal of",
    "condor_hold": "hold",
    "condor_release": "release",
    "condor_suspend": "suspend",
    "condor_continue": "continue",
    "condor_vacate_job": "vacate",
    "condor_vacate_job -fast": "fast-vacate",
}
REFUSED = {
    "condor_qedit 1.0 A 1": 'Failed to set attribute "A" for job 1.0.\n'
    "Queue transaction failed.  No attributes were set.\n",
    "condor_prio +1 1.0": "Couldn't set new priority for 1.0.\n",
    "condor_tail 1.0": "nobody is not authorized for access to the files of job 1.0\n",
    "condor_vacate -all": "Can't find address for all startds\n"
    "Perhaps you need to query another pool.\n",
}


def test_a_user_sees_his_own_jobs_and_cannot_touch_others(schedd: LiveSchedd) -> None:
    schedd.submit("executable = /bin/true\nqueue")
    assert schedd.run("condor_q", "-af", "JobStatus", uid=NOBODY).stdout == ""
    assert schedd.run("condor_q", "-allusers", "-af", "JobStatus", uid=NOBODY).stdout == "1\n"
    for line, verb in DENIED.items():
        command, *options = line.split()
        done = schedd.run(command, *options, "1.0", uid=NOBODY)
        assert done.stderr == f"\nPermission denied to {verb} job 1.0\n"
        assert done.returncode == 1
    for line, text in REFUSED.items():
        command, *words = line.split()
        done = schedd.run(command, *words, uid=NOBODY)
        code = 0 if command == "condor_prio" else 1  # as with HTCondor
        assert (done.stdout, done.stderr, done.returncode) == ("", text, code)
    done = schedd.run("condor_rm", "1", uid=NOBODY)
    assert done.stderr == "\nCouldn't find/remove all jobs in cluster 1\n"
    assert done.returncode == 1
    assert schedd.run("condor_rm", "-all", uid=NOBODY).returncode == 1
    assert schedd.run("condor_q", "-allusers", "-af", "JobStatus", uid=NOBODY).stdout == "1\n"
    mine = as_nobody(schedd, "executable = /bin/true\nqueue")
    assert schedd.run("condor_rm", f"{mine}.0", uid=NOBODY).returncode == 0


def test_roots_files_cannot_be_read_through_a_job(schedd: LiveSchedd, top: Path) -> None:
    secret = top / "secret"
    secret.write_text("root's")
    secret.chmod(0o600)
    (schedd.home / "link").symlink_to(secret)
    for path in ("/etc/shadow", str(secret), "link"):
        job = as_nobody(
            schedd, f"executable = /bin/cat\ntransfer_input_files = {path}\noutput = out\nqueue"
        )
        code, subcode, _reason = hold_of(schedd, f"{job}.0")
        assert (code, subcode) == ("13", "13"), path
    for text in (
        f"executable = {secret}\nqueue",
        "executable = /bin/true\nqueue from /etc/shadow",
        f"executable = /bin/true\nuse_x509userproxy = true\nx509userproxy = {secret}\nqueue",
        "include : /etc/shadow\nexecutable = /bin/true\nqueue",
    ):
        done = schedd.run("condor_submit", stdin=text.encode(), uid=NOBODY)
        assert done.returncode == 1 and "ERROR: " in done.stderr, (text, done)
        assert "root:" not in done.stdout + done.stderr
    done = schedd.run("condor_submit", "/etc/shadow", uid=NOBODY)
    assert done.returncode == 1 and "root:" not in done.stdout + done.stderr
    done = schedd.run("condor_history", "-file", "/etc/shadow", uid=NOBODY)
    assert "root:" not in done.stdout + done.stderr


@pytest.mark.parametrize("how", ["path", "symlink", "symlinked directory"])
def test_roots_directories_cannot_be_written_through_a_job(
    schedd: LiveSchedd, top: Path, how: str
) -> None:
    mine = top / "roots"
    mine.mkdir(mode=0o755)
    (mine / "target").write_text("precious")
    name = str(mine / "target")
    if how == "symlink":
        (schedd.home / "link").symlink_to(mine / "target")
        name = "link"
    elif how == "symlinked directory":
        (schedd.home / "there").symlink_to(mine)
        name = "there/new"
    as_nobody(schedd, f"executable = /bin/echo\narguments = gotcha\noutput = {name}\nqueue")
    schedd.work()
    code, subcode, reason = hold_of(schedd)
    assert (code, subcode) == ("12", "13") and "Permission denied" in reason
    assert [p.name for p in mine.iterdir()] == ["target"]
    assert (mine / "target").read_text() == "precious"

    second = as_nobody(schedd, f"executable = /bin/true\nlog = {name}\nqueue")
    assert hold_of(schedd, f"{second}.0")[:2] == ("22", "13")
    assert (mine / "target").read_text() == "precious"


def test_dry_run_cannot_write_roots_files(schedd: LiveSchedd, top: Path) -> None:
    target = top / "target"
    target.write_text("precious")
    text = b"executable = /bin/true\nqueue"
    done = schedd.run("condor_submit", "-dry-run", str(target), stdin=text, uid=NOBODY)
    assert done.returncode == 1
    assert target.read_text() == "precious"


def test_the_spool_is_closed_to_users_and_the_socket_open(schedd: LiveSchedd) -> None:
    assert stat.S_IMODE(schedd.spool.stat().st_mode) == 0o700
    assert stat.S_IMODE(schedd.socket.stat().st_mode) == 0o666


def test_a_socket_of_another_user_is_explained(schedd: LiveSchedd) -> None:
    schedd.socket.chmod(0o600)
    done = schedd.run("condor_q", uid=NOBODY)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        f"the socket {schedd.socket} belongs to another user (uid 0); "
        "ask for access, or name your own schedd's in THYME_SCHEDD_SOCKET"
    )


def test_a_users_own_schedd_takes_his_jobs_alone(top: Path) -> None:
    made = LiveSchedd(top / "site")
    made.directory.chmod(0o711)
    for path in (made.directory, made.broker.parent, made.home, *made.directory.glob("url")):
        os.chown(path, NOBODY, NOBODY)
    try:
        made.start(wrapper=["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"])
        refused = made.run("condor_submit", stdin=b"executable = /bin/true\nqueue")
        assert refused.returncode == 1
        assert refused.stderr == (
            "\nERROR: this schedd runs as nobody and takes jobs of nobody only; "
            "run it as root to serve other users\n"
        )
        assert made.submit("executable = /bin/true\nqueue", uid=NOBODY) == 1
    finally:
        made.close()


def test_an_owners_identity_is_taken_and_given_back(top: Path) -> None:
    secret = top / "secret"
    secret.write_text("root's")
    secret.chmod(0o600)
    with as_owner(NOBODY, NOBODY), pytest.raises(PermissionError):
        secret.read_text()
    assert secret.read_text() == "root's"
    with pytest.raises(ZeroDivisionError), as_owner(NOBODY, NOBODY):
        raise ZeroDivisionError
    assert secret.read_text() == "root's"


# --- a full disk --------------------------------------------------------------------------------


@pytest.fixture
def small_disk(top: Path) -> Iterator[Path]:
    disk = top / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1500k", "tmpfs", disk])
    if mounted.returncode:
        pytest.skip("cannot mount a tmpfs here")
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)


def test_a_full_spool_is_named_and_nothing_is_queued(top: Path, small_disk: Path) -> None:
    made = LiveSchedd(top)
    made.spool = small_disk / "spool"
    job = b"executable = /bin/true\nqueue"
    try:
        made.start()
        assert made.run("condor_submit", stdin=job).returncode == 0
        with (small_disk / "filler").open("wb", buffering=0) as filler:
            try:
                while filler.write(b"x" * 4096):
                    pass
            except OSError:
                pass

        def refused() -> str:
            done = made.run("condor_submit", stdin=job)
            return done.stderr if done.returncode else ""

        text = wait_until(refused, "a submit is refused", state=made.said)
        assert text.startswith("\nERROR: ") and str(made.spool) in text
        assert "full" in text or "disk I/O error" in text
        before = set(made.states())
        assert refused()
        assert set(made.states()) == before

        made.kill()
        again = subprocess.run(
            made.command(), env=made.environment, capture_output=True, text=True, check=False
        )
        assert again.returncode == ExitCode.NODE_UNFIT
        assert again.stderr.startswith(f"thyme-schedd: spool {made.spool}: ")
        assert again.stderr.count("\n") == 1

        (small_disk / "filler").unlink()
        made.start()

        wait_until(
            lambda: made.run("condor_submit", stdin=job).returncode == 0, "room again",
            state=made.said,
        )  # fmt: skip
        assert len(made.states()) > len(before)
        assert "Traceback" not in made.said()
    finally:
        made.close()


def test_a_descriptions_commands_run_as_whoever_submits(schedd: LiveSchedd) -> None:
    text = "executable = /bin/true\narguments = $(who)\nqueue who from id -u |\n"
    as_nobody(schedd, text)
    assert schedd.run("condor_q", "-allusers", "-af", "Args").stdout == f"{NOBODY}\n"


def test_spooled_output_is_fetched_by_its_owner_alone_and_is_his(schedd: LiveSchedd) -> None:
    text = "executable = /bin/echo\narguments = hi\noutput = out\nqueue\n"
    done = schedd.run("condor_submit", "-spool", stdin=text.encode(), uid=NOBODY)
    assert done.returncode == 0, done
    schedd.work()
    schedd.wait_for(j1_0=4)
    other = schedd.run("condor_transfer_data", "1.0", uid=NOBODY + 1)
    # as HTCondor's: it has nothing to fetch
    assert (other.returncode, other.stdout) == (0, "Fetching data files...\n")
    assert not (schedd.home / "out").exists()
    assert schedd.run("condor_transfer_data", "1.0").returncode == 0  # root may
    assert (schedd.home / "out").stat().st_uid == NOBODY


def test_a_schedd_with_no_more_than_its_units_capabilities_serves_users(
    schedd: LiveSchedd,
) -> None:
    """What ``vobox_schedd_hardening`` of the Ansible role leaves it."""
    schedd.end()
    kept = ",".join(f"+{name}" for name in ("setuid", "setgid", "dac_override", "chown", "fowner"))
    schedd.start(
        wrapper=["setpriv", "--no-new-privs", "--inh-caps=-all", f"--bounding-set=-all,{kept}"]
    )
    assert schedd.process is not None
    status = Path(f"/proc/{schedd.process.pid}/status").read_text()
    assert "NoNewPrivs:\t1" in status and "CapBnd:\t00000000000000cb" in status, status
    as_nobody(schedd, "executable = /bin/echo\narguments = hi\noutput = out\nlog = log\nqueue")
    schedd.work()
    schedd.wait_for(j1_0=4)
    assert (schedd.home / "out").read_text() == "hi\n"
    assert (schedd.home / "log").stat().st_uid == NOBODY


def test_root_of_another_container_gets_no_file_of_ours(schedd: LiveSchedd) -> None:
    schedd.end()
    schedd.options.append("--no-root")
    schedd.start()
    text = b"executable = /bin/cat\ntransfer_input_files = /etc/shadow\nqueue"
    for command, argv in (
        ("condor_submit", []), ("condor_transfer_data", ["-all"]),
        ("condor_history", ["-file", "/etc/shadow"]), ("condor_history", ["-f", "/etc/shadow"]),
        ("condor_history", ["-userlog", "/etc/shadow"]), ("condor_q", ["-userlog", "/etc/shadow"]),
        ("condor_q", ["-jobads", "/etc/shadow", "-long"]), ("condor_q", ["-j", "/etc/shadow"]),
    ):  # fmt: skip
        done = schedd.run(command, *argv, stdin=text)
        assert (done.returncode, done.stdout) == (1, "")
        assert "(--no-root) reads and writes no files for root; use another user" in done.stderr
    as_nobody(schedd, "executable = /bin/true\nqueue")
    assert schedd.run("condor_rm", "nobody").returncode == 0
    for option in ("-af", "-format"):
        values = ["ClusterId"] if option == "-af" else ["%d\\n", "ClusterId"]
        assert schedd.run("condor_history", "-forwards", option, *values).stdout == "1\n"


@pytest.fixture
def reserving_disk(top: Path) -> Iterator[Path]:
    """Mount a file system of 16 MiB, most of which is reserved for root."""
    image, place = top / "image", top / "disk"
    with image.open("wb") as file:
        file.truncate(16 * 1024 * 1024)
    place.mkdir()
    for command in (
        ["mkfs.ext4", "-q", "-m", "50", image],
        ["mount", "-o", "loop", image, place],
    ):
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"no file system in a file here: {done.stderr}")
    place.chmod(0o777)
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def test_no_output_is_written_into_the_blocks_that_are_reserved_for_root(
    schedd: LiveSchedd, reserving_disk: Path
) -> None:
    usage = os.statvfs(reserving_disk)
    free, reserved = (
        usage.f_bavail * usage.f_frsize,
        (usage.f_bfree - usage.f_bavail) * usage.f_frsize,
    )
    size = free + reserved // 2
    as_nobody(
        schedd,
        f"executable = /bin/sh\narguments = \"-c 'head -c {size} /dev/zero > made'\"\n"
        f"initialdir = {reserving_disk}\nqueue",
    )
    schedd.work()
    code, subcode, reason = hold_of(schedd)
    assert (code, subcode) == ("12", "28"), reason
    assert "No space left on device" in reason
