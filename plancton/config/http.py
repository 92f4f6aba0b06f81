"""Fetch one configuration over HTTP(S): bounded in time and size, and complete or not at all.

``urllib`` is used because it can tell a server that sends very slowly from a slow network; an
answer counts only when it is complete, since half a YAML file is often valid.
"""

from __future__ import annotations

import base64
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

from plancton import __version__
from plancton.paths import hide_password

#: Seconds for a whole answer, and for each of its parts.
TIMEOUT = 10.0
#: A configuration has some 2 kB; a web server's wrong page must not fill the memory, nor keep the
#: daemon reading for seconds.
MAX_BYTES = 200_000


#: How OpenSSL calls an answer without TLS, by its version.
_NO_TLS = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE")


class FetchFailed(Exception):
    """No configuration came; the message says why, in half a line."""


@dataclass(frozen=True)
class FetchedText:
    """A configuration as the server sent it."""

    text: str
    #: to ask with the next time; "" if the server gave none
    etag: str


def fetch(
    url: str,
    etag: str,
    *,
    verify: bool = True,
    timeout: float = TIMEOUT,
    now: Callable[[], float] = time.monotonic,
) -> FetchedText | None:
    """Return what ``url`` has now; None if it still is what ``etag`` stands for.

    ``timeout`` is in seconds, for the whole answer; ``now`` is a monotonic clock.

    ``insecure_https://`` and ``verify=False`` believe any certificate.  Raises FetchFailed.
    """
    if url.startswith("insecure_https://"):
        url, verify = url.removeprefix("insecure_"), False
    deadline = now() + timeout
    try:
        with _open(url, etag, verify, timeout) as answer:
            return FetchedText(
                _body(answer, lambda: now() > deadline), answer.headers.get("ETag") or ""
            )
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 304 and etag:
            return None
        raise FetchFailed(f"the server answers {error.code} {error.reason}") from error
    except urllib.error.URLError as error:
        raise FetchFailed(_reason(error.reason)) from error
    except (OSError, HTTPException, ValueError) as error:
        raise FetchFailed(_reason(error)) from error


def _open(url: str, etag: str, verify: bool, timeout: float) -> HTTPResponse:
    parts = urlsplit(url)
    try:
        _ = parts.port
    except ValueError as error:
        # the error repeats what may be a part of the password
        raise FetchFailed(
            "the port is no number up to 65535; write / ? # @ % in a password as %XX"
        ) from error
    headers = {"User-Agent": f"plancton/{__version__}"}
    if parts.username is not None:
        who = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers["Authorization"] = "Basic " + base64.b64encode(who.encode()).decode("ascii")
        url = urlunsplit(parts._replace(netloc=parts.netloc.split("@")[-1]))
    if etag:
        headers["If-None-Match"] = etag
    context = ssl.create_default_context()
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=context), _Redirects())
    request = urllib.request.Request(url, headers=headers)  # noqa: S310  (checked by ConfigUrl)
    answer: HTTPResponse = opener.open(request, timeout=timeout)
    return answer


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follow redirects, but not from HTTPS to HTTP, and not with the password to another host."""

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        """Return the request to follow with.  Raises FetchFailed."""
        if req.full_url.startswith("https:") and not newurl.startswith("https:"):
            fp.close()
            raise FetchFailed(
                f"the server redirects to {hide_password(newurl)}, which is not HTTPS"
            )
        new = super().redirect_request(req, fp, code, msg, headers, newurl)
        if new is not None and new.host != req.host:
            # The password is for the server that was named.
            new.remove_header("Authorization")
        return new


def _body(answer: HTTPResponse, late: Callable[[], bool]) -> str:
    content = b""
    # What has come so far, so that a server that drips is noticed.
    while part := answer.read1(65536):
        content += part
        if len(content) > MAX_BYTES:
            raise FetchFailed(f"the answer has more than {MAX_BYTES} bytes")
        if late():
            raise FetchFailed("the answer did not come in time")
    expected = answer.headers.get("Content-Length", "")
    if not expected and not answer.chunked:
        # the end of the connection may be the end of a server
        raise FetchFailed("the answer has no length, so that nobody knows whether it is complete")
    if expected.isdigit() and len(content) < int(expected):
        raise FetchFailed(f"the answer broke off after {len(content)} of {expected} bytes")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise FetchFailed("the answer is no text in UTF-8") from error


def _reason(error: object) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"the certificate is not believed ({error.verify_message}); "
            "PLANCTON_CONF_NOSSLVERIFY=1 would believe any"
        )
    if isinstance(error, ssl.SSLError) and error.reason in _NO_TLS:
        return "the server does not speak TLS on that port"
    text = getattr(error, "strerror", None) or str(error)
    return " ".join(text.split()) or type(error).__name__
