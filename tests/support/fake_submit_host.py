"""A fake submit host and schedd for tests of condor_submit."""

import errno
import fnmatch
import os
import posixpath
import stat
from collections.abc import Iterator, Sequence
from datetime import datetime, timezone

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from vobox.commands.submit.condor_submit import condor_submit
from vobox.rpc.types import Answer, CommandRefused, PreparedJob, Request

NOW = 1_700_000_000
CWD = "/home/alice/work"
SCRIPT = b"#!/bin/sh\necho hello\n"


def make_proxy(now: float = NOW, hours: float = 12, generations: int = 1) -> bytes:
    """Return an X.509 proxy file of /C=CH/O=Example/CN=Alice Agent: chain, key in between."""
    chain = []
    names = [("CH", "C"), ("Example", "O"), ("Alice Agent", "CN")]
    key = issuer_key = ec.generate_private_key(ec.SECP256R1())
    issuer = _name([("CH", "C"), ("Example CA", "CN")])
    for generation in range(generations + 1):
        key = ec.generate_private_key(ec.SECP256R1())
        subject = _name(names + [(str(100 + n), "CN") for n in range(generation)])
        until = now + (hours * 3600 if generation == generations else 365 * 86400)
        chain.append(
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(100 + generation)
            .not_valid_before(_date(now - 5 * 86400))
            .not_valid_after(_date(until))
            .sign(issuer_key, hashes.SHA256())
        )
        issuer, issuer_key = subject, key
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    last, *others = [c.public_bytes(serialization.Encoding.PEM) for c in reversed(chain)]
    return last + secret + b"".join(others)


def _name(parts: list[tuple[str, str]]) -> x509.Name:
    kinds = {"C": NameOID.COUNTRY_NAME, "O": NameOID.ORGANIZATION_NAME, "CN": NameOID.COMMON_NAME}
    return x509.Name([x509.NameAttribute(kinds[kind], value) for value, kind in parts])


def _date(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, tz=timezone.utc)


class FakeFiles:
    """``OwnerFiles`` on a dict of paths and contents; directories follow from the paths."""

    def __init__(self, files: dict[str, bytes] | None = None) -> None:
        self.files = {f"{CWD}/agent.sh": SCRIPT, "/bin/echo": b"\x7fELF", **(files or {})}
        self.special: dict[str, int] = {}
        self.unreadable: set[str] = set()
        self.read_paths: list[str] = []

    def _find(self, path: str) -> bytes | None:
        """Return the content; None for a directory. Raises FileNotFoundError."""
        path = posixpath.normpath(path)
        if path in self.files:
            return self.files[path]
        if any(name.startswith(path.rstrip("/") + "/") for name in self.files):
            return None
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)

    def read(self, path: str) -> bytes:
        self.read_paths.append(path)
        if path in self.unreadable:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        content = self._find(path)
        if content is None:
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
        return content

    def mode(self, path: str) -> int:
        if path in self.special:
            return self.special[path]
        return stat.S_IFDIR | 0o755 if self._find(path) is None else stat.S_IFREG | 0o644

    def size(self, path: str) -> int:
        return len(self._find(path) or b"")

    def walk(self, path: str) -> Iterator[str]:
        base = posixpath.normpath(path) + "/"
        self._find(path)
        return iter(sorted(n[len(base) :] for n in self.files if n.startswith(base)))

    def glob(self, directory: str, pattern: str) -> list[str]:
        base = "" if pattern.startswith("/") else posixpath.normpath(directory) + "/"
        depth = pattern.count("/") + base.count("/")
        names = {"/".join(name.split("/")[: depth + 1]) for name in self.files}
        inside = (name[len(base) :] for name in names if name.startswith(base))
        return sorted(name for name in inside if fnmatch.fnmatchcase(name, pattern))

    def write(self, path: str, data: bytes) -> None:
        if not posixpath.dirname(path).startswith("/home"):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        self.files[path] = data


class FakeCaller:
    """A ``Caller`` with the exit codes and output of known commands."""

    def __init__(self) -> None:
        self.given = b""
        self.programs: dict[tuple[str, ...], tuple[int, bytes]] = {}
        self.ran: list[tuple[str, ...]] = []
        #: how often the client was told that its command is at work
        self.words = 0

    def keep_waiting(self) -> None:
        self.words += 1

    def stdin(self) -> bytes:
        return self.given

    def run(self, argv: Sequence[str], limit: int) -> tuple[int, bytes]:
        self.ran.append(tuple(argv))
        code, output = self.programs.get(tuple(argv), (127, b""))
        return code, output[:limit]


class FakeTarget:
    """A ``SubmitTarget`` that records what it gets."""

    schedd_name = "vobox1.example.org"
    address = "<127.0.0.1:0>"
    pool = "alien_jobs"
    max_jobs = 20_000

    def __init__(self, refuses: str = "") -> None:
        self.refuses = refuses
        self.clusters = 7
        self.submitted: list[tuple[int, Sequence[PreparedJob]]] = []
        self.pilots: list[dict[str, str]] = []

    def list_pilots(self) -> list[dict[str, str]]:
        return self.pilots

    def new_cluster(self) -> int:
        self.clusters += 1
        return self.clusters - 1

    def submit(self, cluster: int, jobs: Sequence[PreparedJob]) -> None:
        if self.refuses:
            raise CommandRefused(self.refuses)
        self.submitted.append((cluster, jobs))


class FakeSubmitHost:
    """One user on one submit host."""

    def __init__(self, files: dict[str, bytes] | None = None, refuses: str = "") -> None:
        self.files = FakeFiles(files)
        self.target = FakeTarget(refuses)
        self.caller = FakeCaller()
        self.env: dict[str, str] = {"HOME": "/home/alice", "PATH": "/bin"}

    def run(self, *argv: str, stdin: str = "") -> Answer:
        request = Request(
            command="condor_submit",
            argv=argv,
            cwd=CWD,
            env=self.env,
            uid=1000,
            gid=1000,
            user="alice",
            stdin=stdin.encode("utf-8", "surrogateescape"),
            caller=self.caller,
        )
        return condor_submit(request, self.target, self.files, NOW)

    def submit(self, text: str, *argv: str) -> Answer:
        """Submit ``text`` as the file e.sub."""
        self.files.files[f"{CWD}/e.sub"] = text.encode("utf-8", "surrogateescape")
        return self.run("e.sub", *argv)

    def make_jobs(self, text: str, *argv: str) -> Sequence[PreparedJob]:
        """Return the jobs that ``text`` makes; fails if it is refused."""
        answer = self.submit(text, *argv)
        assert answer.code == 0, answer
        return self.target.submitted[-1][1]

    def make_job(self, text: str, *argv: str) -> PreparedJob:
        """Return the only job that ``text`` makes."""
        """Return the only job that ``text`` makes."""
        (job,) = self.make_jobs(text, *argv)
        return job


#: The first line of most descriptions.
HEAD = "executable = agent.sh\n"


def make_job(text: str, files: dict[str, bytes] | None = None):
    """Submit a description that continues with ``text``; returns its only job."""
    return FakeSubmitHost(files).make_job(f"{HEAD}{text}\nqueue\n")
