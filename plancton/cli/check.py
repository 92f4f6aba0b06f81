"""``planctonctl validate``: check a configuration and show what it gives on this node."""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

from plancton import preflight
from plancton.config.computed_keys import max_docks
from plancton.config.model import Config, list_notes
from plancton.engine import pilot_spec
from plancton.errors import ConfigError, ExitCode
from plancton.model import HostFacts
from plancton.node.sensors import ProcSensors
from plancton.paths import Paths, hide_password, is_url
from plancton.policy import calendar_rule

from .wrapping import wrap_for_terminal


def validate(paths: Paths, arguments: argparse.Namespace) -> int:
    """Print what the configuration gives on this node; raises ConfigError."""
    if arguments.schema:
        print(json.dumps(schema(), indent=2))
        return ExitCode.OK
    where = arguments.file or paths.config_url or str(paths.config)
    facts = ProcSensors().read_facts()
    from_web = is_url(where) or bool(paths.config_url and not arguments.file)
    if from_web:
        config = _from_url(where, facts)
    else:
        config = preflight.load_config(Path(where), facts, may_be_pipe=bool(arguments.file))
    example = pilot_spec.make_spec(config, facts, pilot_spec.NAME_PREFIX + "example"[:6])
    shown = hide_password(where) if from_web else where
    window = ""
    if config.windows or config.stops:
        window = calendar_rule.find_phase(config, facts, time.time()).text
    if arguments.json:
        found = {
            "config": shown,
            "engine": config.engine,
            "max_docks": max_docks(config, facts),
            "ncpus": facts.ncpus,
            "command": example.command,
            "windows": window,
            "notes": list_notes(config),
        }
        print(json.dumps(found, indent=2))
        return ExitCode.OK
    print(f"{shown}: good")
    print(f"  engine     {config.engine}")
    print(f"  max_docks  {max_docks(config, facts)} on this node ({facts.ncpus} CPUs)")
    print(f"  command    {' '.join(example.command)}")
    if window:
        print(wrap_for_terminal(f"  windows    {window}", 13))
    for note in list_notes(config):
        print(wrap_for_terminal(f"  note       {note}", 13))
    return ExitCode.OK


def schema() -> dict[str, object]:
    """Return the configuration as JSON schema (draft 2020-12), for editors and other checkers."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Config.model_json_schema(),
        "title": "Plancton's config.yaml",
    }


def _from_url(url: str, facts: HostFacts) -> Config:
    from plancton.config.http import FetchFailed, fetch
    from plancton.config.remote import ConfigUrl

    try:
        page = fetch(url, "", verify=ConfigUrl.from_environment(url, os.environ).verify)
    except FetchFailed as error:
        raise ConfigError(f"{hide_password(url)}: cannot be fetched: {error}") from error
    if page is None:  # cannot be: nothing was named that could be unchanged
        raise ConfigError(f"{hide_password(url)}: the server sent nothing")
    return preflight.parse_config(page.text, hide_password(url), facts)
