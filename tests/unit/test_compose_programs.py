"""What stands around docker-compose.yml: settings, secrets, certificates, Plancton's start."""

from __future__ import annotations

import json
import re
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from cryptography import x509

import plancton
from compose import make_certificates, make_secrets, settings, start_plancton
from compose.errors import CannotDo, hint
from compose.health import FAILED, WAITING, WELL, state_of, unwell

ROOT = Path(__file__).parents[2]
#: Services that end before the others begin.
FIRST = ("worker", "secrets")
EXAMPLE = (ROOT / ".env.example").read_text()
#: Who may write to InfluxDB.
WRITERS = ("plancton", "schedd")
COMPOSE = [path.read_text() for path in sorted(ROOT.glob("docker-compose*.yml"))]


# --- the compose files ------------------------------------------------------------------------


def test_every_variable_of_the_compose_files_is_explained_in_the_example() -> None:
    used = set(re.findall(r"\$\{(\w+)\}", "".join(COMPOSE)))
    known = set(settings.parse(EXAMPLE))

    assert used <= known
    by_compose = {"COMPOSE_FILE", "COMPOSE_PROFILES", "IMAGES"}
    assert known - used == by_compose
    lines = EXAMPLE.splitlines()
    for number, line in enumerate(lines):
        # a comment, or a line of the same group above it
        if "=" in line and not line.startswith("#"):
            assert lines[number - 1], line


def test_our_images_have_this_versions_tag() -> None:
    for key, value in settings.parse(EXAMPLE).items():
        if key.endswith("_IMAGE") and value.startswith("plancton/") and key != "WORKER_IMAGE":
            assert value.rpartition(":")[2] == plancton.__version__, key
    assert settings.parse(EXAMPLE)["WORKER_TAG"] == plancton.__version__


def test_no_image_is_whatever_is_newest_and_no_password_is_in_a_file() -> None:
    for text in COMPOSE:
        for service in (yaml.safe_load(text).get("services") or {}).values():
            assert service.get("image", "${}").startswith("${")
    assert "latest" not in EXAMPLE
    assert not re.search(r"(?i)password[^:\n]*[:=] *[\w\"']", EXAMPLE)


def test_every_service_restarts_is_limited_and_checked() -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    running = {name: one for name, one in services.items() if name not in FIRST}

    for name in FIRST:
        # once, before the others
        assert services[name]["restart"] == "no"
        assert services[name]["mem_limit"], name
        assert services[name]["logging"]["options"]["max-size"], name
        assert services[name]["cap_drop"] == ["ALL"]
    for name, service in running.items():
        assert service["restart"] == "unless-stopped", name
        assert service["mem_limit"], name
        assert service["logging"]["options"]["max-size"], name
        assert "no-new-privileges:true" in service["security_opt"], name
        assert "healthcheck" in service or name == "influxdb", name


def test_pilots_share_a_network_with_the_broker_alone() -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]

    assert [name for name, one in services.items() if "pilots" in one.get("networks", ())] == [
        "rabbitmq"
    ]


def test_every_service_with_secrets_waits_until_they_are_made() -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    mounting = {
        name
        for name, service in services.items()
        if any(volume.startswith("./secrets/services/") for volume in service.get("volumes", ()))
    }

    assert mounting == set(make_secrets.SHARES)
    done = {"condition": "service_completed_successfully"}
    for name in mounting:
        waits = services[name]["depends_on"]
        # by itself, or behind one that does
        behind = [services[other].get("depends_on", {}) for other in waits]
        assert done in [one.get("secrets") for one in (waits, *behind)], name


# --- .env -------------------------------------------------------------------------------------


def test_the_first_time_env_is_made_with_the_nodes_name(tmp_path: Path) -> None:
    (tmp_path / ".env.example").write_text(EXAMPLE)

    read = settings.read(tmp_path, "farm7", {})

    assert read["NODE_NAME"] == "farm7"
    assert (tmp_path / ".env").read_text() == EXAMPLE.replace("NODE_NAME=node", "NODE_NAME=farm7")
    assert settings.read(tmp_path, "renamed", {})["NODE_NAME"] == "farm7"


def test_the_environment_wins_as_it_does_for_compose(tmp_path: Path) -> None:
    (tmp_path / ".env.example").write_text(EXAMPLE)

    assert settings.read(tmp_path, "n", {"SITE": "torino", "HOME": "/"})["SITE"] == "torino"


def test_an_env_of_an_older_version_is_refused_with_what_it_lacks(tmp_path: Path) -> None:
    (tmp_path / ".env.example").write_text("A=1\nNODE_NAME=n\nNEW=2\nOTHER=3\n")
    (tmp_path / ".env").write_text("A=5\n# NEW=2\nNODE_NAME=x\n")

    with pytest.raises(CannotDo, match=r"^\.env lacks NEW, OTHER: copy these lines from"):
        settings.read(tmp_path, "n", {})


def test_one_line_of_env_is_changed_and_no_other() -> None:
    text = "# TAG=0\nTAG=1\nMY_TAG=1\n"

    assert settings.changed(text, "TAG", r"\1.2") == "# TAG=0\nTAG=\\1.2\nMY_TAG=1\n"


# --- the secrets ------------------------------------------------------------------------------


def test_secrets_are_made_once_and_closed_to_others(tmp_path: Path) -> None:
    made = make_secrets.passwords(tmp_path)
    first = {path.name: path.read_text() for path in tmp_path.iterdir()}
    again = make_secrets.passwords(tmp_path)

    assert sorted(made) == sorted(make_secrets.PASSWORDS) == sorted(first)
    assert again == []
    assert len(set(first.values())) == len(first)
    for name, mode in make_secrets.PASSWORDS.items():
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == mode
        # what InfluxDB's entry point takes
        assert re.fullmatch(r"[\w-]{30,}\n", first[name])


def shared(directory: Path) -> dict[str, set[str]]:
    return {
        place.name: {path.name for path in place.iterdir()}
        for place in (directory / "services").iterdir()
    }


@pytest.fixture
def made(tmp_path: Path) -> Path:
    make_secrets.passwords(tmp_path)
    make_certificates.make(tmp_path, "site.example.org")
    for name in ("definitions.json", "vobox.url", "worker.url", "monitor.url"):
        (tmp_path / name).write_text(name)
    return tmp_path


def test_each_service_is_given_its_own_secrets_and_no_other(made: Path) -> None:
    make_secrets.share_out(made, make_secrets.SHARES, "worker.url", tls=False)

    assert shared(made) == {
        "rabbitmq": {"definitions.json"},
        "influxdb": {f"influxdb-{user}-password" for user in ("admin", *WRITERS, "grafana")},
        "grafana": {"grafana-admin-password", "influxdb-grafana-password"},
        "schedd": {"thyme-vobox-url", "influxdb-schedd-password"},
        "plancton": {"thyme-worker-url", "influxdb-plancton-password"},
    }
    for path in made.glob("services/*/*"):
        grafanas = path.parent.name == "grafana"
        assert stat.S_IMODE(path.stat().st_mode) & ~0o040 == 0o400, path
        assert bool(path.stat().st_mode & 0o040) <= ("grafana" in path.name), path
        assert not grafanas or path.stat().st_mode & 0o040, path


def test_with_tls_they_get_certificates_and_without_it_again_none(made: Path) -> None:
    make_secrets.share_out(made, make_secrets.SHARES, "worker.url", tls=True)

    given = shared(made)
    assert {"ca.pem", "server.pem", "server.key"} < given["rabbitmq"]
    assert {"server.pem", "server.key"} < given["influxdb"]
    assert "site-ca" in given["schedd"] & given["plancton"]
    assert not any("ca.key" in files for files in given.values())
    # the servers are not root
    for name, mode in {"server.pem": 0o444, "server.key": 0o400}.items():
        assert stat.S_IMODE((made / "services/influxdb" / name).stat().st_mode) == mode
    make_secrets.share_out(made, make_secrets.SHARES, "worker.url", tls=False)
    assert "server.key" not in shared(made)["rabbitmq"]


def test_a_changed_secret_reaches_its_service_and_nothing_else_is_written(made: Path) -> None:
    make_secrets.share_out(made, make_secrets.SHARES, "worker.url", tls=False)
    before = {path: path.stat().st_ino for path in made.glob("services/*/*")}
    (made / "worker-eight.url").write_text("another")

    make_secrets.share_out(made, make_secrets.SHARES, "worker-eight.url", tls=False)

    given = made / "services/plancton/thyme-worker-url"
    assert given.read_text() == "another"
    after = {path: path.stat().st_ino for path in made.glob("services/*/*")}
    assert {path for path in before if before[path] != after[path]} == {given}


def test_a_node_shares_out_what_was_copied_to_it_and_makes_nothing(tmp_path: Path) -> None:
    for name in ("worker.url", "ca.pem", "influxdb-plancton-password"):
        (tmp_path / name).write_text(name)
    config = {"TLS": "yes", "WORKER_URL": "worker.url"}

    assert make_secrets.make(tmp_path, config, ["--share-out", "plancton"]) == 0

    wanted = {"thyme-worker-url", "influxdb-plancton-password", "site-ca"}
    assert shared(tmp_path) == {"plancton": wanted}
    assert len(list(tmp_path.glob("*"))) == 4


def test_a_secret_that_nobody_brought_is_named(tmp_path: Path) -> None:
    config = {"TLS": "no", "WORKER_URL": "worker-eight.url"}

    with pytest.raises(CannotDo, match=r"^secrets/worker-eight\.url is missing, which plancton"):
        make_secrets.make(tmp_path, config, ["--share-out", "plancton"])


def test_certificates_are_made_once_and_name_the_host(tmp_path: Path) -> None:
    make_certificates.make(tmp_path, "site.example.org")
    first = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    make_certificates.make(tmp_path, "site.example.org")

    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == first
    assert sorted(first) == ["ca.key", "ca.pem", "server.key", "server.pem"]
    server = x509.load_pem_x509_certificate(first["server.pem"])
    server.verify_directly_issued_by(x509.load_pem_x509_certificate(first["ca.pem"]))
    names = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName)[0] == "site.example.org"
    for name in ("ca.key", "server.key"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o400


def test_a_new_certificate_is_signed_by_the_same_authority(tmp_path: Path) -> None:
    make_certificates.make(tmp_path, "old.example.org")
    authority = (tmp_path / "ca.pem").read_bytes()
    (tmp_path / "server.pem").unlink()

    make_certificates.make(tmp_path, "new.example.org")

    assert (tmp_path / "ca.pem").read_bytes() == authority


def test_an_authority_without_its_key_signs_nothing(tmp_path: Path) -> None:
    make_certificates.make(tmp_path, "a")
    (tmp_path / "ca.key").unlink()
    (tmp_path / "server.key").unlink()

    with pytest.raises(CannotDo, match=r"ca\.key is missing"):
        make_certificates.make(tmp_path, "a")


# --- Plancton's start -------------------------------------------------------------------------


def test_the_shipped_configuration_is_filled_from_what_compose_gives() -> None:
    service = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["plancton"]
    values = dict.fromkeys(service["environment"], "1")

    text = start_plancton.filled(
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
    with pytest.raises(start_plancton.CannotStart, match=says):
        start_plancton.filled(template, {})


def test_pilots_get_their_url_and_the_authority_and_no_other_secret(tmp_path: Path) -> None:
    secrets, pilots = tmp_path / "secrets", tmp_path / "pilots"
    secrets.mkdir()
    pilots.mkdir()
    for name in ("thyme-worker-url", "site-ca", "influxdb-plancton-password"):
        (secrets / name).write_text(name)

    start_plancton.lay_out(secrets, pilots)
    start_plancton.lay_out(secrets, pilots)

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
        (container("running", "healthy"), (WELL, "healthy")),
        (container("running"), (WELL, "running")),
        (container("running", "starting"), (WAITING, "starting")),
        (container("running", "unhealthy"), (FAILED, "unhealthy: line 1 line 2")),
        (container("created"), (WAITING, "created (exit code 0)")),
        (container("restarting", code=1), (WAITING, "restarting (exit code 1)")),
        (container("restarting", code=1, restarts=5), (FAILED, "restarting (exit code 1)")),
        (container("exited", code=137), (WAITING, "exited (exit code 137)")),
    ],
)
def test_what_docker_says_of_a_container_is_one_of_three_words(
    one: dict, state: tuple[str, str]
) -> None:
    assert state_of(one) == state
    assert unwell({"a": one}) == ({} if state[0] == WELL else {"a": state})


def test_what_docker_says_is_turned_into_what_to_do() -> None:
    assert "PILOT_SUBNET" in hint("Pool overlaps with other one on this address space")
    assert "group docker" in hint("dial unix /var/run/docker.sock: connect: permission denied")
    assert hint("never heard of") == ""


# --- the commands -----------------------------------------------------------------------------


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A copy of what the commands need, with a docker that a test writes on the PATH."""
    (tmp_path / "compose").mkdir()
    for path in (ROOT / "compose").glob("*.py"):
        (tmp_path / "compose" / path.name).write_text(path.read_text())
    (tmp_path / ".env.example").write_text(EXAMPLE)
    (tmp_path / "bin").mkdir()
    return tmp_path


def run(place: Path, *arguments: str, docker: str = "", **more: str) -> tuple[int, str]:
    """The exit code, and what it says on stderr."""
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


def test_a_docker_that_does_not_answer_is_told_with_what_to_do(place: Path) -> None:
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


def test_a_port_that_is_taken_is_told_before_anything_starts(place: Path) -> None:
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


#: A docker whose `compose up` fails, as the schedd is not well.
ILL = """
case "$1 $2" in
"compose up") echo "dependency failed to start: container p-schedd-1 is unhealthy" >&2; exit 1 ;;
"ps --all") echo 0123456789ab ;;
"inspect "*) cat containers.json ;;
"logs "*) echo "thyme-schedd: the broker is not there" ;;
esac
"""


def test_when_a_service_does_not_get_well_its_last_words_are_told(place: Path) -> None:
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


@pytest.mark.parametrize("tag", ["", "a b", "-x", "1:2"])
def test_a_tag_that_is_none_is_refused(place: Path, tag: str) -> None:
    code, said = run(place, "update-workers", "--", tag, docker="exit 0")

    assert code == 1
    assert said == f"site: {tag!r} is no tag: make update-workers TAG=1.2.3\n"


def test_local_images_that_are_missing_are_named(place: Path) -> None:
    code, said = run(place, "up", docker='[ "$1" != image ]', IMAGES="local")

    assert code == 1
    assert said == (
        f"site: there is no image plancton/plancton:{plancton.__version__} here, "
        "and .env says IMAGES=local\n"
    )
