"""Make the CA of a site and a certificate for its servers by ``openssl``, if they are missing.

To use your own certificates put ``ca.pem``, ``server.pem`` and ``server.key`` there: existing files
are not changed. ``ca.key`` is needed only to sign again: move it off the machine.
"""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from compose.atomic_files import write_file
from compose.errors import SetupFailed

#: Names of the services inside compose.
INSIDE = ("rabbitmq", "influxdb", "localhost")
CA_DAYS, SERVER_DAYS = 3650, 825
_CONFIG = """\
[req]
prompt = no
distinguished_name = name
x509_extensions = extensions
[name]
CN = {name}
[extensions]
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
{extensions}
"""
_OF_CA = """\
basicConstraints = critical, CA:TRUE, pathlen:0
keyUsage = critical, keyCertSign, cRLSign
"""
_OF_SERVER = """\
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectAltName = {names}
"""


def make_certificate(path: Path, name: str, extensions: str, days: int, *signer: str) -> list[str]:
    """Make a private key and its certificate, ``path`` with the endings .key and .pem.

    Args:
        path: without the ending.
        name: the subject's common name.
        extensions: lines of openssl's configuration.
        days: how long it is valid.
        signer: openssl's options that name the CA; without them it signs itself.

    Returns:
        The names of the two files.

    Raises:
        SetupFailed: openssl could not make it.
        OSError: there is no openssl, or the directory cannot be written.
    """
    with tempfile.TemporaryDirectory(dir=path.parent) as place:
        config, key, certificate = (Path(place, one) for one in ("config", "key", "certificate"))
        config.write_text(_CONFIG.format(name=name, extensions=extensions))
        command = [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
        ]
        command += ["-nodes", "-days", str(days), "-config", str(config), "-keyout", str(key)]
        command += ["-out", str(certificate), *signer]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SetupFailed(f"secrets/{path.name}.pem: openssl says: {done.stderr.strip()}")
        write_file(path.with_suffix(".key"), key.read_bytes(), 0o400)
        write_file(path.with_suffix(".pem"), certificate.read_bytes(), 0o444)
    return [f"{path.name}.key", f"{path.name}.pem"]


def make_missing(directory: Path, host: str) -> list[str]:
    """Make what is missing; returns the names of the new files.

    ``host``: the server's name. Raises SetupFailed, OSError.
    """
    ca, ca_key = directory / "ca.pem", directory / "ca.key"
    if all((directory / name).exists() for name in ("ca.pem", "server.pem", "server.key")):
        return []
    made = []
    if not ca.exists():
        made = make_certificate(directory / "ca", "Plancton site CA", _OF_CA, CA_DAYS)
    elif not ca_key.exists():
        raise SetupFailed(
            "secrets/ca.key is missing: bring it back, or remove ca.pem for a new one"
        )
    names = ", ".join(f"DNS:{one}" for one in dict.fromkeys((host, *INSIDE)))
    signer = ("-CA", str(ca), "-CAkey", str(ca_key))
    extensions = _OF_SERVER.format(names=names)
    return made + make_certificate(directory / "server", host, extensions, SERVER_DAYS, *signer)
