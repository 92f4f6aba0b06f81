"""Make the CA of a site and a certificate for its servers, if they are missing.

To use your own certificates put ``ca.pem``, ``server.pem`` and ``server.key`` there: existing files
are not changed. ``ca.key`` is needed only to sign again: move it off the machine.
"""

from __future__ import annotations

import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from compose.atomic_files import write_file
from compose.errors import SetupFailed

#: Names of the services inside compose.
INSIDE = ("rabbitmq", "influxdb", "localhost")
CA_DAYS, SERVER_DAYS = 3650, 825


def to_x509_name(text: str) -> x509.Name:
    """Return an X.509 name with this common name."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def start_certificate(
    subject: str, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, days: int
) -> x509.CertificateBuilder:
    """Return a certificate's builder with names, key, a random serial number and validity.

    ``subject`` is the common name, ``issuer`` who signs it, ``key`` the subject's own and ``days``
    how long it is valid; it is valid from an hour ago.
    """
    now = datetime.datetime.now(datetime.timezone.utc)
    return (
        x509.CertificateBuilder()
        .subject_name(to_x509_name(subject))
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        # clocks differ
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=days))
    )


def key_usage(signs: bool) -> x509.KeyUsage:
    """Return the key usage of a certificate that signs others (a CA's), or of a server's."""
    return x509.KeyUsage(
        digital_signature=not signs,
        key_cert_sign=signs,
        crl_sign=signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def make_ca() -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    """Make the site's own certificate authority: its private key and its certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    text = "Plancton site CA"
    certificate = (
        start_certificate(text, to_x509_name(text), key, CA_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(key_usage(signs=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return key, certificate


def make_server_certificate(
    host: str, ca_key: ec.EllipticCurvePrivateKey, ca: x509.Certificate
) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    """Make a server's private key and its certificate, signed by the CA.

    It is valid for ``host`` and for the names of the services inside the site.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    names = [x509.DNSName(one) for one in dict.fromkeys((host, *INSIDE))]
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key())
    certificate = (
        start_certificate(host, ca.subject, key, SERVER_DAYS)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(key_usage(signs=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(issuer, critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    return key, certificate


def to_pem(thing: x509.Certificate | ec.EllipticCurvePrivateKey) -> bytes:
    """Return a certificate or an unencrypted private key as PEM."""
    if isinstance(thing, x509.Certificate):
        return thing.public_bytes(serialization.Encoding.PEM)
    return thing.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def make_missing(directory: Path, host: str) -> list[str]:
    """Make what is missing; returns the names of the new files.

    ``host``: the server's name. Raises SetupFailed, OSError, ValueError.
    """
    ca_path, ca_key_path = directory / "ca.pem", directory / "ca.key"
    pair = directory / "server.pem", directory / "server.key"
    if all(path.exists() for path in (ca_path, *pair)):
        return []
    made = []
    if not ca_path.exists():
        ca_key, ca = make_ca()
        write_file(ca_key_path, to_pem(ca_key), 0o400)
        write_file(ca_path, to_pem(ca), 0o444)
        made += [ca_key_path.name, ca_path.name]
    elif not ca_key_path.exists():
        raise SetupFailed(
            "secrets/ca.key is missing: bring it back, or remove ca.pem for a new one"
        )
    loaded = serialization.load_pem_private_key(ca_key_path.read_bytes(), None)
    if not isinstance(loaded, ec.EllipticCurvePrivateKey):
        raise SetupFailed("secrets/ca.key was not made here: sign server.pem with it yourself")
    key, certificate = make_server_certificate(
        host, loaded, x509.load_pem_x509_certificate(ca_path.read_bytes())
    )
    write_file(pair[1], to_pem(key), 0o400)
    write_file(pair[0], to_pem(certificate), 0o444)
    return [*made, pair[1].name, pair[0].name]
