"""What the command lines of thyme-worker and thyme-schedd have in common."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NoReturn

from .errors import BadInvocation
from .transport import check_url


class Parser(argparse.ArgumentParser):
    """Raises BadInvocation where argparse would print its usage and exit."""

    def error(self, message: str) -> NoReturn:
        raise BadInvocation(f"{message}; see {self.prog} --help")


def number_of(what: str, least: int) -> Callable[[str], int]:
    """An argument type: a whole number from ``least``; ``what`` is named where it is none."""

    def read(text: str) -> int:
        value = int(text)
        if value < least:
            raise ValueError
        return value

    read.__name__ = f"number of {what}" + (f" from {least}" if least else "")
    return read


def number_of_seconds(text: str) -> float:
    """An argument type: seconds from 0, fractions allowed."""
    value = float(text)
    if not 0 <= value < 1e9:
        raise ValueError
    return value


number_of_seconds.__name__ = "number of seconds"


def broker_url(option: str | None, env: Mapping[str, str]) -> str:
    """The broker's URL from the option, THYME_URL_FILE or THYME_URL; raises BadInvocation."""
    if option:
        return check_url(option)
    if file := env.get("THYME_URL_FILE"):
        try:
            content = Path(file).read_text().strip()
        except (OSError, UnicodeError) as error:
            raise BadInvocation(f"THYME_URL_FILE: cannot read {file}: {error}") from error
        if not content:
            raise BadInvocation(f"THYME_URL_FILE: {file} is empty")
        return check_url(content)
    if url := env.get("THYME_URL"):
        return check_url(url)
    raise BadInvocation("no broker named: use --url, THYME_URL_FILE or THYME_URL")
