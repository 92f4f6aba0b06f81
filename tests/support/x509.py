"""Makes certificates, keys and proxies for tests."""

from datetime import timedelta
from pathlib import Path

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.support.services.certificates import Key, private, start_certificate


def new_key() -> Key:
    return ec.generate_private_key(ec.SECP256R1())


def certificate(key: Key, hours: float, age: float = 1.0) -> bytes:
    """PEM of a certificate that began ``age`` hours ago and ends in ``hours``."""
    valid = timedelta(hours=age), timedelta(hours=hours)
    made = start_certificate("a test", "a test", key, *valid).sign(key, hashes.SHA256())
    return made.public_bytes(serialization.Encoding.PEM)


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
