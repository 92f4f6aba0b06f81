"""Makes certificates, keys and proxies for tests."""

from datetime import datetime, timedelta, timezone
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

Key = ec.EllipticCurvePrivateKey


def new_key() -> Key:
    return ec.generate_private_key(ec.SECP256R1())


def certificate(key: Key, hours: float, age: float = 1.0) -> bytes:
    """PEM of a certificate that began ``age`` hours ago and ends in ``hours``."""
    now = datetime.now(timezone.utc)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a test")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=age))
        .not_valid_after(now + timedelta(hours=hours))
        .sign(key, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM)


def private(key: Key, password: bytes | None = None) -> bytes:
    """PEM of the key, encrypted where there is a password."""
    encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if password is not None:
        encryption = serialization.BestAvailableEncryption(password)
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
    )


def proxy(path: Path, hours: float = 24.0, age: float = 1.0, chain: float = 1000.0) -> Path:
    """Return a proxy file; its issuer's certificate ends in ``chain`` hours."""
    key = new_key()
    write_file(path, certificate(key, hours, age) + private(key) + certificate(new_key(), chain))
    return path


def write_file(path: Path, content: bytes, mode: int = 0o600) -> Path:
    """Replace a file by one with this mode, and return its path."""
    path.unlink(missing_ok=True)
    path.touch(0o600)
    path.write_bytes(content)
    path.chmod(mode)
    return path
