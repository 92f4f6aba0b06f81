"""Translates RabbitMQ's reply codes and texts to one-line errors that an admin can act on."""

from __future__ import annotations

import re
from typing import Final

from thyme.errors import BrokerError, BrokerRefused, BrokerUnreachable

from .url import BrokerAddress

#: Reply codes of AMQP 0-9-1 after which another attempt may succeed.
_PASSING: Final = frozenset({320, 506, 541})
_GONE: Final = 404
_BY_NAME: Final = re.compile(r"(exchange|queue) '([^']*)' in vhost")
_NOT_FOUND: Final = re.compile(r"no (exchange|queue) '([^']*)'")
_ARGUMENT: Final = re.compile(
    r"inequivalent arg '([^']+)' for (exchange|queue) '([^']*)'.*?: "
    r"received (.*) but current is (.*)"
)
_VALUE: Final = re.compile(r"'([^']*)'")


def make_refused(address: BrokerAddress, text: str) -> BrokerRefused:
    """Return the error of a broker that answered no."""
    return BrokerRefused(f"broker {address}: {text}")


def make_unreachable(address: BrokerAddress, text: str) -> BrokerUnreachable:
    """Return the error of a broker that does not answer."""
    return BrokerUnreachable(f"broker {address}: {text}")


def make_login_refused(address: BrokerAddress, text: str) -> BrokerError:
    """Return the error for a refused login; it never holds the password."""
    if address.by_certificate:
        return make_refused(
            address,
            "it does not know our client certificate: enable its plugin "
            "rabbitmq_auth_mechanism_ssl and add its common name as a user, or give USER:PASSWORD",
        )
    hint = "check the password in the URL, and that the user exists"
    if address.user == "guest":
        hint += "; RabbitMQ lets 'guest' in from its own machine only"
    return make_refused(
        address, f"it does not let user {address.user!r} in: {hint} (it said: {text})"
    )


def translate_close(address: BrokerAddress, code: int, text: str) -> BrokerError:
    """Return the error for which the broker closed a channel or the connection.

    ``code`` and ``text``: AMQP's reply code and text.
    """
    if code in _PASSING:
        return make_unreachable(address, f"it ended the connection: {text}")
    if code == _GONE and "inaccessible" in text:
        return make_unreachable(address, f"a queue's node is not there: {text}")
    if code == 530 and "vhost" in text:
        return make_refused(address, _explain_vhost(address, text))
    if found := _ARGUMENT.search(text):
        argument, kind, name, ours, theirs = found.groups()
        return make_refused(
            address,
            f"{kind} {name!r} exists with another {argument}: {_quote_value(theirs)} instead of "
            f"{_quote_value(ours)}; delete it when it is empty, or use another vhost",
        )
    if code == 403 and "access to" in text:
        what = _BY_NAME.search(text)
        name = f"{what[1]} {what[2]!r}" if what else "that"
        return make_refused(
            address,
            f"user {address.user!r} has no permission for {name} in vhost {address.vhost!r}; see "
            f"thyme-admin roles (it said: {text})",
        )
    if code == _GONE and (missing := _NOT_FOUND.search(text)):
        return make_refused(
            address,
            f"there is no {missing[1]} {missing[2]!r} in vhost {address.vhost!r}: the schedd makes "
            "it when it starts, or thyme-admin topology",
        )
    if code == 405:
        what = _BY_NAME.search(text)
        name = what[2] if what else text
        return make_refused(address, f"another living process already answers as {name!r}")
    if code == 406 and "message size" in text:
        return make_refused(address, f"the message is larger than it takes (it said: {text})")
    return make_refused(address, f"it said {code} {text}")


def _explain_vhost(address: BrokerAddress, text: str) -> str:
    if "not found" in text:
        return f"it has no vhost {address.vhost!r}: rabbitmqctl add_vhost makes one"
    if "refused" in text:
        return (
            f"user {address.user!r} may not use vhost {address.vhost!r}: "
            "rabbitmqctl set_permissions gives permissions"
        )
    return f"vhost {address.vhost!r}: {text}"


def _quote_value(text: str) -> str:
    found = _VALUE.search(text)
    return repr(found[1]) if found else text


def is_missing(code: int, text: str) -> bool:
    """Return whether there is no such queue or exchange; one whose node is away is there.

    ``code`` and ``text`` are those with which it closed the channel.
    """
    return code == _GONE and bool(_NOT_FOUND.search(text))


def parse_other_argument(text: str) -> tuple[str, str, str] | None:
    """Parse the text of a 406: an argument in which a queue differs, its type, and its value.

    None where the text is about something else.
    """
    found = _ARGUMENT.search(text)
    if not found:
        return None
    argument, theirs = found[1], found[5]
    kind = re.search(r"of type '([a-z]+)'", theirs)
    value = _VALUE.search(theirs)
    if "none" in theirs.split() or not kind or not value:
        return argument, "", ""
    return argument, kind[1], value[1]
