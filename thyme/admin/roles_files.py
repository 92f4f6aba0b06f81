"""Writes the files of ``thyme-admin roles``: the broker's users, and a URL for each.

In the directory: ``definitions.json`` for the broker, and one ``USER.url`` for
each user, to be named by THYME_URL_FILE. All are readable by their owner
alone. Running it again keeps every password whose file is there; to change
one, remove its file and run it again.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from thyme.broker import check_url
from thyme.broker.lanes import Bounds, get_pool, list_queues
from thyme.broker.users import DEFAULT_POOL

from .broker_location import BrokerLocation, read_password
from .definitions import build_definitions, list_pools, remove_hashes
from .errors import FilesUnusable, NotDone
from .passwords import generate_password
from .roles import list_roles

DEFINITIONS = "definitions.json"
_AGAIN = "--force writes it again, with the passwords that are there"

#: Only the definitions know which pools and lanes there are.
_ANEW = "remove it, and name all --pool and --lanes again; passwords are kept"


@dataclass(frozen=True)
class FileChange:
    """A file and what was done with it: ``made``, ``kept`` or ``changed``."""

    path: Path
    what: str


def write_roles(
    directory: Path,
    asked: Mapping[str, Any],
    pools: Sequence[str],
    force: bool,
    lanes: Bounds = (),
) -> list[FileChange]:
    """Write what is missing or differs in ``directory``, and return each file.

    ``asked``: fields of BrokerLocation, by name; ``pools``: further pools; ``force``: rewrite
    files that differ; ``lanes``: of all pools, beside those that are there. Raises BadInvocation,
    FilesUnusable, or NotDone where a file would change without ``force``.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise FilesUnusable(f"{directory}: cannot be made: {error.strerror}") from error
    target = directory / DEFINITIONS
    before = _read_definitions(target)
    given = [*list_pools(before), *pools] or [DEFAULT_POOL]
    lane_queues = [each for one in given for each in list_queues(get_pool(one), lanes)]
    known = list(dict.fromkeys([*given, *lane_queues]))
    location = replace(_read_location(directory, known), **asked)
    check_url(location.make_url("user", "password"))  # nothing is written that nobody could use
    passwords, plans = {}, []
    for role in list_roles(known):
        path = directory / f"{role.user}.url"
        old = _read(path)
        passwords[role.user] = read_password(old, role.user, path) if old else generate_password()
        new = location.make_url(role.user, passwords[role.user]) + "\n"
        if old and old != new and not force:
            raise NotDone(
                f"{path} would change: it names another place or has other options; {_AGAIN}"
            )
        plans.append((path, old, new))
    if before and not force:
        _check_ours(target, before, passwords)
    plans.append(
        (
            target,
            _read(target),
            _format_json(build_definitions(known, passwords, location.vhost, before)),
        )
    )
    # the definitions come last: a password that the broker has is never without its file
    return [_write(*plan) for plan in plans]


def _read_location(directory: Path, pools: Sequence[str]) -> BrokerLocation:
    """Return the location in the present files, so that it need not be given again."""
    for role in list_roles(pools):
        if old := _read(directory / f"{role.user}.url"):
            return BrokerLocation.parse(old, directory / f"{role.user}.url")
    return BrokerLocation()


def _check_ours(path: Path, before: Mapping[str, Any], passwords: Mapping[str, str]) -> None:
    vhosts = [each.get("name") for each in before.get("vhosts", [])]
    users = {each.get("name") for each in before.get("users", [])}
    expected = build_definitions(
        list_pools(before), {**dict.fromkeys(users, ""), **passwords}, (vhosts or ["/"])[0], before
    )
    if remove_hashes(before) != remove_hashes(expected):
        raise NotDone(f"{path} was changed by hand, or made by another version; {_AGAIN}")


def _format_json(content: Mapping[str, Any]) -> str:
    return json.dumps(content, indent=2) + "\n"


def _read(path: Path) -> str:
    """Return a file's content, "" where there is none."""
    try:
        return path.read_text()
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or error
        raise FilesUnusable(f"{path}: cannot be read: {why}") from error


def _read_definitions(path: Path) -> dict[str, Any]:
    text = _read(path)
    try:
        content = json.loads(text or "{}")
    except (ValueError, RecursionError) as error:
        raise FilesUnusable(f"{path}: not JSON: {error}; {_ANEW}") from error
    lists = ("users", "vhosts", "queues")
    if not isinstance(content, dict) or not all(
        isinstance(content.get(name, []), list)
        and all(isinstance(each, dict) for each in content.get(name, []))
        for name in lists
    ):
        raise FilesUnusable(f"{path}: not RabbitMQ's definitions; {_ANEW}")
    return content


def _write(path: Path, old: str, new: str) -> FileChange:
    """Write a file whole or not at all; at no time readable by others.

    A file that others can read is replaced, too: its content must be no more theirs than that of
    a new one.
    """
    if old == new and not path.stat().st_mode & 0o077:
        return FileChange(path, "kept")
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with contextlib.suppress(FileNotFoundError):
            fresh.unlink()
        with open(os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
            file.write(new)
            file.flush()
            os.fsync(file.fileno())
        fresh.rename(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            fresh.unlink()
        raise FilesUnusable(f"{path}: cannot be written: {error.strerror}") from error
    return FileChange(path, "changed" if old else "made")
