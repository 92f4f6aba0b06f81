"""Get the configuration from a web server, in a thread, and keep the last good one on disk.

The loop must go on evicting while a server hangs, so a thread of its own asks; the loop
reads what that has learned.  The last good text is kept in a file, for a daemon that starts
while the server is away.
"""

from __future__ import annotations

import ipaddress
import json
import logging
import math
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from hostfiles.regular_file import open_regular
from hostfiles.replace_file import replace_file
from plancton.errors import ConfigError
from plancton.paths import SCHEMES, hide_password

from .http import TIMEOUT, FetchedText, FetchFailed, fetch
from .model import Config

_log = logging.getLogger("plancton")

#: Seconds between two questions, as in the container of 2017.
DEFAULT_EVERY = 600.0
SHORTEST_EVERY = 1.0
#: Seconds to the next question after one that failed: the network may not be up yet at boot.
RETRY = 30.0
#: Seconds after which an answer that still drips in is reported as a problem.
STUCK = 2 * TIMEOUT


@dataclass(frozen=True)
class ConfigUrl:
    """The URL of the configuration: how often it is fetched (s), whether TLS is verified."""

    url: str
    every: float = DEFAULT_EVERY
    verify: bool = True

    @classmethod
    def from_environment(cls, url: str, environ: Mapping[str, str]) -> ConfigUrl:
        """Return ``url`` with ``PLANCTON_CONF_UPDATE`` and ``PLANCTON_CONF_NOSSLVERIFY`` applied.

        Raises ConfigError.
        """
        scheme, separator, _ = url.partition("://")
        if not separator or scheme not in SCHEMES:
            # not repeated whole: it may hold a password
            what = f"unknown scheme {scheme!r}" if separator else "no scheme"
            raise ConfigError(
                f"URL of the configuration (--confdir or PLANCTON_CONF_URL): {what}; write "
                "https://HOST/PATH, http:// or insecure_https://"
            )
        text = environ.get("PLANCTON_CONF_UPDATE", "").strip() or str(DEFAULT_EVERY)
        try:
            every = float(text)
        except ValueError:
            every = math.nan
        if not SHORTEST_EVERY <= every < math.inf:
            raise ConfigError(
                "PLANCTON_CONF_UPDATE: must be a number of seconds, "
                f"at least {SHORTEST_EVERY:g}, not {text!r}"
            )
        verify = not is_switched_on(environ, "PLANCTON_CONF_NOSSLVERIFY")
        if verify and url.startswith("insecure_"):
            raise ConfigError(
                f"{hide_password(url)}: whoever answers in the server's place could run anything "
                "on this node; use https:// with a certificate that this node believes, or set "
                "PLANCTON_CONF_NOSSLVERIFY=1, too"
            )
        return cls(url, every, verify)

    def describe_risk(self) -> str:
        """Return why somebody else may answer in the server's place; "" if nobody can."""
        parts = urlsplit(self.url)
        if parts.scheme == "http":
            return "" if _is_loopback(parts.hostname or "") else "it comes without TLS"
        return "" if self.verify else "any certificate is accepted"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def is_switched_on(environ: Mapping[str, str], name: str) -> bool:
    """Tell whether a variable is set, and not to a word for no."""
    return environ.get(name, "").strip().lower() not in ("", "0", "false", "no", "off")


class RemoteConfig:
    """The configuration of a web server; ``parse`` makes a Config of its text, or ConfigError."""

    def __init__(
        self,
        origin: ConfigUrl,
        parse: Callable[[str], Config],
        kept: Path,
        on_news: Callable[[], None] = lambda: None,
        ask: Callable[..., FetchedText | None] = fetch,
    ) -> None:
        """Prepare to ask ``origin``; nothing is asked yet.

        ``kept`` is the file with the last good text; ``on_news`` is called, in another thread, when
        something has changed or ``ask_now`` is answered; ``ask`` fetches one page.
        """
        self._origin, self._parse, self._kept = origin, parse, kept
        self._on_news, self._ask = on_news, ask
        self.shown = hide_password(origin.url)
        self._good: Config | None = None
        self._etag = ""
        self._bad: tuple[str, ...] = ()
        self._failed = ""
        self._asking_since: float | None = None
        #: ``ask_now`` was called; the server is asked because of that
        self._asked = self._answering = False
        self._first = threading.Event()
        self._wake = threading.Event()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="config", daemon=True)

    def fetch_first(self) -> Config:
        """Begin to ask; the configuration to start with.  Raises ConfigError.

        A server that is away, or that gives a bad one, leaves the one that was kept.
        """
        if risk := self._origin.describe_risk():
            _log.warning(
                "%s: %s: whoever answers in the server's place can run anything on this node",
                self.shown,
                risk,
            )
        self._read_kept()
        self._thread.start()
        self._first.wait(TIMEOUT + 2.0)
        if self._good is None:
            raise ConfigError(*(self._problems() or (f"{self.shown}: no answer in time",)))
        return self._good

    def read_newest(self) -> Config:
        """Return the newest configuration; never waits.

        Raises ConfigError while it is not what the server has, or may not be.
        """
        problems = self._problems()
        if problems or self._good is None:
            raise ConfigError(*problems)
        return self._good

    def ask_now(self) -> None:
        """Ask the server soon instead of after the interval."""
        self._asked = True
        self._wake.set()

    def is_asking(self) -> bool:
        """Tell whether what ``ask_now`` asked for is not known yet."""
        return self._asked or self._answering

    def close(self) -> None:
        """Ask no more; does not wait for an answer."""
        self._closed = True
        self._wake.set()

    def _problems(self) -> tuple[str, ...]:
        found = list(self._bad)
        since = self._asking_since
        if since is not None and time.monotonic() - since > STUCK:
            found.append(f"{self.shown}: cannot be fetched: the answer does not end")
        elif self._failed:
            found.append(f"{self.shown}: cannot be fetched: {self._failed}")
        return tuple(found)

    def _work(self) -> None:
        while not self._closed:
            before = (self._good, self._bad, self._failed)
            if self._asked:  # in this order: at no moment is neither set
                self._answering = True
                self._asked = False
            self._asking_since = time.monotonic()
            self._once()
            self._asking_since = None
            self._first.set()
            answered, self._answering = self._answering, False
            if answered or (self._good, self._bad, self._failed) != before:
                self._on_news()
            wait = min(RETRY, self._origin.every) if self._failed else self._origin.every
            self._wake.wait(wait)
            self._wake.clear()

    def _once(self) -> None:
        try:
            page = self._ask(self._origin.url, self._etag, verify=self._origin.verify)
        except FetchFailed as error:
            self._failed = str(error)
            return
        self._failed = ""
        if page is None:
            return  # as before, be that good or bad
        self._etag = page.etag
        try:
            good = self._parse(page.text)
        except ConfigError as error:
            self._bad = error.problems
            return
        except Exception as error:  # a bug; the thread must live to read the next page
            _log.exception("%s: cannot be read", self.shown)
            self._bad = (f"{self.shown}: cannot be read: {type(error).__name__}: {error}",)
            return
        self._good, self._bad = good, ()
        self._keep(page)

    def _keep(self, page: FetchedText) -> None:
        content = {"url": self._origin.url, "etag": page.etag, "text": page.text}
        try:
            self._kept.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            replace_file(self._kept, json.dumps(content), 0o600)  # it may hold passwords
        except OSError as error:
            _log.error(
                "%s: cannot be written: %s; a daemon that starts while %s is away will have no "
                "configuration",
                self._kept,
                error.strerror,
                self.shown,
            )

    def _read_kept(self) -> None:
        try:
            with open(self._kept, encoding="utf-8", opener=open_regular) as file:
                content = json.load(file)
            if content["url"] != self._origin.url:
                return
            self._good, self._etag = self._parse(content["text"]), str(content["etag"])
        except FileNotFoundError:
            return
        except (OSError, ValueError, KeyError, TypeError, RecursionError, ConfigError) as error:
            # Also one that an upgrade made wrong: then the server must have a better one.
            _log.error("%s: cannot be used: %s", self._kept, error)
