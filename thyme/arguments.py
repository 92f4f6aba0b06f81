"""Options that the command lines of thyme-worker, thyme-admin and thyme-schedd share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NoReturn
from urllib.parse import urlsplit

import commandline.parser
from commandline.units import parse_time

from .broker import check_url, make_amqp_url
from .errors import BadInvocation
from .privileges import remove_variable

#: characters of THYME_URL_FILE: hundreds of URLs, and a device such as /dev/zero has no end
_LONGEST_FILE = 65536


class Parser(commandline.parser.Parser):
    """Raises BadInvocation where argparse would print its usage and exit."""

    def refuse(self, message: str) -> NoReturn:
        """Raise BadInvocation instead of leaving the process."""
        raise BadInvocation(f"{message}; see {self.prog} --help")


def make_count_type(what: str, least: int) -> Callable[[str], int]:
    """Return an argparse type for a whole number from ``least``; ``what`` names it in errors."""

    def read(text: str) -> int:
        value = int(text)
        if value < least:
            raise ValueError
        return value

    read.__name__ = f"number of {what}" + (f" from {least}" if least else "")
    return read


def parse_seconds(text: str) -> float:
    """Parse seconds from 0, or a time with a unit (``12h``); an argparse type."""
    with_unit = parse_time(text)
    value = float(text) if with_unit is None else with_unit
    if not 0 <= value < 1e9:
        raise ValueError
    return value


parse_seconds.__name__ = "number of seconds"


def read_broker_url(option: str | None, env: Mapping[str, str]) -> str:
    """Return the broker's URL from the option, THYME_URL_FILE, THYME_URL or THYME_RABBITMQ.

    Raises BadInvocation. A file may hold several URLs, one a line.
    """
    if option:
        if _has_password(option):
            raise BadInvocation(
                "--url: a password on the command line is seen by everybody on this machine; put "
                "the URL into a file that only this user can read, and name that in THYME_URL_FILE"
            )
        return _check(option, "--url")
    if file := env.get("THYME_URL_FILE"):
        try:
            with Path(file).open(encoding="utf-8") as opened:
                content = opened.read(_LONGEST_FILE + 1)
        except UnicodeError as error:
            raise BadInvocation(f"THYME_URL_FILE: {file} is not UTF-8") from error
        except OSError as error:
            raise BadInvocation(f"THYME_URL_FILE: cannot read {file}: {error.strerror}") from error
        if len(content) > _LONGEST_FILE:
            raise BadInvocation(
                f"THYME_URL_FILE: {file} has more than {_LONGEST_FILE} characters; it is to hold "
                "the broker's URL alone"
            )
        # some editors begin a file with a byte order mark
        content = content.removeprefix("\ufeff").strip()
        if not content:
            raise BadInvocation(f"THYME_URL_FILE: {file} is empty")
        return _check(content, f"THYME_URL_FILE: {file}")
    if url := env.get("THYME_URL"):
        return _check(url, "THYME_URL")
    if place := env.get("THYME_RABBITMQ"):
        return make_amqp_url(place)
    raise BadInvocation("no broker named: use --url, THYME_URL_FILE, THYME_URL or THYME_RABBITMQ")


def _check(url: str, source: str) -> str:
    """Return ``url``; raises BadInvocation, which says where it comes from."""
    try:
        return check_url(url)
    except BadInvocation as error:
        raise BadInvocation(f"{source}: {error}") from error


def _has_password(url: str) -> bool:
    try:
        return any(urlsplit(each).password for each in url.split())
    except ValueError:
        return False  # no URL at all: reported when it is parsed


def hide_broker_urls() -> None:
    """Remove what names the broker from this process's environment, so that no job finds it."""
    for name in ("THYME_URL", "THYME_URL_FILE", "THYME_RABBITMQ"):
        remove_variable(name)
