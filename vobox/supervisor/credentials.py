"""Checks of X.509 files: existence, owner, mode, validity, matching certificate and key.

The contents are read by the program ``openssl``. A file that it cannot read is a problem.
"""

import calendar
import contextlib
import os
import re
import stat
import subprocess
import time
from typing import Callable, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from .settings import Settings, User

_CERTIFICATE = re.compile(b"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)
#: Seconds that openssl may take; it only reads a file.
_OPENSSL = 20.0


class UnusableCredential(Exception):
    """A credential is not usable; the text says why in one line."""


class Lifetime(NamedTuple):
    """When a file is valid, in seconds since the epoch: in all of its certificates."""

    begin: float
    end: float


class Credential(NamedTuple):
    """One credential as it is now; ``problem`` is empty if it is good."""

    variable: str
    path: str
    problem: str
    life: Optional[Lifetime] = None


def run_openssl(arguments: Sequence[str], stdin: bytes = b"") -> bytes:
    """Run openssl and return its standard output. Raises UnusableCredential."""
    command = ["openssl", *arguments]
    try:
        done = subprocess.run(
            command, input=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}, timeout=_OPENSSL,
        )  # fmt: skip
    except FileNotFoundError:
        raise UnusableCredential("openssl is not there to look at it: install it") from None
    except subprocess.TimeoutExpired:
        raise UnusableCredential("openssl did not answer within %.0f s" % _OPENSSL) from None
    except OSError as error:  # no process or no memory is left
        raise UnusableCredential(
            "openssl cannot be started to look at it: %s" % error.strerror
        ) from None
    if done.returncode:
        raise UnusableCredential("openssl cannot read it")
    return done.stdout


def read_lifetime(pem: bytes) -> Lifetime:
    """Return when all certificates in a file are valid. Raises UnusableCredential."""
    found = _CERTIFICATE.findall(pem)
    if not found:
        raise UnusableCredential("there is no certificate in it")
    begins, ends = [], []
    for certificate in found:
        text = run_openssl(["x509", "-noout", "-startdate", "-enddate"], certificate).decode(
            "ascii"
        )
        said = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
        try:
            begins.append(_seconds(said["notBefore"]))
            ends.append(_seconds(said["notAfter"]))
        except (KeyError, ValueError):
            raise UnusableCredential("openssl does not say until when it is valid") from None
    return Lifetime(max(begins), min(ends))


def _seconds(text: str) -> float:
    return float(calendar.timegm(time.strptime(text.strip(), "%b %d %H:%M:%S %Y GMT")))


def keys_match(certificate: bytes, key: bytes) -> bool:
    """Tell whether the first certificate belongs to the private key. Raises UnusableCredential."""
    if b"ENCRYPTED" in key:
        raise UnusableCredential("the key is encrypted, and nobody is here to give the pass phrase")
    if b"PRIVATE KEY" not in key:
        raise UnusableCredential("there is no private key in it")
    public = run_openssl(["x509", "-noout", "-pubkey"], certificate)
    return public == run_openssl(["pkey", "-pubout", "-passin", "pass:"], key)


def check_credentials(settings: Settings, now: float) -> Tuple[Credential, ...]:
    """Check every credential that the settings name; ``now``: seconds since the epoch."""
    found: List[Credential] = []
    user, owners = settings.user, {settings.user.uid, 0}
    if settings.proxy:
        found.append(
            _check_pair(settings, ("X509_USER_PROXY", settings.proxy), None, {user.uid}, now)
        )
    if settings.cert:
        key = ("X509_USER_KEY", settings.key)
        found.append(_check_pair(settings, ("X509_USER_CERT", settings.cert), key, {user.uid}, now))
    if settings.host_cert:
        key = ("X509_HOST_KEY", settings.host_key)
        found.append(
            _check_pair(settings, ("X509_HOST_CERT", settings.host_cert), key, owners, now)
        )
    return tuple(found)


def _check_pair(
    settings: Settings,
    cert: Tuple[str, str],
    key: Optional[Tuple[str, str]],
    owners: "set[int]",
    now: float,
) -> Credential:
    """Check a certificate and its key; ``key`` None: both are in one file.

    ``owners``: user ids that the secret may belong to; ``now``: seconds since the epoch.
    """
    life = None
    variable, path = cert
    try:
        if key is None:
            pem = secret = _read(path, owners, settings.user)
        else:
            pem = _read(path, None, settings.user)
            variable, path = key
            secret = _read(path, owners, settings.user)
            variable, path = cert
        life = read_lifetime(pem)
        if not keys_match(pem, secret):
            raise UnusableCredential(
                "it does not belong to %s" % (key[1] if key else "the key in it")
            )
        if now < life.begin:
            raise UnusableCredential(
                "it is not valid before %s; is the clock right?" % format_utc(life.begin)
            )
        if now >= life.end:
            raise UnusableCredential("it expired on %s" % format_utc(life.end))
        if life.end - now < settings.valid_for:
            raise UnusableCredential(
                "it is valid for %.1f h only, until %s; CREDENTIALS_HOURS asks for %.1f"
                % ((life.end - now) / 3600, format_utc(life.end), settings.valid_for / 3600)
            )
    except UnusableCredential as error:
        return Credential(cert[0], cert[1], "%s=%s: %s" % (variable, path, error), life)
    return Credential(cert[0], cert[1], "", life)


def _read(path: str, owners: "Optional[set[int]]", user: User) -> bytes:
    """Read a file; ``owners``: it must be secret and belong to one of these user ids."""
    try:
        with acting_as(user):
            status, content = read_file(path)
    except UnusableCredential:
        status, content = read_file(path)  # a host's key may be root's alone
    if owners is None and not _readable_by(user, status):
        raise UnusableCredential("%s (uid %d) cannot read it: chmod 644" % (user.name, user.uid))
    if owners is not None:
        if status.st_uid not in owners:
            raise UnusableCredential(
                "it belongs to uid %d; it has to belong to %s (uid %d)"
                % (status.st_uid, user.name, user.uid)
            )
        if stat.S_IMODE(status.st_mode) & 0o077:
            raise UnusableCredential(
                "its mode is %04o; others must not read it: chmod 600"
                % stat.S_IMODE(status.st_mode)
            )
    return content


@contextlib.contextmanager
def acting_as(user: User) -> Iterator[None]:
    """Use files with the rights of the CE's user for a ``with`` block, if we are root.

    What lies in directories of that user may be links to what is not his; and root has no rights
    on a file server that does not trust it (``root_squash``). For a process of one thread.
    """
    if os.geteuid() != 0 or user.uid == 0:
        yield
        return
    groups, gid = os.getgroups(), os.getegid()
    os.setgroups(user.groups)
    os.setegid(user.gid)
    os.seteuid(user.uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(gid)
        os.setgroups(groups)


def read_file(path: str, flags: int = 0) -> Tuple[os.stat_result, bytes]:
    """Read a regular file's status and content, no pipe. Raises UnusableCredential."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | flags)
        with os.fdopen(handle, "rb") as file:
            status = os.fstat(handle)
            if not stat.S_ISREG(status.st_mode):
                raise UnusableCredential("it is not a file")
            return status, file.read(1 << 20)
    except OSError as error:
        raise UnusableCredential("%s" % (error.strerror or error)) from None


def _readable_by(user: User, status: os.stat_result) -> bool:
    if user.uid == 0:
        return True
    if status.st_uid == user.uid:
        return bool(status.st_mode & stat.S_IRUSR)
    return bool(status.st_mode & (stat.S_IRGRP if status.st_gid in user.groups else stat.S_IROTH))


def format_utc(moment: float) -> str:
    """Return the time (seconds since the epoch) as ``2026-11-22 13:25 UTC``."""
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(moment))


CredentialCheck = Callable[[Settings, float], Tuple[Credential, ...]]
