"""A new proxy is made beside the old one, and takes its place only when it is better."""

import os
import shutil
from typing import Dict, Tuple

from .credentials import Unreadable, life_of, read_file, same_key, utc
from .settings import Settings

#: Shell lines that write ``$PROXY_OUT``; the words are those of each program's manual. The old
#: proxy is $X509_USER_PROXY: myproxy-logon shows it as the right to fetch the next one, which is
#: how the proxy renewal of a WLCG VO box works.
PRESETS = {
    "voms": 'exec voms-proxy-init -rfc -voms "$PROXY_VOMS" -valid "$PROXY_HOURS:00" '
    '-cert "$X509_USER_CERT" -key "$X509_USER_KEY" -out "$PROXY_OUT"',
    "grid": 'exec grid-proxy-init -rfc -valid "$PROXY_HOURS:00" '
    '-cert "$X509_USER_CERT" -key "$X509_USER_KEY" -out "$PROXY_OUT"',
    "xrdgsiproxy": 'exec xrdgsiproxy init -valid "$PROXY_HOURS:00" '
    '-cert "$X509_USER_CERT" -key "$X509_USER_KEY" -f "$PROXY_OUT"',
    "myproxy": 'exec myproxy-logon -n -d -s "$MYPROXY_SERVER" -t "$PROXY_HOURS" '
    '-a "$X509_USER_PROXY" -o "$PROXY_OUT"',
}


def line(settings: Settings) -> str:
    """The shell line that makes a new proxy."""
    return PRESETS.get(settings.renew, settings.renew)


def prepare(settings: Settings) -> Tuple[str, Dict[str, str]]:
    """A private directory for the new proxy, and the environment; the directory is the user's."""
    place = os.path.join(settings.directory, "renewal")
    shutil.rmtree(place, ignore_errors=True)
    os.mkdir(place, 0o700)
    if settings.as_root:
        os.chown(place, settings.user.uid, settings.user.gid)
    return place, {"PROXY_OUT": os.path.join(place, "proxy")}


def accept(settings: Settings, place: str, now: float) -> str:
    """Put the new proxy in the place of the old; what is wrong with it, or "".

    The old one stays whatever happens: the new one is complete, on the same file system, before
    it is renamed over it.
    """
    new = os.path.join(place, "proxy")
    try:
        _, pem = read_file(new, os.O_NOFOLLOW)
    except Unreadable as error:
        return "the command wrote no proxy to $PROXY_OUT (%s)" % error
    try:
        life = life_of(pem)
        if not same_key(pem, pem):
            raise Unreadable("its key is not that of its certificate")
    except Unreadable as error:
        return "the command's proxy is no good: %s" % error
    if life.end - now < settings.valid_for:
        return "the command's proxy ends on %s, too soon" % utc(life.end)
    if life.end <= _end_of(settings.proxy):
        return "the command's proxy ends on %s, no later than the present one" % utc(life.end)
    try:
        _replace(settings, pem)
    except OSError as error:
        return "the new proxy cannot be put at %s: %s" % (settings.proxy, error.strerror or error)
    return ""


def _end_of(path: str) -> float:
    try:
        return life_of(read_file(path)[1]).end
    except Unreadable:
        return 0.0


def _replace(settings: Settings, pem: bytes) -> None:
    beside = settings.proxy + ".new"
    try:
        os.unlink(beside)
    except OSError:
        pass  # mostly not there; what else is wrong shows at once
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        if settings.as_root:
            os.fchown(handle, settings.user.uid, settings.user.gid)
        file.write(pem)
        file.flush()
        os.fsync(handle)
    os.rename(beside, settings.proxy)
