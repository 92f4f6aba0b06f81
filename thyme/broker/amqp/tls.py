"""TLS to the broker: the context that an address's options ask for, and what went wrong with it."""

from __future__ import annotations

import os
import ssl

from thyme.errors import BrokerError

from .errors import make_refused, make_unreachable
from .url import BrokerAddress, Tls


def make_context(address: BrokerAddress, tls: Tls) -> ssl.SSLContext:
    """Return the TLS context for ``address``; raises BrokerRefused for files of no use."""
    for option, file in (
        ("cafile", tls.cafile),
        ("certfile", tls.certfile),
        ("keyfile", tls.keyfile),
    ):
        if file:
            try:
                os.close(os.open(file, os.O_RDONLY | os.O_CLOEXEC))
            except OSError as error:
                raise make_refused(address, f"TLS: {option} {file}: {error.strerror}") from error
    try:
        context = ssl.create_default_context(cafile=tls.cafile or None)
    except ssl.SSLError as error:
        raise make_refused(
            address, f"TLS: cafile {tls.cafile}: no PEM certificate in it"
        ) from error
    if tls.certfile:
        try:
            # a password would be asked for on a terminal
            context.load_cert_chain(tls.certfile, tls.keyfile, password=b"")
        except (ssl.SSLError, ValueError) as error:
            raise make_refused(
                address,
                f"TLS: certfile {tls.certfile} and keyfile {tls.keyfile} are not a certificate "
                "and its key without a password, in PEM",
            ) from error
    return context


def translate_handshake_error(address: BrokerAddress, error: OSError) -> BrokerError:
    """Return the error to raise for a TLS handshake that ended with ``error``."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return make_refused(
            address,
            f"TLS: its certificate is not believed: {error.verify_message}; name the right "
            "authority with ?cafile=, or its name in the certificate with server_name=",
        )
    if isinstance(error, ssl.SSLEOFError) or not isinstance(error, ssl.SSLError):
        # a plain listener closes the connection on what it does not understand
        text = f"the connection ended within the TLS handshake: {error.strerror or error}"
        return make_unreachable(address, text)
    if "WRONG_VERSION_NUMBER" in str(error) or "RECORD_LAYER" in str(error):
        return make_refused(address, "it does not speak TLS on that port; use amqp://")
    return make_refused(address, f"TLS: {error.reason or error}")
