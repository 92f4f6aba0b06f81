"""The client of an InfluxDB: the only importer of ``influxdb``; its errors are translated here.

The endpoints of 1.x, which 2.x and 3 have too: there the password is a token, the
database is a bucket, and creating it is the admin's.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import requests
import urllib3
from influxdb import InfluxDBClient
from influxdb.exceptions import InfluxDBClientError, InfluxDBServerError

from .points import Point
from .targets import Target

#: Seconds for an answer; a target that hangs costs its own thread no more than that.
TIMEOUT = 10.0
#: Bytes of an answer that are read: to points it is empty, or a sentence. Whoever answers in the
#: database's place must not fill the memory.
_LONGEST_ANSWER = 10_000

#: What the answer says of points that will never be taken: a field of another type, a time
#: before the retention. Other bad requests may be the admin's mistake (http for https).
_FOR_GOOD = ("partial write", "unable to parse", "field type conflict", "beyond retention")


class TargetAway(Exception):
    """The target cannot take the points now.  One sentence, without passwords."""


class BatchTooLarge(TargetAway):
    """The target takes no request of that size: fewer points may go."""


class PointsRefused(Exception):
    """The target will never take these points.  One sentence."""

    def __init__(self, text: str, lost: int | None = None) -> None:
        """``lost``: how many of them; None for all."""
        super().__init__(text)
        self.lost = lost


class Database(Protocol):
    """A database that points are written to; a fake of it is in the tests."""

    def write(self, points: Sequence[Point]) -> None:
        """Write points; all have arrived when it returns.  Raises TargetAway or PointsRefused."""
        ...

    def close(self) -> None:
        """Close its connections."""
        ...


class Influx:
    """A connection of one thread.  Creates its database when it is missing."""

    def __init__(self, target: Target, timeout: float = TIMEOUT) -> None:
        self._target, self._timeout = target, timeout
        self._client: Any = None
        self._secret = ""

    def write(self, points: Sequence[Point]) -> None:
        """Write the points; creates the database where it is missing. Raises TargetAway."""
        try:
            self._write(points)
        except _NoDatabase:
            self._create()
            try:
                self._write(points)
            except _NoDatabase as error:
                raise TargetAway(f"{self._target.name}: {error}") from None

    def close(self) -> None:
        """Close the connections; a later write opens new ones."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def _write(self, points: Sequence[Point]) -> None:
        with self._translated():
            self._connected().write_points(
                [_as_dict(point) for point in points], time_precision="u"
            )

    def _create(self) -> None:
        with self._translated():
            try:
                self._connected().create_database(self._target.database)
            except InfluxDBClientError as error:
                if error.code in (401, 403):
                    raise TargetAway(
                        f"{self._target.name}: there is no such database, and user "
                        f"{self._target.user!r} may not make it; create it, or give the user "
                        "the right to write to it"
                    ) from None
                raise

    def _connected(self) -> Any:
        target = self._target
        try:
            secret = target.secret()
        except OSError as error:
            raise TargetAway(
                f"{target.name}: password file {target.password_file}: {error.strerror}"
            ) from None
        if self._client is None or secret != self._secret:
            self.close()
            if not target.verify:
                # the admin has written insecure_https: saying so with each request is noise
                urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
            self._client = InfluxDBClient(
                host=target.host,
                port=target.port,
                # a token has no user, and the client sends no password without one
                username=target.user if secret else None,
                password=secret or None,
                database=target.database,
                ssl=target.tls,
                verify_ssl=target.ca_file or target.verify,
                timeout=self._timeout,
                retries=1,  # 0 would be "for ever"
                gzip=True,
                session=self._make_session(),
            )
            self._secret = secret
        return self._client

    def _make_session(self) -> requests.Session:
        """Return a session that reads no more than the beginning of an answer, and in time."""

        def read_begin(answer: Any, *_args: Any, **_kwargs: Any) -> None:
            deadline, content = time.monotonic() + self._timeout, b""
            # each byte by itself, as more would be waited for
            for byte in answer.iter_content(1):
                content += byte
                if time.monotonic() > deadline:
                    answer.close()
                    raise requests.Timeout
                if len(content) >= _LONGEST_ANSWER:
                    answer.close()
                    break
            answer._content = content

        session = requests.Session()
        session.hooks["response"].append(read_begin)
        return session

    @contextmanager
    def _translated(self) -> Iterator[None]:
        name = self._target.name
        try:
            yield
        except InfluxDBClientError as error:
            text = _one_line(str(error.content))
            if error.code == 404 and "database not found" in text:
                raise _NoDatabase(text) from None
            if error.code in (400, 413, 422) and any(word in text for word in _FOR_GOOD):
                raise PointsRefused(f"{name}: {text}", _count_lost(str(error.content))) from None
            if error.code == 413:
                raise BatchTooLarge(f"{name}: 413: {text}") from None
            if error.code in (401, 403):
                text += "; check the user, the password and the user's rights"
            raise TargetAway(f"{name}: {error.code}: {text}") from None
        except InfluxDBServerError as error:
            content = error.args[0]
            text = content.decode("utf-8", "replace") if isinstance(content, bytes) else content
            raise TargetAway(f"{name}: the server fails: {_one_line(str(text))}") from None
        except requests.Timeout:
            raise TargetAway(f"{name}: no answer within {self._timeout:g} s") from None
        except (requests.RequestException, OSError) as error:
            raise TargetAway(f"{name}: {_cause(error)}") from None


def _count_lost(answer: str) -> int | None:
    """Return how many points were refused; None for all of them."""
    dropped = re.search(r"partial write: .* dropped=(\d+)", answer)
    # those that cannot be parsed are named each, and not among the dropped
    return int(dropped[1]) + answer.count("unable to parse '") if dropped else None


class _NoDatabase(Exception):
    pass


def _as_dict(point: Point) -> dict[str, Any]:
    return {
        "measurement": point.series,
        # no value may end with a backslash in InfluxDB's line protocol: the point is refused
        "tags": {
            name: f"{value} " if value.endswith("\\") else value
            for name, value in point.tags.items()
        },
        "fields": dict(point.fields),
        "time": round(point.time * 1e6),
    }


def _one_line(text: str) -> str:
    return " ".join(text.split())[:300]


def _cause(error: BaseException) -> str:
    """Return the innermost reason: the outer ones repeat the URL, perhaps with a password."""
    seen = error
    while (inner := seen.__cause__ or seen.__context__) is not None:
        seen = inner
    # how OpenSSL calls an answer without TLS, by its version
    if getattr(seen, "reason", "") in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE"):
        return "it does not speak TLS on that port"
    reason = getattr(seen, "strerror", None) or str(seen)
    return _one_line(str(reason)) or type(seen).__name__
