"""The commands about the job's environment: ``environment``, ``env`` and ``getenv``."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Mapping

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

_TRUE, _FALSE = ("true", "t", "yes", "y", "1"), ("false", "f", "no", "n", "0")


def record_environment(commands: Commands, ad: Ad, submitter: Mapping[str, str]) -> dict[str, str]:
    """Record the environment; return it as the job gets it. Raises SubmitError.

    Explicit settings win over imported ones.
    """
    old = commands.get("env")
    text = commands.get("environment")
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

    ``true``: all; else a list of names and patterns, ``!`` in front takes out.
    Condor's own (``_CONDOR_*``), shell functions and values with a line break never
    travel, as with HTCondor, nor does what is not UTF-8: ads cannot hold it.
    """
    word = selection.strip().lower()
    if not word or word in _FALSE:
        return {}
    patterns = [entry for entry in re.split(r"[,\s]+", selection) if entry]
    if word in _TRUE or _is_true(word):
        patterns = ["*"]
    wanted = [entry for entry in patterns if not entry.startswith("!")]
    unwanted = [entry[1:] for entry in patterns if entry.startswith("!")]
    return {
        name: value
        for name, value in submitter.items()
        if not name.lower().startswith("_condor_")
        if "\n" not in value and not value.startswith("()")
        if (name + value).isprintable() or _is_utf8(name + value)
        if any(fnmatch.fnmatchcase(name, pattern) for pattern in wanted or ["*"])
        if not any(fnmatch.fnmatchcase(name, pattern) for pattern in unwanted)
    }


def _is_true(word: str) -> bool:
    """Return whether the word is an expression of a value that is true: ``1.5``, ``1+1``."""
    try:
        return evaluate_boolean("getenv", word)
    except SubmitError:
        return False


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _environment_error(problem: str, text: str) -> Exception:
    return job_error(f"{problem}\nThe environment you specified was: '{text}'")
