"""The job's environment: ``environment``, ``env`` and ``getenv``."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Mapping

from vobox.classad.ad import Ad, quote

from .errors import bad_job
from .job_commands import Commands
from .matching import filled
from .quoting import (
    QuotingError,
    environment_v1,
    environment_v2,
    is_v2,
    join_environment,
    unwrap_v2,
)

_TRUE, _FALSE = ("true", "t", "yes", "y", "1"), ("false", "f", "no", "n", "0")


def environment(commands: Commands, ad: Ad, submitter: Mapping[str, str]) -> dict[str, str]:
    """Record the environment and return it as the job gets it; raises Refusal.

    Explicit settings win over imported ones.
    """
    old = commands.get("env")
    text = commands.get("environment")
    v2_only = commands.get("environment2")
    if v2_only is not None and not is_v2(v2_only):
        raise _bad("Expecting a double-quoted environment string (V2 format).", v2_only)
    obsolete = old is not None and not is_v2(old)
    chosen = v2_only or text or old
    variables = imported(commands.get("getenv", "get_env") or "", submitter)
    if chosen is not None:
        try:
            explicit = (
                environment_v2(unwrap_v2(chosen)) if is_v2(chosen) else environment_v1(chosen)
            )
        except QuotingError as error:
            raise _bad(str(error), chosen) from None
        variables.update(explicit)
    if obsolete:
        ad["Env"] = quote(";".join(f"{n}={v}" for n, v in sorted(variables.items())))
        ad["EnvDelim"] = '";"'
    else:
        ad["Environment"] = quote(join_environment(variables))
    return {name: filled(f"environment: {name}", value) for name, value in variables.items()}


def imported(selection: str, submitter: Mapping[str, str]) -> dict[str, str]:
    """The submitter's variables that ``getenv`` asks for.

    ``true``: all; else a list of names and patterns, ``!`` in front takes out.
    Condor's own (``_CONDOR_*``) never travel, nor does what is not UTF-8: ads
    cannot hold it.
    """
    word = selection.strip().lower()
    if not word or word in _FALSE:
        return {}
    patterns = [entry for entry in re.split(r"[,\s]+", selection) if entry]
    if word in _TRUE:
        patterns = ["*"]
    wanted = [entry for entry in patterns if not entry.startswith("!")]
    unwanted = [entry[1:] for entry in patterns if entry.startswith("!")]
    return {
        name: value
        for name, value in submitter.items()
        if not name.lower().startswith("_condor_")
        if (name + value).isprintable() or _is_utf8(name + value)
        if any(fnmatch.fnmatchcase(name, pattern) for pattern in wanted or ["*"])
        if not any(fnmatch.fnmatchcase(name, pattern) for pattern in unwanted)
    }


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _bad(problem: str, text: str) -> Exception:
    return bad_job(f"{problem}\nThe environment you specified was: '{text}'")
