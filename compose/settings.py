"""The settings of a site: the file ``.env`` and its example."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from compose.atomic_files import write_file
from compose.errors import SetupFailed

_LINE = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=(.*)")
_HOST = (r"[A-Za-z0-9][\w.-]{0,62}", "write a host name")
_LISTEN = (
    r"((\[[0-9A-Fa-f:.]+\]|[0-9.]+):)?[0-9]{1,5}",
    "write ADDRESS:PORT, as 127.0.0.1:3000 or [::1]:3000",
)
_PROFILES = ("monitoring", "demo-ce")
_FILES = ("docker-compose.yml", "docker-compose.tls.yml", "docker-compose.node.yml")
#: What a value looks like where Docker or a service would take another one and not work with it,
#: or refuse it without naming it; and what to write.
_FORMS = {
    # docker-compose 1.29 leaves other characters out, and its containers are then not found
    "COMPOSE_PROJECT_NAME": (
        r"[a-z0-9][a-z0-9_-]*",
        "write small letters, digits, - and _",
    ),
    # an empty one is another name in each new container
    "NODE_NAME": _HOST,
    "VOBOX_HOST": _HOST,
    "SCHEDD_NAME": _HOST,
    "IMAGES": (r"build|pull|local", "write build, pull or local"),
    "TLS": (r"yes|no", "write yes or no"),
    "GRAFANA_LISTEN": _LISTEN,
    "BROKER_LISTEN": _LISTEN,
    "INFLUXDB_LISTEN": _LISTEN,
}


def parse_env(text: str) -> dict[str, str]:
    """Parse ``KEY=VALUE`` lines as compose does; all other lines are comments."""
    found = (_LINE.fullmatch(line.strip()) for line in text.splitlines())
    return {match[1]: _parse_value(match[2].strip()) for match in found if match}


def _parse_value(text: str) -> str:
    """Return a value without its quotes, or what is before a comment."""
    quoted = re.match(r"(['\"])(.*?)\1", text)
    return quoted[2] if quoted else re.split(r"\s+#", text, maxsplit=1)[0]


def replace_value(text: str, key: str, value: str) -> str:
    """Return ``text`` with the line of ``key`` changed to ``value``."""
    return re.sub(rf"(?m)^{key}=.*$", lambda _: f"{key}={value}", text)


def find_missing(text: str, example: str) -> list[str]:
    """Find the keys that the example has and ``text`` does not."""
    there = parse_env(text)
    return [key for key in parse_env(example) if key not in there]


def check_values(values: Mapping[str, str]) -> None:
    """Raise SetupFailed for a value of the wrong form, and for half of TLS."""
    for key, (form, advice) in _FORMS.items():
        if not re.fullmatch(form, values[key], re.ASCII):
            raise SetupFailed(f".env: {key}={values[key]}: {advice}")
    for key in (key for key, form in _FORMS.items() if form is _LISTEN):
        if int(values[key].rpartition(":")[2]) > 65535:
            raise SetupFailed(f".env: {key}={values[key]}: there are ports up to 65535 only")
    files, profiles = values["COMPOSE_FILE"].split(":"), values["COMPOSE_PROFILES"]
    # compose starts nothing for a profile that no service has, and says nothing; a file of the
    # site's own may have services with others
    if profiles and set(files) <= set(_FILES) and not set(profiles.split(",")) <= set(_PROFILES):
        raise SetupFailed(
            f".env: COMPOSE_PROFILES={profiles}: write monitoring, demo-ce, both with a comma "
            "between them, or nothing"
        )
    if "docker-compose.tls.yml" in files:
        for key, value in (("TLS", "yes"), ("INFLUXDB_SCHEME", "https")):
            if values[key] != value:
                raise SetupFailed(
                    f".env: {key}={values[key]}: docker-compose.tls.yml needs {key}={value}"
                )


def read_env(directory: Path, node: str, environment: Mapping[str, str]) -> dict[str, str]:
    """Read the settings; a missing ``.env`` is made from its example, with the name of the node.

    ``environment`` overrides the file, as it does for compose. Raises SetupFailed.
    """
    path, example = directory / ".env", (directory / ".env.example").read_text()
    if not path.exists():
        write_file(path, replace_value(example, "NODE_NAME", node).encode(), 0o644)
        print("made .env from .env.example")
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise SetupFailed(f".env: is not UTF-8 ({error.reason} at byte {error.start})") from None
    missing = find_missing(text, example)
    if missing:
        raise SetupFailed(f".env lacks {', '.join(missing)}: copy these lines from .env.example")
    known = {key: environment.get(key, value) for key, value in parse_env(text).items()}
    check_values(known)
    return known
