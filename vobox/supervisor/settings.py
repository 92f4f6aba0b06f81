"""The settings of thyme-vobox: environment variables, read once."""

import os
import pwd
from typing import Dict, List, Mapping, NamedTuple, Optional, Tuple

KINDS = ("alien", "jalien", "demo", "none")
#: CEs that submit with ``use_x509userproxy = true``.
GRID = ("alien", "jalien")
#: Ways to make a proxy from the user's certificate.
WITH_CERTIFICATE = ("voms", "grid", "xrdgsiproxy")
HOUR = 3600.0


class BadSettings(Exception):
    """The environment is wrong; the text has one line for each problem."""


class Variable(NamedTuple):
    """One environment variable as `thyme-vobox settings` and the documentation show it."""

    name: str
    default: str
    meaning: str


#: Variables that name a file or a directory of this machine.
PATHS = (
    "THYME_SCHEDD_SOCKET", "X509_USER_PROXY", "X509_USER_CERT", "X509_USER_KEY", "X509_HOST_CERT",
    "X509_HOST_KEY", "ALIEN_ROOT", "VOBOX_DIR", "VOBOX_PYTHON",
)  # fmt: skip
#: docs/howto-vobox.md has this table; a test compares the two.
VARIABLES = (
    Variable("CE", "", "which CE to run: `alien`, `jalien`, `demo` or `none`; required"),
    Variable(
        "CE_USER", "", "the user that the CE runs as; required for a Grid CE when started by root"
    ),
    Variable(
        "CE_COMMAND", "", "a shell line that replaces the CE's own and stays in the foreground"
    ),
    Variable("CE_START", "", "for a CE that runs in the background: the shell line that starts it"),
    Variable("CE_STATUS", "", "with `CE_START`: exits with 0 while the CE runs"),
    Variable("CE_STOP", "", "with `CE_START`: stops the CE"),
    Variable(
        "CE_CHECK",
        "60",
        "seconds between two calls of `CE_STATUS`; two failures in a row mean that the CE is down",
    ),
    Variable(
        "CE_BACKOFF", "2", "seconds before a CE that ended is started again; doubled each time"
    ),
    Variable("CE_BACKOFF_MAX", "300", "the longest such wait in seconds"),
    Variable("CE_GRACE", "30", "seconds between SIGTERM and SIGKILL when it stops"),
    Variable("THYME_SCHEDD_SOCKET", "/run/thyme/schedd.sock", "the schedd's socket"),
    Variable(
        "SCHEDD_TIMEOUT", "600", "seconds to wait for the schedd at the start; then exit code 3"
    ),
    Variable(
        "CREDENTIALS_TIMEOUT",
        "3600",
        "seconds to wait for good credentials at the start; then exit code 4",
    ),
    Variable("CREDENTIALS_HOURS", "2", "hours for which credentials must still be valid"),
    Variable("X509_USER_PROXY", "", "the proxy that jobs get; required for `alien` and `jalien`"),
    Variable("X509_USER_CERT", "", "the user's certificate"),
    Variable("X509_USER_KEY", "", "its key, without a pass phrase"),
    Variable("X509_HOST_CERT", "", "the host's certificate, if the CE needs one"),
    Variable("X509_HOST_KEY", "", "its key"),
    Variable(
        "PROXY_RENEW",
        "",
        "how to renew the proxy: `voms`, `grid`, `xrdgsiproxy`, `myproxy`, or a shell line that"
        " writes `$PROXY_OUT`; empty: not renewed here",
    ),
    Variable(
        "PROXY_RENEW_BEFORE",
        "",
        "hours before its end when the proxy is renewed; empty: after half its lifetime",
    ),
    Variable("PROXY_HOURS", "48", "lifetime of a new proxy in hours"),
    Variable("PROXY_VOMS", "alice:/alice/Role=lcgadmin", "for `voms`: the VO and role"),
    Variable(
        "MYPROXY_SERVER", "myproxy.cern.ch", "for `myproxy`: the server with the long-lived proxy"
    ),
    Variable("ALIEN_ROOT", "", "for `alien`: the directory where AliEn is installed"),
    Variable(
        "JALIEN_VERSION", "", "for `jalien`: the version of the CVMFS package; empty: the newest"
    ),
    Variable("DEMO_ARGS", "", "for `demo`: options of plancton-demo-ce"),
    Variable(
        "VOBOX_DIR",
        "",
        "directory for its own files; `/run/thyme-vobox`, for other users `~/.thyme/vobox`",
    ),
    Variable(
        "VOBOX_PYTHON",
        "",
        "the Python that runs the condor commands; empty: the one that runs thyme-vobox",
    ),
)


class User(NamedTuple):
    """The user that the CE runs as."""

    name: str
    uid: int
    gid: int
    groups: Tuple[int, ...]
    home: str


class Settings(NamedTuple):
    """The settings after checks; all times are in seconds."""

    kind: str
    user: User
    as_root: bool
    command: str
    start: str
    status: str
    stop: str
    check: float
    backoff: float
    backoff_max: float
    grace: float
    socket: str
    schedd_timeout: float
    credentials_timeout: float
    valid_for: float
    proxy: str
    cert: str
    key: str
    host_cert: str
    host_key: str
    renew: str
    renew_before: Optional[float]
    alien_root: str
    jalien_version: str
    demo_args: str
    directory: str
    python: str
    environment: Dict[str, str]


def read_settings(environment: Mapping[str, str], uid: int, python: str) -> Settings:
    """Read and check the settings. Raises BadSettings.

    ``uid``: the user id of this process; ``python``: the default interpreter of the commands.
    """
    given = {one.name: environment.get(one.name, "").strip() or one.default for one in VARIABLES}
    wrong: List[str] = []
    kind = given["CE"]
    if kind not in KINDS:
        what = "is not set" if not kind else "is %r" % kind
        wrong.append("CE %s: set it to one of %s" % (what, ", ".join(KINDS)))
    user = _user(given["CE_USER"], kind, uid, wrong)

    def number(name: str, unit: float = 1.0) -> float:
        try:
            value = float(given[name])
        except ValueError:
            value = -1.0
        if not 0 <= value < float("inf"):
            wrong.append("%s is %r: give a number from 0 on" % (name, given[name]))
            return 0.0
        return value * unit

    for name in PATHS:
        if given[name] and not given[name].startswith("/"):
            # the CE and the commands work in other directories
            wrong.append("%s is %r: give an absolute path" % (name, given[name]))
    if given["VOBOX_PYTHON"] and not os.access(given["VOBOX_PYTHON"], os.X_OK):
        wrong.append("VOBOX_PYTHON is %r: there is no such program here" % given["VOBOX_PYTHON"])
    if given["CE_COMMAND"] and given["CE_START"]:
        wrong.append("CE_COMMAND and CE_START are both set: a CE is started in one way")
    for name in ("CE_STATUS", "CE_STOP"):
        if bool(given["CE_START"]) != bool(given[name]):
            wrong.append("CE_START, CE_STATUS and CE_STOP go together; %s is the odd one" % name)
    if kind in GRID and not given["X509_USER_PROXY"]:
        wrong.append("X509_USER_PROXY is not set: jobs of the %s CE carry that proxy" % kind)
    for cert, key in (("X509_USER_CERT", "X509_USER_KEY"), ("X509_HOST_CERT", "X509_HOST_KEY")):
        if bool(given[cert]) != bool(given[key]):
            wrong.append("%s and %s go together; only one is set" % (cert, key))
    if given["PROXY_RENEW"] in WITH_CERTIFICATE and not given["X509_USER_CERT"]:
        wrong.append("PROXY_RENEW=%s needs X509_USER_CERT and X509_USER_KEY" % given["PROXY_RENEW"])
    if given["PROXY_RENEW"] and not given["X509_USER_PROXY"]:
        wrong.append("PROXY_RENEW is set, X509_USER_PROXY is not: which proxy?")
    settings = Settings(
        kind=kind,
        user=user,
        as_root=uid == 0,
        command=given["CE_COMMAND"],
        start=given["CE_START"],
        status=given["CE_STATUS"],
        stop=given["CE_STOP"],
        check=number("CE_CHECK"),
        backoff=number("CE_BACKOFF"),
        backoff_max=number("CE_BACKOFF_MAX"),
        grace=number("CE_GRACE"),
        socket=given["THYME_SCHEDD_SOCKET"],
        schedd_timeout=number("SCHEDD_TIMEOUT"),
        credentials_timeout=number("CREDENTIALS_TIMEOUT"),
        valid_for=number("CREDENTIALS_HOURS", HOUR),
        proxy=given["X509_USER_PROXY"],
        cert=given["X509_USER_CERT"],
        key=given["X509_USER_KEY"],
        host_cert=given["X509_HOST_CERT"],
        host_key=given["X509_HOST_KEY"],
        renew=given["PROXY_RENEW"],
        renew_before=(number("PROXY_RENEW_BEFORE", HOUR) if given["PROXY_RENEW_BEFORE"] else None),
        alien_root=given["ALIEN_ROOT"],
        jalien_version=given["JALIEN_VERSION"],
        demo_args=given["DEMO_ARGS"],
        directory=given["VOBOX_DIR"] or default_directory(uid),
        python=given["VOBOX_PYTHON"] or python,
        environment={**environment, **given},
    )
    number("PROXY_HOURS")
    if wrong:
        raise BadSettings("\n".join(wrong))
    return settings


def default_directory(uid: int) -> str:
    """Return the directory of the VO box's own files where VOBOX_DIR is not set."""
    return "/run/thyme-vobox" if uid == 0 else os.path.expanduser("~/.thyme/vobox")


def _user(name: str, kind: str, uid: int, wrong: List[str]) -> User:
    try:
        entry = pwd.getpwnam(name) if name else pwd.getpwuid(uid)
    except KeyError:
        if name:
            wrong.append("CE_USER is %r: there is no such user here" % name)
        # a container may run as a uid that has no name
        return User(str(uid), uid, os.getgid(), (os.getgid(),), os.environ.get("HOME", "/"))
    if uid == 0 and not name and kind in GRID:
        wrong.append("CE_USER is not set: as root, name the user of the %s CE" % kind)
    if uid not in (0, entry.pw_uid):
        wrong.append("CE_USER is %r: only root can run a CE as another user" % name)
    groups = tuple(os.getgrouplist(entry.pw_name, entry.pw_gid))
    return User(entry.pw_name, entry.pw_uid, entry.pw_gid, groups, entry.pw_dir)
