"""As root: a user's file access is the user's, whatever he makes of links, pipes and /proc."""

import errno
import fcntl
import os
import pwd
import signal
import threading
import time
from pathlib import Path

import pytest

from thyme.protocol.events import Finished, Usage
from thyme.protocol.job import JobId, SandboxFile
from vobox.classad.ad import Ad, quote
from vobox.files.as_user import OwnerFileReader, as_owner
from vobox.files.output import write_log, write_output
from vobox.files.safe_open import open_file
from vobox.files.user_log_index import UserLogIndex
from vobox.jobs.job import Job

pytestmark = pytest.mark.root
NOBODY = pwd.getpwnam("nobody").pw_uid
#: A number that no user of this host has.
NO_NAME = 54_321


@pytest.fixture
def home(top: Path) -> Path:
    path = top / "home"
    path.mkdir()
    os.chown(path, NOBODY, NOBODY)
    return path


@pytest.fixture
def private(top: Path) -> Path:
    """Make a file that everybody may read and write, in a directory that only root may enter."""
    directory = top / "private"
    directory.mkdir(mode=0o700)
    path = directory / "lax"
    path.write_text("precious")
    path.chmod(0o666)
    return path


def job(home: Path, uid: int = NOBODY, **attributes: str) -> Job:
    ad = Ad({"Iwd": quote(str(home)), **{name: quote(text) for name, text in attributes.items()}})
    return Job(JobId(1, 0), uid, uid, "pool", ad, 2)


def result(*files: SandboxFile, stdout: bytes = b"") -> Finished:
    return Finished(
        "s", JobId(1, 0), 0.0, 0, "w", "h", 0, None, Usage(), stdout, b"", files, None, life="a1"
    )


def test_a_link_to_what_another_thread_has_open_leads_nowhere(home: Path, private: Path) -> None:
    with private.open() as opened:
        way = f"/proc/self/fd/{opened.fileno()}"
        with as_owner(NOBODY, NOBODY):
            with pytest.raises(PermissionError):
                private.read_text()
            assert Path(way).read_text() == "precious"  # the gap that open_file closes
        (home / "link").symlink_to(way)
        for name in (way, str(home / "link")):
            with pytest.raises(PermissionError):
                OwnerFileReader(NOBODY, NOBODY).read(name)
            hold = write_output(job(home, Out=name), result(stdout=b"gotcha"))
            assert hold is not None and (hold.code, hold.subcode) == (12, 13)
            hold = write_log(
                job(home, UserLog=name), "000 ...\n", once=False, user_logs=UserLogIndex()
            )
            assert hold is not None and (hold.code, hold.subcode) == (22, 13)
    assert private.read_text() == "precious"


def test_what_the_kernel_tells_the_schedd_of_itself_is_not_read(home: Path) -> None:
    for name in ("maps", "environ", "cmdline", "fd/0", "cwd/../maps", "task/1/comm"):
        with pytest.raises(OSError):
            OwnerFileReader(NOBODY, NOBODY).read(f"/proc/self/{name}")


@pytest.mark.parametrize("is_directory", [False, True])
@pytest.mark.parametrize("kind", ["log", "output", "input"])
def test_a_link_that_is_swapped_all_the_time_never_leads_to_roots_file(
    top: Path, home: Path, kind: str, is_directory: bool
) -> None:
    """It is the file itself, or the directory of the file."""
    roots, own, link, stop = top / "roots", home / "own", home / "link", threading.Event()
    link.symlink_to(roots)
    if is_directory:
        roots.mkdir(mode=0o700)
        own.mkdir()
        os.chown(own, NOBODY, NOBODY)
    inner = "file" if is_directory else ""
    secret, name = roots / inner, link / inner
    secret.write_text("precious")
    secret.chmod(0o666 if is_directory else 0o600)
    (own / inner).write_text("")
    os.chown(own / inner, NOBODY, NOBODY)

    def swap() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            new = home / f"new{number}"
            new.symlink_to(own if number % 2 else roots)
            new.rename(link)

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        outcomes = set()
        deadline = time.monotonic() + 60
        tries = 0
        # the other thread may get no CPU for a while
        while tries < 400 or (13 not in outcomes and time.monotonic() < deadline):
            tries += 1
            if kind == "log":
                hold = write_log(
                    job(home, UserLog=str(name)), "x\n", once=False, user_logs=UserLogIndex()
                )
                outcomes.add(None if hold is None else hold.subcode)
            elif kind == "output":
                hold = write_output(job(home, Out=str(name)), result(stdout=b"x"))
                outcomes.add(None if hold is None else hold.subcode)
            else:
                try:
                    outcomes.add(OwnerFileReader(NOBODY, NOBODY).read(str(name)) == b"precious")
                except OSError as error:
                    outcomes.add(error.errno)
    finally:
        stop.set()
        thread.join()
    assert secret.read_text() == "precious"
    assert True not in outcomes
    assert 13 in outcomes, "the link never led to root's file: the test tested nothing"


def test_a_user_without_a_name_gets_his_files(top: Path) -> None:
    home = top / "unnamed"
    home.mkdir(mode=0o700)
    os.chown(home, NO_NAME, NO_NAME)
    made = SandboxFile("d/made", b"x", 0o755)
    given = job(home, NO_NAME, Out="out", UserLog=str(home / "log"), TransferOutput="d")

    assert write_output(given, result(made, stdout=b"hi")) is None
    assert write_log(given, "000 ...\n", once=False, user_logs=UserLogIndex()) is None

    for name in ("out", "log", "d", "d/made"):
        status = (home / name).stat()
        assert (status.st_uid, status.st_gid) == (NO_NAME, NO_NAME), name


def test_a_file_of_the_users_group_is_written_as_a_member_of_it(top: Path) -> None:
    shared = top / "shared"
    shared.write_text("")
    group = os.getgrouplist("nobody", NOBODY)[0]
    os.chown(shared, 0, group)
    shared.chmod(0o664)

    assert write_output(job(top, Out=str(shared)), result(stdout=b"x")) is None
    assert shared.read_text() == "x"


@pytest.mark.parametrize("kind", ["fifo", "directory", "dangling", "loop"])
def test_whatever_a_name_leads_to_nothing_waits(home: Path, kind: str) -> None:
    path = home / "odd"
    if kind == "fifo":
        os.mkfifo(path, 0o666)
        path.chmod(0o666)
    elif kind == "directory":
        path.mkdir()
    elif kind == "dangling":
        path.symlink_to("/root/nowhere/x")
    else:
        path.symlink_to(path)

    hold = write_output(job(home, Out="odd"), result(stdout=b"x"))
    assert hold is not None and hold.code == 12 and hold.subcode
    with pytest.raises(OSError):
        OwnerFileReader(NOBODY, NOBODY).read(str(path))


def test_a_file_that_another_identity_opens_keeps_its_content(home: Path, private: Path) -> None:
    with private.open() as opened, as_owner(NOBODY, NOBODY):
        for flags in (os.O_WRONLY | os.O_TRUNC, os.O_WRONLY | os.O_APPEND):
            with pytest.raises(PermissionError):
                open_file(f"/proc/self/fd/{opened.fileno()}", flags)
    assert private.read_text() == "precious"


def test_a_log_that_its_owner_made_read_only_is_left_out(home: Path) -> None:
    log = home / "log"
    log.write_bytes(b"mine")
    os.chown(log, NOBODY, NOBODY)
    log.chmod(0o444)
    given = job(home, UserLog=str(log))
    assert write_log(given, "x", once=False, user_logs=UserLogIndex()) is None
    assert log.read_bytes() == b"mine"
    os.chown(log, 0, 0)
    log.chmod(0o644)  # another user's is no such wish
    hold = write_log(given, "x", once=False, user_logs=UserLogIndex())
    assert hold is not None and (hold.code, hold.subcode) == (22, 13)


def test_a_hard_link_to_anothers_file_is_no_way_to_it(top: Path, home: Path) -> None:
    """Linux lets users make them where fs.protected_hardlinks is 0."""
    roots = top / "roots"
    roots.write_text("precious")
    roots.chmod(0o600)
    (home / "link").hardlink_to(roots)
    with pytest.raises(PermissionError):
        OwnerFileReader(NOBODY, NOBODY).read(str(home / "link"))
    given = job(home, Out="link", UserLog=str(home / "link"))
    hold = write_log(given, "000 ...\n", once=False, user_logs=UserLogIndex())
    assert hold is not None and (hold.code, hold.subcode) == (22, 13)
    assert write_output(given, result(stdout=b"x")) is None, "the link is his, and is replaced"
    assert ((home / "link").read_text(), (home / "link").stat().st_uid) == ("x", NOBODY)
    assert (roots.read_text(), roots.stat().st_uid) == ("precious", 0)


def test_a_lease_on_a_file_keeps_nobody_waiting(home: Path) -> None:
    """Whoever opens such a file waits for its holder, 45 s by default."""
    log = home / "log"
    log.write_text("")
    os.chown(log, NOBODY, NOBODY)
    # which tells the holder that one has come
    before = signal.signal(signal.SIGIO, signal.SIG_IGN)
    try:
        with log.open("rb") as held:
            fcntl.fcntl(held, fcntl.F_SETLEASE, fcntl.F_RDLCK)
            began = time.monotonic()
            given = job(home, UserLog=str(log))
            hold = write_log(given, "000 ...\n", once=False, user_logs=UserLogIndex())
            assert hold is not None and (hold.code, hold.subcode) == (22, errno.EAGAIN)
            assert time.monotonic() - began < 30
    finally:
        signal.signal(signal.SIGIO, before)
