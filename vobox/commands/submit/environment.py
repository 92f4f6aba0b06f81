"""The commands about the job's environment: ``environment``, ``env`` and ``getenv``."""

from __future__ import annotations

import fnmatch
import glob
import re
from collections.abc import Iterable, Mapping

from vobox.classad.ad import Ad, quote

from .arguments import check_one_syntax
from .errors import SubmitError, job_error
from .expressions import evaluate_boolean
from .job_commands import Commands
from .macros import fill_machine_defaults
from .quoting import (
    QuotingError,
    is_v2,
    join_environment,
    parse_environment_v1,
    parse_environment_v2,
    unwrap_v2,
)


def record_environment(commands: Commands, ad: Ad, submitter: Mapping[str, str]) -> dict[str, str]:
    """Record the environment; return it as the job gets it. Raises SubmitError.

    Explicit settings win over imported ones.
    """
    text = commands.get("environment")
    old = commands.get("env") if text else commands.get("environment", "env")
    v2_only = commands.get("environment2")
    check_one_syntax(commands, "environment", v2_only, text or old)
    if v2_only is not None and not is_v2(v2_only):
        raise _environment_error(
            "Expecting a double-quoted environment string (V2 format).", v2_only
        )
    obsolete = v2_only is None and old is not None and not is_v2(old)
    chosen = v2_only or text or old
    variables = import_variables(commands.get("getenv", "get_env") or "", submitter)
    if chosen is not None:
        try:
            explicit = (
                parse_environment_v2(unwrap_v2(chosen))
                if is_v2(chosen)
                else parse_environment_v1(chosen)
            )
        except QuotingError as error:
            raise _environment_error(str(error), chosen) from None
        variables.update(explicit)
    if obsolete:
        ad["Env"] = quote(";".join(f"{n}={v}" for n, v in sorted(variables.items())))
        ad["EnvDelim"] = '";"'
    else:
        ad["Environment"] = quote(join_environment(variables))
    return {
        name: fill_machine_defaults(f"environment: {name}", value, by_pilot=True)
        for name, value in variables.items()
    }


def import_variables(selection: str, submitter: Mapping[str, str]) -> dict[str, str]:
    """Return the submitter's variables that ``getenv`` asks for.

    ``true``: all; else a list of names and patterns in any case, ``!`` in front takes out.
    Condor's own (``_CONDOR_*``), shell functions and values with a line break never
    travel, as with HTCondor, nor does what is not UTF-8: ads cannot hold it.
    """
    entries = [entry for entry in re.split(r"[,;\s]+", selection) if entry]
    if not entries or (all_of_them := _find_truth(selection)) is False:
        return {}
    wanted = [entry for entry in entries if not entry.startswith("!")]
    unwanted = [entry[1:] for entry in entries if entry.startswith("!")]
    if all_of_them or not wanted:
        wanted = ["*"]
    return {
        name: value
        for name, value in submitter.items()
        if not name.lower().startswith("_condor_")
        if "\n" not in value and not value.startswith("()")
        if (name + value).isprintable() or _is_utf8(name + value)
        if _matches_any(name, wanted) and not _matches_any(name, unwanted)
    }


def _find_truth(text: str) -> bool | None:
    """Return the value of ``true``, ``0``, ``1 + 1``, ...; None for names (``yes`` is one)."""
    try:
        return evaluate_boolean("getenv", text.strip())
    except SubmitError:
        return None


def _matches_any(name: str, patterns: Iterable[str]) -> bool:
    """Return whether one of the patterns matches, in any case; only ``*`` is a wildcard."""
    return any(
        fnmatch.fnmatchcase(name.lower(), "*".join(map(glob.escape, pattern.lower().split("*"))))
        for pattern in patterns
    )


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _environment_error(problem: str, text: str) -> Exception:
    return job_error(f"{problem}\nThe environment you specified was: '{text}'")
