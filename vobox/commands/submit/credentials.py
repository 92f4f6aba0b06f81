"""The X.509 proxy and the SciToken that travel with a job, readable by it alone.

Neither is renewed: a pilot gets the job's message and no other file of the
submit host. One that is no longer valid is refused at submit.
"""

from __future__ import annotations

import base64
import binascii
import json
import posixpath
from collections.abc import Mapping
from dataclasses import dataclass

from vobox.classad.ad import Ad, quote

from .errors import SubmitError, job_error, submit_error
from .expressions import evaluate_boolean
from .input_files import FileCache
from .job_commands import Commands
from .proxy import Proxy, read_proxy

#: Seconds since 1970 that no clock reaches.
_NEVER = 1e18


@dataclass(frozen=True)
class Credential:
    """A file that travels with mode 0600, and the variable that tells the job its path."""

    name: str
    data: bytes
    variable: str
    attributes: tuple[tuple[str, str], ...]  #: for the job's ad


def read_credentials(
    commands: Commands, iwd: str, env: Mapping[str, str], uid: int, files: FileCache, now: float
) -> tuple[Credential, ...]:
    """Read the proxy and the token that the description asks for.

    :param iwd: the job's directory on the submit host, where relative paths begin
    :param env: the submitter's environment, ``uid`` his number
    :param now: epoch seconds
    :raises SubmitError: if one cannot be read or has expired
    """
    found = []
    if (x509 := read_proxy(commands, iwd, env, uid, files, now)) is not None:
        found.append(_build_proxy_credential(x509))
    if (path := _find_token(commands, iwd, env)) is not None:
        found.append(_read_token(path, files, now))
    return tuple(found)


def record_credentials(credentials: tuple[Credential, ...], ad: Ad) -> None:
    """Record the attributes of the credentials."""
    for each in credentials:
        ad.update(each.attributes)


def _build_proxy_credential(x509: Proxy) -> Credential:
    attributes = (
        ("x509userproxy", quote(x509.path)),
        ("x509UserProxySubject", quote(x509.subject)),
        ("x509UserProxyExpiration", str(x509.expires)),
    )
    return Credential(posixpath.basename(x509.path), x509.data, "X509_USER_PROXY", attributes)


def _find_token(commands: Commands, iwd: str, env: Mapping[str, str]) -> str | None:
    named = commands.get("scitokens_file", "ScitokensFile")
    wanted = commands.get("use_scitokens", "use_scitoken")
    if named is None:
        if wanted is None or wanted.lower() == "auto" or not _is_wanted(wanted):
            return None
        named = env.get("BEARER_TOKEN_FILE")
        if not named:
            raise job_error(
                "No Scitokens filename specified. Expected either scitokens_file command or the "
                "BEARER_TOKEN_FILE environment variable to be set."
            )
    return posixpath.join(iwd, named)


def _is_wanted(text: str) -> bool:
    try:
        return evaluate_boolean("use_scitokens", text)
    except SubmitError:
        problem = "use_scitokens error. Value should be true, false, or auto."
        raise job_error(problem) from None


def _read_token(path: str, files: FileCache, now: float) -> Credential:
    try:
        data = files.read(path)
    except OSError as error:
        raise job_error(f"unable to read token file {path}: {error.strerror}") from None
    expires = _read_expiry(data)
    if expires is not None and expires <= now:
        raise submit_error(f"the token in {path} has expired; get a new one")
    return Credential(
        posixpath.basename(path), data, "BEARER_TOKEN_FILE", (("ScitokensFile", quote(path)),)
    )


def _read_expiry(token: bytes) -> float | None:
    """Return the ``exp`` of a JSON web token (RFC 7519); None for any other text."""
    parts = token.strip().split(b".")
    if len(parts) != 3:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + b"=" * (-len(parts[1]) % 4)))
    except (ValueError, binascii.Error, RecursionError):
        return None
    expires = claims.get("exp") if isinstance(claims, dict) else None
    if not isinstance(expires, (int, float)) or abs(expires) >= _NEVER:
        return None
    return float(expires)
