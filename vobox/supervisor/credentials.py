"""What the X.509 files are good for, as ``openssl`` says: existence, mode, owner, time, match.

Unknown is never good: a file that openssl cannot read is a problem with its own line.
"""

import calendar
import os
import re
import stat
import subprocess
import time
from typing import Callable, List, NamedTuple, Optional, Sequence, Tuple

from .settings import Settings, User

_CERTIFICATE = re.compile(b"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)
#: Seconds; it only reads a file.
_OPENSSL = 20.0


class Unreadable(Exception):
    """Why openssl cannot make anything of it; one line."""


class Life(NamedTuple):
    """Seconds since the epoch: the latest begin and the earliest end of a file's certificates."""

    begin: float
    end: float


class Credential(NamedTuple):
    """One of the box's credentials as it is now; ``problem`` empty when it is good."""

    variable: str
    path: str
    problem: str
    life: Optional[Life] = None


def openssl(arguments: Sequence[str], stdin: bytes = b"") -> bytes:
    """Its standard output; raises Unreadable."""
    command = ["openssl", *arguments]
    try:
        done = subprocess.run(
            command, input=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}, timeout=_OPENSSL,
        )  # fmt: skip
    except FileNotFoundError:
        raise Unreadable("openssl is not there to look at it: install it") from None
    except subprocess.TimeoutExpired:
        raise Unreadable("openssl did not answer within %.0f s" % _OPENSSL) from None
    if done.returncode:
        raise Unreadable("openssl cannot read it")
    return done.stdout


def life_of(pem: bytes) -> Life:
    """Of all certificates in a file: a proxy ends with the first of its chain."""
    found = _CERTIFICATE.findall(pem)
    if not found:
        raise Unreadable("there is no certificate in it")
    begins, ends = [], []
    for certificate in found:
        text = openssl(["x509", "-noout", "-startdate", "-enddate"], certificate).decode("ascii")
        said = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
        try:
            begins.append(_seconds(said["notBefore"]))
            ends.append(_seconds(said["notAfter"]))
        except (KeyError, ValueError):
            raise Unreadable("openssl does not say until when it is valid") from None
    return Life(max(begins), min(ends))


def _seconds(text: str) -> float:
    return float(calendar.timegm(time.strptime(text.strip(), "%b %d %H:%M:%S %Y GMT")))


def same_key(certificate: bytes, key: bytes) -> bool:
    """Whether the (first) certificate belongs to the private key; raises Unreadable."""
    if b"ENCRYPTED" in key:
        raise Unreadable("the key is encrypted, and nobody is here to give the pass phrase")
    if b"PRIVATE KEY" not in key:
        raise Unreadable("there is no private key in it")
    public = openssl(["x509", "-noout", "-pubkey"], certificate)
    return public == openssl(["pkey", "-pubout", "-passin", "pass:"], key)


def look(settings: Settings, now: float) -> Tuple[Credential, ...]:
    """Every credential that the settings name; ``now``: seconds since the epoch."""
    found: List[Credential] = []
    user, owners = settings.user, {settings.user.uid, 0}
    if settings.proxy:
        found.append(_pair(settings, ("X509_USER_PROXY", settings.proxy), None, {user.uid}, now))
    if settings.cert:
        key = ("X509_USER_KEY", settings.key)
        found.append(_pair(settings, ("X509_USER_CERT", settings.cert), key, {user.uid}, now))
    if settings.host_cert:
        key = ("X509_HOST_KEY", settings.host_key)
        found.append(_pair(settings, ("X509_HOST_CERT", settings.host_cert), key, owners, now))
    return tuple(found)


def _pair(
    settings: Settings,
    cert: Tuple[str, str],
    key: Optional[Tuple[str, str]],
    owners: "set[int]",
    now: float,
) -> Credential:
    """A certificate and its key; ``key`` None: both in one file."""
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
        life = life_of(pem)
        if not same_key(pem, secret):
            raise Unreadable("it does not belong to %s" % (key[1] if key else "the key in it"))
        if now < life.begin:
            raise Unreadable("it is not valid before %s; is the clock right?" % utc(life.begin))
        if now >= life.end:
            raise Unreadable("it expired on %s" % utc(life.end))
        if life.end - now < settings.valid_for:
            raise Unreadable(
                "it is valid for %.1f h only, until %s; CREDENTIALS_HOURS asks for %.1f"
                % ((life.end - now) / 3600, utc(life.end), settings.valid_for / 3600)
            )
    except Unreadable as error:
        return Credential(cert[0], cert[1], "%s=%s: %s" % (variable, path, error), life)
    return Credential(cert[0], cert[1], "", life)


def _read(path: str, owners: "Optional[set[int]]", user: User) -> bytes:
    """A file's content; ``owners``: it is secret, and belongs to one of these."""
    status, content = read_file(path)
    if owners is None and not _readable_by(user, status):
        raise Unreadable("%s (uid %d) cannot read it: chmod 644" % (user.name, user.uid))
    if owners is not None:
        if status.st_uid not in owners:
            raise Unreadable(
                "it belongs to uid %d; it has to belong to %s (uid %d)"
                % (status.st_uid, user.name, user.uid)
            )
        if stat.S_IMODE(status.st_mode) & 0o077:
            raise Unreadable(
                "its mode is %04o; others must not read it: chmod 600"
                % stat.S_IMODE(status.st_mode)
            )
    return content


def read_file(path: str, flags: int = 0) -> Tuple[os.stat_result, bytes]:
    """A regular file's status and content; a user's pipe must not stop us. Raises Unreadable."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | flags)
        with os.fdopen(handle, "rb") as file:
            status = os.fstat(handle)
            if not stat.S_ISREG(status.st_mode):
                raise Unreadable("it is not a file")
            return status, file.read(1 << 20)
    except OSError as error:
        raise Unreadable("%s" % (error.strerror or error)) from None


def _readable_by(user: User, status: os.stat_result) -> bool:
    if user.uid == 0:
        return True
    if status.st_uid == user.uid:
        return bool(status.st_mode & stat.S_IRUSR)
    return bool(status.st_mode & (stat.S_IRGRP if status.st_gid in user.groups else stat.S_IROTH))


def utc(moment: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(moment))


Look = Callable[[Settings, float], Tuple[Credential, ...]]
