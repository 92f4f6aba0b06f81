"""A credential for the demo's agents: real X.509, but self-signed.

It has the form of a Grid proxy file (certificate and private key in PEM, mode 0600), so that it is
handled like one.
"""

from __future__ import annotations

import os
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

#: The subject's common name, which says what the file is.
COMMON_NAME = "Plancton demo credential, trusted by nobody"
#: A day: longer than any commissioning run.
LIFETIME = timedelta(hours=24)


def make_demo_credential(now: datetime) -> bytes:
    """Make a certificate, valid from ``now`` (with a time zone), and its key; returns PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Plancton"),
            x509.NameAttribute(NameOID.COMMON_NAME, COMMON_NAME),
        ]
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        # A node whose clock is a few minutes behind must not refuse it.
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + LIFETIME)
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM) + key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )


def write_proxy(path: Path, pem: bytes) -> None:
    """Write the file; it is readable only by its owner from the beginning."""
    path.unlink(missing_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(pem)
