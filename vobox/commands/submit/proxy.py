"""Read the X.509 proxy that travels with a job."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass

from cryptography import x509
from cryptography.x509.oid import NameOID

from .errors import job_error
from .expressions import evaluate_boolean
from .input_files import FileCache
from .job_commands import Commands

_UNREADABLE = "unable to read proxy file"
_BEGIN, _END = b"-----BEGIN CERTIFICATE-----", b"-----END CERTIFICATE-----"
#: RFC 4514 leaves e-mail addresses as numbers; Grid subjects write them out.
_SHORT = {NameOID.EMAIL_ADDRESS: "emailAddress", NameOID.USER_ID: "UID"}
#: Grid proxies in their three generations end the subject with one of these or a number.
_PROXY_NAMES = ("proxy", "limited proxy")


@dataclass(frozen=True)
class Proxy:
    """A proxy that is valid."""

    path: str  #: absolute, on the submit host
    data: bytes
    subject: str  #: of the person that the proxy stands for: /C=CH/O=.../CN=...
    expires: int  #: epoch seconds; of the chain's first certificate to expire


def read_proxy(
    commands: Commands,
    iwd: str,
    env: Mapping[str, str],
    uid: int,
    files: FileCache,
    now: float,
) -> Proxy | None:
    """Read the proxy that the description asks for; None if it asks for none.

    :param iwd: the job's directory on the submit host, where relative paths begin
    :param env: the submitter's environment, ``uid`` his number
    :param now: epoch seconds
    :raises SubmitError: if it cannot be read or has expired
    """
    wanted = commands.get("use_x509userproxy")
    named = commands.get("x509userproxy")
    if named is None:
        if wanted is None or not evaluate_boolean("use_x509userproxy", wanted):
            return None
        named = env.get("X509_USER_PROXY") or f"/tmp/x509up_u{uid}"  # noqa: S108 - the Grid's place
    path = posixpath.join(iwd, named)
    try:
        data = files.read(path)
    except OSError:
        raise job_error(_UNREADABLE) from None
    certificates = _parse_certificates(data)
    if not certificates:
        raise job_error(_UNREADABLE)
    expires = min(int(entry.not_valid_after_utc.timestamp()) for entry in certificates)
    if expires <= now:
        raise job_error("proxy has expired")
    return Proxy(path, data, _find_subject(certificates), expires)


def _parse_certificates(data: bytes) -> list[x509.Certificate]:
    """Return the chain in the file, the proxy first; [] if one cannot be read."""
    found, position = [], 0
    while (start := data.find(_BEGIN, position)) >= 0:
        end = data.find(_END, start)
        if end < 0:
            return []
        position = end + len(_END)
        try:
            found.append(x509.load_pem_x509_certificate(data[start:position]))
        except ValueError:
            return []
    return found


def _find_subject(certificates: list[x509.Certificate]) -> str:
    """Return the first subject of the chain that is not a proxy's own."""
    for certificate in certificates:
        if not _is_proxy(certificate):
            return _format_subject(certificate.subject)
    return _format_subject(certificates[-1].issuer)


def _is_proxy(certificate: x509.Certificate) -> bool:
    subject, issuer = list(certificate.subject), list(certificate.issuer)
    if len(subject) != len(issuer) + 1 or subject[:-1] != issuer:
        return False
    last = str(subject[-1].value)
    return subject[-1].oid == NameOID.COMMON_NAME and (last in _PROXY_NAMES or last.isdigit())


def _format_subject(name: x509.Name) -> str:
    return "".join(
        f"/{_SHORT.get(part.oid, part.rfc4514_attribute_name)}={part.value!s}" for part in name
    )
