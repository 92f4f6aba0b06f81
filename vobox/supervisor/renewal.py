"""Renewal of the proxy: a new one is made beside the old one and replaces it if it is better."""

import os
import shutil
from typing import Callable, Dict, Sequence, Tuple

from .credentials import (
    Credential,
    Lifetime,
    UnusableCredential,
    acting_as,
    format_utc,
    keys_match,
    read_file,
    read_lifetime,
)
from .processes import Result
from .settings import Settings, User

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


#: Seconds that the command may take.
TIMEOUT = 300.0


def is_due(credentials: Sequence[Credential], settings: Settings, now: float) -> bool:
    """Tell whether to renew the proxy at ``now`` (seconds since the epoch): bad ones always.

    ``settings``: how long before its end a proxy is renewed.
    """
    if not settings.renew:
        return False
    if any(one.problem for one in credentials if one.variable == "X509_USER_CERT"):
        return False  # the new proxy would be made with it
    for one in credentials:
        if one.variable == "X509_USER_PROXY":
            return bool(one.problem) or one.life is None or now >= _moment(one.life, settings)
    return False


def _moment(life: Lifetime, settings: Settings) -> float:
    if settings.renew_before is not None:
        return life.end - settings.renew_before
    return (life.begin + life.end) / 2


def renew(settings: Settings, run: Callable[[str, Dict[str, str]], Result], now: float) -> str:
    """Make a new proxy and put it in the place of the old; returns what went wrong, or "".

    ``run`` runs a shell line with additions to the environment; ``now``: seconds since the epoch.
    """
    try:
        place, environment = _prepare(settings)
    except OSError as error:
        return "%s: %s" % (settings.directory, error.strerror or error)
    try:
        result = run(PRESETS.get(settings.renew, settings.renew), environment)
        return str(result) if result.code != 0 else replace_proxy(settings, place, now)
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _prepare(settings: Settings) -> Tuple[str, Dict[str, str]]:
    """Make a private directory of the CE's user; returns it and the environment that names it."""
    place = os.path.join(settings.directory, "renewal")
    shutil.rmtree(place, ignore_errors=True)
    os.mkdir(place, 0o700)
    if settings.as_root:
        os.chown(place, settings.user.uid, settings.user.gid)
    return place, {"PROXY_OUT": os.path.join(place, "proxy")}


def replace_proxy(settings: Settings, place: str, now: float) -> str:
    """Put the new proxy in the place of the old; returns what is wrong with it, or "".

    The old one stays whatever happens: the new one is complete, on the same file system, before
    it is renamed over it.
    """
    new = os.path.join(place, "proxy")
    try:
        _, pem = read_file(new, os.O_NOFOLLOW)
    except UnusableCredential as error:
        return "the command wrote no proxy to $PROXY_OUT (%s)" % error
    try:
        life = read_lifetime(pem)
        if not keys_match(pem, pem):
            raise UnusableCredential("its key is not that of its certificate")
    except UnusableCredential as error:
        return "the command's proxy is no good: %s" % error
    if life.end - now < settings.valid_for:
        return "the command's proxy ends on %s, too soon" % format_utc(life.end)
    if life.end <= _end_of(settings.proxy, settings.user):
        return "the command's proxy ends on %s, no later than the present one" % format_utc(
            life.end
        )
    try:
        _write_proxy(settings, pem)
    except OSError as error:
        return "the new proxy cannot be put at %s: %s" % (settings.proxy, error.strerror or error)
    return ""


def _end_of(path: str, user: User) -> float:
    try:
        with acting_as(user):
            return read_lifetime(read_file(path)[1]).end
    except UnusableCredential:
        return 0.0


def _write_proxy(settings: Settings, pem: bytes) -> None:
    beside = settings.proxy + ".new"
    with acting_as(settings.user):
        try:
            os.unlink(beside)
        except OSError:
            pass  # mostly not there; what else is wrong shows at once
        handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(handle)
        os.rename(beside, settings.proxy)
