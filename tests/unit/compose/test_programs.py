"""The programs around docker-compose.yml: Plancton's start, the checks and the commands."""

import json
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import plancton
from compose import settings, start_plancton
from compose.errors import find_hint
from compose.health import FAILED, HEALTHY, WAITING, find_unhealthy, read_health
from tests.support.services.rabbitmq import free_port

ROOT = Path(__file__).parents[3]


EXAMPLE = (ROOT / ".env.example").read_text()


def test_the_shipped_configuration_is_filled_from_what_compose_gives() -> None:
    service = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["plancton"]
    values = dict.fromkeys(service["environment"], "1")

    text = start_plancton.fill_template(
        (ROOT / "compose/plancton.yaml").read_text(), {**values, "PILOT_FILES": "/volumes/x"}
    )

    assert yaml.safe_load(text)["binds"] == ["/volumes/x:/run/secrets"]


@pytest.mark.parametrize(
    ("template", "says"),
    [
        ("a: ${NOT_SET}", "needs NOT_SET, which is not set"),
        ("a: 5 $", r"Invalid placeholder .*; write \$\$ for a lone \$"),
    ],
)
def test_a_configuration_that_cannot_be_filled_is_refused(template: str, says: str) -> None:
    with pytest.raises(start_plancton.StartFailed, match=says):
        start_plancton.fill_template(template, {})


def test_pilots_get_only_their_url_and_the_ca(tmp_path: Path) -> None:
    secrets, pilots = tmp_path / "secrets", tmp_path / "pilots"
    secrets.mkdir()
    pilots.mkdir()
    for name in ("thyme-worker-url", "site-ca", "influxdb-plancton-password"):
        (secrets / name).write_text(name)

    start_plancton.copy_pilot_files(secrets, pilots)
    start_plancton.copy_pilot_files(secrets, pilots)

    assert sorted(path.name for path in pilots.iterdir()) == ["site-ca", "thyme-worker-url"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in pilots.iterdir()} == {0o400}
    assert stat.S_IMODE(pilots.stat().st_mode) == 0o700


# --- is all well? -----------------------------------------------------------------------------


def container(status: str, health: str = "", code: int = 0, restarts: int = 0) -> dict:
    state = {"Status": status, "ExitCode": code}
    if health:
        state["Health"] = {"Status": health, "Log": [{"Output": "line 1\nline 2\n"}]}
    policy = {"Name": "unless-stopped"}
    return {"State": state, "HostConfig": {"RestartPolicy": policy}, "RestartCount": restarts}


@pytest.mark.parametrize(
    ("one", "state"),
    [
        (container("running", "healthy"), (HEALTHY, "healthy")),
        (container("running"), (HEALTHY, "running")),
        (container("running", "starting"), (WAITING, "starting")),
        (container("running", "unhealthy"), (FAILED, "unhealthy: line 1 line 2")),
        (container("created"), (WAITING, "created (exit code 0)")),
        (container("restarting", code=1), (WAITING, "restarting (exit code 1)")),
        (container("restarting", code=1, restarts=5), (FAILED, "restarting (exit code 1)")),
        (container("exited", code=137), (WAITING, "exited (exit code 137)")),
    ],
)
def test_the_health_of_a_container_is_read_from_its_description(
    one: dict, state: tuple[str, str]
) -> None:
    assert read_health(one) == state
    assert find_unhealthy({"a": one}) == ({} if state[0] == HEALTHY else {"a": state})


def test_a_message_of_docker_gets_a_hint() -> None:
    assert "PILOT_SUBNET" in find_hint("Pool overlaps with other one on this address space")
    assert "group docker" in find_hint("dial unix /var/run/docker.sock: connect: permission denied")
    registry = 'Get "https://registry-1.docker.io/v2/": dial tcp: lookup registry-1.docker.io: no'
    resolve = 'failed to do request: Head "https://registry-1.docker.io/v2/library/debian": no'
    for message in (registry, resolve):
        assert find_hint(message).startswith("the registry cannot be reached")
    assert find_hint("never heard of") == ""


# --- the commands -----------------------------------------------------------------------------


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Copy what the commands need, with a docker on the PATH that a test writes."""
    (tmp_path / "compose").mkdir()
    for path in (ROOT / "compose").glob("*.py"):
        (tmp_path / "compose" / path.name).write_text(path.read_text())
    (tmp_path / ".env.example").write_text(EXAMPLE)
    (tmp_path / "bin").mkdir()
    return tmp_path


def run(place: Path, *arguments: str, docker: str = "", **more: str) -> tuple[int, str]:
    """Return the exit code, and what it says on stderr."""
    # that of .env may be another test's site's
    more = {"GRAFANA_LISTEN": f"127.0.0.1:{free_port()}", **more}
    if docker:
        (place / "bin" / "docker").write_text(f"#!/bin/sh\n{docker}\n")
        (place / "bin" / "docker").chmod(0o755)
    done = subprocess.run(
        [sys.executable, "-m", "compose.manage", *arguments],
        cwd=place,
        env={"PATH": str(place / "bin"), **more},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "Traceback" not in done.stderr
    return done.returncode, done.stderr


def test_without_docker_it_says_where_to_get_it(place: Path) -> None:
    assert run(place, "up") == (
        1,
        "site: there is no `docker`: install Docker (https://docs.docker.com/engine/)\n",
    )


def test_a_docker_that_does_not_answer_is_an_error_with_a_hint(place: Path) -> None:
    code, said = run(place, "up", docker="echo 'connect: permission denied' >&2; exit 1")

    assert code == 1
    assert said == (
        "site: Docker does not answer: you may not use Docker: be root, or a member of the group "
        "docker\n"
    )


def test_without_compose_it_says_what_to_install(place: Path) -> None:
    code, said = run(place, "up", docker="[ $1 = version ]")

    assert code == 1
    assert said.startswith("site: there is no compose: install docker-compose-plugin")


def test_a_port_in_use_is_reported_before_anything_starts(place: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        code, said = run(
            place,
            "up",
            docker="exit 0",
            COMPOSE_PROFILES="monitoring,demo-ce",
            GRAFANA_LISTEN=address,
        )

    assert code == 1
    assert said == (
        f"site: grafana cannot listen on {address} (Address already in use): "
        "set another GRAFANA_LISTEN in .env\n"
    )


def test_a_port_in_use_at_an_ipv6_address_is_reported_too(place: Path) -> None:
    with socket.socket(socket.AF_INET6) as taken:
        taken.bind(("::1", 0))
        taken.listen()
        address = f"[::1]:{taken.getsockname()[1]}"
        code, said = run(place, "up", docker="exit 0", GRAFANA_LISTEN=address)

    assert code == 1
    assert said == (
        f"site: grafana cannot listen on {address} (Address already in use): "
        "set another GRAFANA_LISTEN in .env\n"
    )


#: A docker whose `compose up` fails, as the schedd is not well.
ILL = """
case "$1 $2" in
"compose up") echo "dependency failed to start: container p-schedd-1 is unhealthy" >&2; exit 1 ;;
"ps --all") echo 0123456789ab ;;
"inspect "*) cat containers.json ;;
"logs "*) echo "thyme-schedd: the broker is not there" ;;
esac
"""


def test_the_last_log_lines_of_an_unhealthy_service_are_printed(place: Path) -> None:
    schedd = container("running", "unhealthy")
    labels = {"com.docker.compose.service": "schedd", "com.docker.compose.oneoff": "False"}
    # a pilot of an image that compose v2 built: no service of ours
    pilot, its = container("exited", code=6), {"com.docker.compose.service": "worker"}
    (place / "containers.json").write_text(
        json.dumps(
            [
                {**schedd, "Id": "0123456789ab", "Config": {"Labels": labels}},
                {**pilot, "Id": "ba9876543210", "Config": {"Labels": its}, "RestartCount": 9},
            ]
        )
    )

    code, said = run(place, "up", docker=ILL, IMAGES="local", PATH=f"{place}/bin:/usr/bin:/bin")

    assert code == 1
    assert said.splitlines() == [
        "site: not everything is healthy",
        "schedd: unhealthy: line 1 line 2",
        "    thyme-schedd: the broker is not there",
    ]


def test_rabbitmqs_own_image_is_pulled_where_ours_are_built(place: Path) -> None:
    image = settings.parse_env(EXAMPLE)["RABBITMQ_IMAGE"]
    # no image is here, and building or pulling any makes a note and works; then it goes no further
    docker = """
case "$1 $2" in
"image inspect") exit 1 ;;
"compose build" | "compose pull") echo "$2 $3" >> asked ;;
"compose run") echo "no secrets today" >&2; exit 1 ;;
esac
"""
    code, said = run(place, "up", docker=docker, IMAGES="build", COMPOSE_PROFILES="")

    assert image.startswith("docker.io/library/rabbitmq:")
    assert (place / "asked").read_text().splitlines() == [
        "build plancton", "build schedd", "build vobox", "build influxdb", "build worker",
        "pull rabbitmq",
    ]  # fmt: skip
    assert (code, said.endswith("no secrets today\n")) == (1, True)


@pytest.mark.parametrize("tag", ["", "a b", "-x", "1:2"])
def test_an_invalid_tag_is_refused(place: Path, tag: str) -> None:
    code, said = run(place, "update-workers", "--", tag, docker="exit 1")

    assert code == 1
    assert said == f"site: {tag!r} is no tag: make update-workers TAG=1.2.3\n"


def test_local_images_that_are_missing_are_named(place: Path) -> None:
    code, said = run(place, "up", docker='[ "$1" != image ]', IMAGES="local")

    assert code == 1
    assert said == (
        f"site: there is no image plancton/plancton:{plancton.__version__} here, "
        "and .env says IMAGES=local\n"
    )
