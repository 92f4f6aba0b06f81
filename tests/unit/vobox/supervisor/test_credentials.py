"""Checks of X.509 files, and when a new proxy replaces the old one."""

import errno
import os
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from tests.support import x509
from tests.support.fake_supervisor_system import make_settings
from vobox.supervisor import renewal
from vobox.supervisor.credentials import check_credentials
from vobox.supervisor.settings import Settings

HERE = {"CE": "none"}


def problem(directory: Path, **environment: str) -> str:
    """Return the only problem; the files belong to the user who runs the tests."""
    mine = make_settings(directory, **HERE, **environment)
    mine = mine._replace(user=mine.user._replace(uid=os.getuid(), gid=os.getgid(), name="me"))
    found = [one.problem for one in check_credentials(mine, time.time()) if one.problem]
    assert len(found) <= 1
    return found[0] if found else ""


def pair(tmp_path: Path, hours: float = 24.0) -> dict[str, str]:
    key = x509.new_key()
    cert = x509.write_file(tmp_path / "cert.pem", x509.certificate(key, hours), 0o644)
    secret = x509.write_file(tmp_path / "key.pem", x509.private(key), 0o400)
    return {"X509_USER_CERT": str(cert), "X509_USER_KEY": str(secret)}


def test_a_proxy_is_valid_until_the_first_of_its_certificates_ends(tmp_path: Path) -> None:
    path = x509.proxy(tmp_path / "proxy", hours=24, chain=5)
    mine = make_settings(tmp_path, **HERE, X509_USER_PROXY=str(path))
    mine = mine._replace(user=mine.user._replace(uid=os.getuid()))
    [one] = check_credentials(mine, time.time())
    assert one.problem == ""
    assert one.life is not None
    assert abs(one.life.end - time.time() - 5 * 3600) < 120


def test_a_good_certificate_with_its_key_is_good(tmp_path: Path) -> None:
    assert problem(tmp_path, **pair(tmp_path)) == ""


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    path = tmp_path / "proxy"
    said = problem(tmp_path, X509_USER_PROXY=str(path))
    assert said == f"X509_USER_PROXY={path}: No such file or directory"


def test_a_secret_that_others_may_read_is_refused(tmp_path: Path) -> None:
    path = x509.proxy(tmp_path / "proxy")
    path.chmod(0o644)
    said = problem(tmp_path, X509_USER_PROXY=str(path))
    assert said == (f"X509_USER_PROXY={path}: its mode is 0644; others must not read it: chmod 600")


@pytest.mark.root
@pytest.mark.skipif(os.getuid() != 0, reason="makes another user's file")
def test_a_proxy_of_another_user_is_refused(tmp_path: Path) -> None:
    path = x509.proxy(tmp_path / "proxy")
    os.chown(path, 12345, 12345)
    said = problem(tmp_path, X509_USER_PROXY=str(path))
    assert said == (
        f"X509_USER_PROXY={path}: it belongs to uid 12345; it has to belong to me (uid 0)"
    )


def test_an_expired_credential_is_refused_with_its_end(tmp_path: Path) -> None:
    path = x509.proxy(tmp_path / "proxy", hours=-1, age=2)
    said = problem(tmp_path, X509_USER_PROXY=str(path))
    assert said.startswith(f"X509_USER_PROXY={path}: it expired on 20")
    assert said.endswith(" UTC")


def test_a_credential_that_is_not_valid_yet_hints_at_the_clock(tmp_path: Path) -> None:
    path = x509.proxy(tmp_path / "proxy", age=-1)
    said = problem(tmp_path, X509_USER_PROXY=str(path))
    assert "it is not valid before 20" in said
    assert said.endswith("; is the clock right?")


def test_a_credential_that_ends_too_soon_is_refused_with_its_end(tmp_path: Path) -> None:
    path = x509.proxy(tmp_path / "proxy", hours=1.05)
    said = problem(tmp_path, X509_USER_PROXY=str(path))
    assert "it is valid for 1.0 h only, until " in said
    assert said.endswith("CREDENTIALS_HOURS asks for 2.0")


def test_a_certificate_with_another_key_is_refused(tmp_path: Path) -> None:
    given = pair(tmp_path)
    x509.write_file(Path(given["X509_USER_KEY"]), x509.private(x509.new_key()))
    said = problem(tmp_path, **given)
    assert said == (
        f"X509_USER_CERT={given['X509_USER_CERT']}: it does not belong to {given['X509_USER_KEY']}"
    )


def test_an_encrypted_key_is_refused(tmp_path: Path) -> None:
    given = pair(tmp_path)
    x509.write_file(Path(given["X509_USER_KEY"]), x509.private(x509.new_key(), b"secret"))
    assert "the key is encrypted, and nobody is here to give the pass phrase" in problem(
        tmp_path, **given
    )


def test_a_file_without_a_certificate_is_refused(tmp_path: Path) -> None:
    path = x509.write_file(tmp_path / "proxy", b"rubbish\n")
    said = problem(tmp_path, X509_USER_PROXY=str(path))
    assert said == f"X509_USER_PROXY={path}: there is no certificate in it"
    begin = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    x509.write_file(path, begin)
    said = problem(tmp_path, X509_USER_PROXY=str(path))
    assert said == f"X509_USER_PROXY={path}: openssl cannot read it"


def test_a_pipe_in_its_place_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "proxy"
    os.mkfifo(path)
    said = problem(tmp_path, X509_USER_PROXY=str(path))
    assert said == f"X509_USER_PROXY={path}: it is not a file"


def test_without_openssl_every_credential_is_refused(tmp_path: Path, monkeypatch) -> None:
    path = x509.proxy(tmp_path / "proxy")
    monkeypatch.setenv("PATH", str(tmp_path))
    said = problem(tmp_path, X509_USER_PROXY=str(path))
    assert said == f"X509_USER_PROXY={path}: openssl is not there to look at it: install it"


def test_a_machine_without_room_for_a_process_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a container whose limit of processes the CE has reached."""
    path = x509.proxy(tmp_path / "proxy")

    def fail(*_words: object, **_options: object) -> None:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(subprocess, "run", fail)
    assert problem(tmp_path, X509_USER_PROXY=str(path)) == (
        f"X509_USER_PROXY={path}: openssl cannot be started to look at it: "
        "Resource temporarily unavailable"
    )


# --- a new proxy ----------------------------------------------------------------------------


@pytest.fixture
def old(tmp_path: Path) -> Path:
    return x509.proxy(tmp_path / "proxy", hours=5)


def replace_proxy(tmp_path: Path, old: Path, content: bytes | None) -> str:
    place = tmp_path / "renewal"
    place.mkdir()
    if content is not None:
        x509.write_file(place / "proxy", content)
    return renewal.replace_proxy(my_settings(tmp_path, old), str(place), time.time())


def my_settings(tmp_path: Path, proxy: Path) -> Settings:
    """Return settings of a CE that runs as the user who runs the tests."""
    mine = make_settings(tmp_path, **HERE, X509_USER_PROXY=str(proxy))
    return mine._replace(user=mine.user._replace(uid=os.getuid(), gid=os.getgid()))


def test_a_better_proxy_takes_the_place_of_the_old(tmp_path: Path, old: Path) -> None:
    key = x509.new_key()
    pem = x509.certificate(key, 48) + x509.private(key)
    assert replace_proxy(tmp_path, old, pem) == ""
    assert old.read_bytes() == pem
    assert old.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("hours", "said"),
    [(1, "the command's proxy ends on "), (4, "the command's proxy ends on ")],
)
def test_a_proxy_that_is_no_better_leaves_the_old_one(
    tmp_path: Path, old: Path, hours: float, said: str
) -> None:
    before = old.read_bytes()
    key = x509.new_key()
    got = replace_proxy(tmp_path, old, x509.certificate(key, hours) + x509.private(key))
    assert got.startswith(said)
    assert got.endswith("too soon" if hours < 2 else "no later than the present one")
    assert old.read_bytes() == before


def test_an_unreadable_proxy_leaves_the_old_one(tmp_path: Path, old: Path) -> None:
    before = old.read_bytes()
    got = replace_proxy(tmp_path, old, b"voms-proxy-init: internal error\n")
    assert got == "the command's proxy is no good: there is no certificate in it"
    assert old.read_bytes() == before


def test_a_key_of_another_certificate_leaves_the_old_one(tmp_path: Path, old: Path) -> None:
    before = old.read_bytes()
    pem = x509.certificate(x509.new_key(), 48) + x509.private(x509.new_key())
    got = replace_proxy(tmp_path, old, pem)
    assert got == "the command's proxy is no good: its key is not that of its certificate"
    assert old.read_bytes() == before


def test_a_directory_that_is_not_writable_leaves_the_old_one(tmp_path: Path, old: Path) -> None:
    beside = tmp_path / "proxy.new"
    beside.mkdir()  # nothing can be written there, by root neither
    before = old.read_bytes()
    key = x509.new_key()
    got = replace_proxy(tmp_path, old, x509.certificate(key, 48) + x509.private(key))
    assert got == f"the new proxy cannot be put at {old}: File exists"
    assert old.read_bytes() == before


def test_a_link_or_a_pipe_is_not_taken_for_a_new_proxy(tmp_path: Path, old: Path) -> None:
    before = old.read_bytes()
    place = tmp_path / "renewal"
    place.mkdir()
    mine = my_settings(tmp_path, old)
    (place / "proxy").symlink_to(x509.proxy(tmp_path / "another", hours=48))
    assert "wrote no proxy to $PROXY_OUT (" in renewal.replace_proxy(mine, str(place), time.time())
    (place / "proxy").unlink()
    os.mkfifo(place / "proxy")
    assert renewal.replace_proxy(mine, str(place), time.time()) == (
        "the command wrote no proxy to $PROXY_OUT (it is not a file)"
    )
    assert old.read_bytes() == before


@pytest.mark.root
@pytest.mark.skipif(os.getuid() != 0, reason="acts as another user")
def test_root_writes_the_proxy_with_the_rights_of_the_ces_user() -> None:
    with tempfile.TemporaryDirectory() as name:  # pytest's own are closed to others
        shared = Path(name)
        shared.chmod(0o755)
        of_root, of_user = shared / "root", shared / "user"
        of_root.mkdir(0o755)
        of_user.symlink_to(of_root)
        mine = my_settings(shared, of_user / "proxy")
        mine = mine._replace(user=mine.user._replace(name="other", uid=12345, gid=12345, groups=()))
        place = shared / "renewal"
        place.mkdir()
        key = x509.new_key()
        x509.write_file(place / "proxy", x509.certificate(key, 48) + x509.private(key))
        said = renewal.replace_proxy(mine, str(place), time.time())
        assert said == f"the new proxy cannot be put at {of_user}/proxy: Permission denied"
        assert list(of_root.iterdir()) == []
        os.chown(of_root, 12345, 12345)
        assert renewal.replace_proxy(mine, str(place), time.time()) == ""
        status = (of_root / "proxy").stat()
        assert (status.st_uid, status.st_gid, status.st_mode & 0o777) == (12345, 12345, 0o600)
        assert (os.geteuid(), os.getegid()) == (0, 0)
