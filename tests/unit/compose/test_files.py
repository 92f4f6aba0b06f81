"""docker-compose.yml and .env: documented, pinned, limited, checked, without passwords."""

import re
from pathlib import Path

import pytest
import yaml

import plancton
from compose import make_secrets, settings
from compose.errors import SetupFailed

ROOT = Path(__file__).parents[3]
#: Services that end before the others begin.
FIRST = ("worker", "secrets")
EXAMPLE = (ROOT / ".env.example").read_text()
COMPOSE = [path.read_text() for path in sorted(ROOT.glob("docker-compose*.yml"))]


# --- the compose files ------------------------------------------------------------------------


def test_every_variable_of_the_compose_files_is_explained_in_the_example() -> None:
    used = set(re.findall(r"\$\{(\w+)", "".join(COMPOSE)))
    known = set(settings.parse_env(EXAMPLE))

    assert used <= known
    by_compose = {"COMPOSE_FILE", "COMPOSE_PROFILES", "IMAGES"}
    assert known - used == by_compose
    lines = EXAMPLE.splitlines()
    for number, line in enumerate(lines):
        # a comment, or a line of the same group above it
        if "=" in line and not line.startswith("#"):
            assert lines[number - 1], line


def test_our_images_have_this_versions_tag() -> None:
    for key, value in settings.parse_env(EXAMPLE).items():
        if key.endswith("_IMAGE") and value.startswith("plancton/") and key != "WORKER_IMAGE":
            assert value.rpartition(":")[2] == plancton.__version__, key
    assert settings.parse_env(EXAMPLE)["WORKER_TAG"] == plancton.__version__


def test_pilots_run_the_system_of_alices_agents_by_default() -> None:
    known = settings.parse_env(EXAMPLE)
    dockerfile = (ROOT / "images/worker/Dockerfile").read_text()

    assert known["WORKER_IMAGE"] == "plancton/worker-cc7"
    assert f"\nARG BASE={known['WORKER_BASE']}\n" in dockerfile
    nodes = yaml.safe_load((ROOT / "ansible/inventory/occam/group_vars/nodes.yml").read_text())
    assert nodes["plancton_pilot_image"].endswith(":cc7")


def test_images_are_pinned_and_no_password_is_in_a_file() -> None:
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


def test_pilots_share_a_network_only_with_the_broker() -> None:
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


def test_grafana_trusts_the_sites_own_ca_where_influxdb_has_its_certificate() -> None:
    tls = yaml.safe_load((ROOT / "docker-compose.tls.yml").read_text())["services"]

    # a Go program reads this variable
    trusted = tls["grafana"]["environment"]["SSL_CERT_FILE"]
    assert trusted == f"/run/secrets/{make_secrets.TLS_SHARES['grafana']['ca.pem']}"


# --- .env -------------------------------------------------------------------------------------


def test_a_missing_env_is_made_with_the_nodes_name(tmp_path: Path) -> None:
    (tmp_path / ".env.example").write_text(EXAMPLE)

    read = settings.read_env(tmp_path, "farm7", {})

    assert read["NODE_NAME"] == "farm7"
    assert (tmp_path / ".env").read_text() == EXAMPLE.replace("NODE_NAME=node", "NODE_NAME=farm7")
    assert settings.read_env(tmp_path, "renamed", {})["NODE_NAME"] == "farm7"


def test_the_environment_overrides_env_as_in_compose(tmp_path: Path) -> None:
    (tmp_path / ".env.example").write_text(EXAMPLE)

    assert settings.read_env(tmp_path, "n", {"SITE": "torino", "HOME": "/"})["SITE"] == "torino"


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"COMPOSE_PROJECT_NAME": "My.Site"}, "write small letters, digits, - and _"),
        ({"SCHEDD_NAME": ""}, "write a host name"),
        ({"NODE_NAME": ""}, "write a host name"),
        ({"VOBOX_HOST": "vo box"}, "write a host name"),
        ({"IMAGES": "Build"}, "write build, pull or local"),
        ({"COMPOSE_PROFILES": "grafana"}, "write monitoring, demo-ce, both with a comma"),
        ({"COMPOSE_PROFILES": "monitoring, demo-ce"}, "write monitoring, demo-ce, both with a"),
        ({"TLS": "true"}, "write yes or no"),
        ({"GRAFANA_LISTEN": ""}, "write ADDRESS:PORT, as 127.0.0.1:3000 or [::1]:3000"),
        ({"GRAFANA_LISTEN": "localhost:3000"}, "write ADDRESS:PORT, as 127.0.0.1:3000 or"),
        ({"BROKER_LISTEN": "::1:5671"}, "write ADDRESS:PORT, as 127.0.0.1:3000 or [::1]:3000"),
        ({"INFLUXDB_LISTEN": "0.0.0.0:80860"}, "there are ports up to 65535 only"),
    ],
)
def test_a_value_that_compose_would_take_for_something_else_is_refused(
    tmp_path: Path, given: dict[str, str], says: str
) -> None:
    (tmp_path / ".env.example").write_text(EXAMPLE)
    [(key, value)] = given.items()

    with pytest.raises(SetupFailed, match=re.escape(f".env: {key}={value}: {says}")):
        settings.read_env(tmp_path, "n", given)


def test_a_compose_file_of_the_sites_own_may_have_profiles_of_its_own(tmp_path: Path) -> None:
    (tmp_path / ".env.example").write_text(EXAMPLE)
    given = {
        "COMPOSE_FILE": "docker-compose.yml:docker-compose.ours.yml",
        "COMPOSE_PROFILES": "monitoring,ours",
    }

    assert settings.read_env(tmp_path, "n", given)["COMPOSE_PROFILES"] == "monitoring,ours"


@pytest.mark.parametrize("address", ["[::1]:3000", "0.0.0.0:3000", "3000"])
def test_an_address_to_listen_on_may_be_ipv6_or_a_port_alone(tmp_path: Path, address: str) -> None:
    (tmp_path / ".env.example").write_text(EXAMPLE)

    assert settings.read_env(tmp_path, "n", {"GRAFANA_LISTEN": address})


def test_half_of_tls_is_refused(tmp_path: Path) -> None:
    (tmp_path / ".env.example").write_text(EXAMPLE)
    given = {"COMPOSE_FILE": "docker-compose.yml:docker-compose.tls.yml"}

    for key, value in (("TLS", "yes"), ("INFLUXDB_SCHEME", "https")):
        with pytest.raises(SetupFailed, match=f"docker-compose.tls.yml needs {key}={value}$"):
            settings.read_env(tmp_path, "n", given)
        given[key] = value
    assert settings.read_env(tmp_path, "n", given)["TLS"] == "yes"


def test_a_value_ends_where_compose_ends_it() -> None:
    # as docker-compose 1.29 fills these in
    text = "A=one # two\nB=\"x y\" # z\nC=a#b\nD='q # r'\nE=\n"
    assert settings.parse_env(text) == {"A": "one", "B": "x y", "C": "a#b", "D": "q # r", "E": ""}


def test_settings_in_another_encoding_are_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / ".env.example").write_text(EXAMPLE)
    (tmp_path / ".env").write_bytes(EXAMPLE.encode() + b"# caf\xe9\n")
    with pytest.raises(SetupFailed, match=r"^\.env: is not UTF-8"):
        settings.read_env(tmp_path, "n", {})


def test_an_env_of_an_older_version_is_refused_with_what_it_lacks(tmp_path: Path) -> None:
    (tmp_path / ".env.example").write_text("A=1\nNODE_NAME=n\nNEW=2\nOTHER=3\n")
    (tmp_path / ".env").write_text("A=5\n# NEW=2\nNODE_NAME=x\n")

    with pytest.raises(SetupFailed, match=r"^\.env lacks NEW, OTHER: copy these lines from"):
        settings.read_env(tmp_path, "n", {})


def test_only_one_line_of_env_is_changed() -> None:
    text = "# TAG=0\nTAG=1\nMY_TAG=1\n"

    assert settings.replace_value(text, "TAG", r"\1.2") == "# TAG=0\nTAG=\\1.2\nMY_TAG=1\n"
