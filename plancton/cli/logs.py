"""``planctonctl logs``: show what a pilot printed, also one of the last that ended."""

from __future__ import annotations

import argparse
import json
import sys

from plancton.engine.pilot_outputs import PilotOutputs
from plancton.engine.pilot_spec import NAME_PREFIX
from plancton.errors import EngineError, ExitCode, PlanctonError
from plancton.paths import Paths

from .document import open_last_engine, read_document


def logs(paths: Paths, arguments: argparse.Namespace) -> int:
    """Print the end of a pilot's output, or the names of the pilots whose output there is.

    As text, characters that are not printable are replaced; with --json they are escaped.
    """
    if arguments.pilot is None:
        return _print_names(paths, arguments.json)
    name = arguments.pilot
    if not name.startswith(NAME_PREFIX):
        name = NAME_PREFIX + name
    output, problem = _read(paths, name)
    if output is None:
        raise PlanctonError(
            f"{name}: {problem or 'no pilot of this name runs, and no output of it is kept'}; "
            "`planctonctl logs` lists those that there are"
        )
    text = output.decode("utf-8", "replace")
    if arguments.lines is not None:
        text = "".join(text.splitlines(keepends=True)[-arguments.lines :])
    if arguments.json:
        print(json.dumps({"pilot": name, "output": text}, indent=2))
    else:
        sys.stdout.write(_make_printable(text))
        sys.stdout.flush()
    return ExitCode.OK


def _make_printable(text: str) -> str:
    """Replace what is not printable: a job wrote it, and must not steer the reader's terminal."""
    return "".join(each if each.isprintable() or each in "\n\t" else "\ufffd" for each in text)


def _read(paths: Paths, name: str) -> tuple[bytes | None, str]:
    """Return a pilot's output, None where there is none; and why the engine could not tell."""
    problem = ""
    try:
        engine = open_last_engine(read_document(paths), paths)
        found = None if engine is None else engine.read_output(name)
        if found is not None:
            return found, ""
    except EngineError as error:
        problem = str(error)
    try:
        return PilotOutputs(paths.pilot_outputs).read(name), problem
    except OSError as error:
        raise PlanctonError(f"{paths.pilot_outputs}: cannot be read: {error.strerror}") from error


def _print_names(paths: Paths, as_json: bool) -> int:
    document = read_document(paths) or {}
    running = [one["name"] for one in document.get("pilots") or () if one["state"] != "exited"]
    try:
        kept = PilotOutputs(paths.pilot_outputs).list_names()
    except OSError as error:
        raise PlanctonError(f"{paths.pilot_outputs}: cannot be read: {error.strerror}") from error
    ended = [name for name in kept if name not in running]
    if as_json:
        print(json.dumps({"running": running, "ended": ended}, indent=2))
        return ExitCode.OK
    for name in ended:
        print(f"{name}  ended")
    for name in running:
        print(f"{name}  running")
    if not running and not ended:
        print(f"no pilot runs, and {paths.pilot_outputs} holds no output of ended ones")
    return ExitCode.OK
