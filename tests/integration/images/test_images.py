"""Each image by itself: its user, health, end and contents."""

import io
import json
import re
import secrets
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import plancton
from tests.support.services.image_builds import BUILD_SECONDS, NAMES, ROOT, BuiltImages
from tests.support.services.image_container import LONG, BrokerContainer, ImageContainer
from tests.support.waiting import wait_until
from thyme.admin import cli

pytestmark = [pytest.mark.root, pytest.mark.timeout(BUILD_SECONDS)]
#: The workers differ in their bases alone, which are the same here.
OURS = ("worker-el9", "vobox", "plancton", "schedd")
#: What each image is built on here; the layers above it are ours.
BASES = {
    "worker-cc7": "debian", "worker-el9": "debian", "vobox": "debian", "plancton": "python",
    "schedd": "python", "influxdb": "influxdb",
}  # fmt: skip
#: A probe twice a second instead of every minute; nanoseconds, and 0 is the image's own value.
OFTEN = {"Interval": 500_000_000, "Retries": 2, "StartPeriod": 1_000_000}
INFLUX_USERS = ("admin", "plancton", "schedd", "grafana")
PYTHON = ("/opt/thyme/bin/python3", "-I")
COMPILERS = "cc c++ gcc g++ cpp clang make ld as gdb"
Make = Callable[..., ImageContainer]


@pytest.fixture
def make(built_images: BuiltImages) -> Iterator[Make]:
    made: list[ImageContainer] = []

    def run(image: str, *command: str, **options: Any) -> ImageContainer:
        made.append(ImageContainer(built_images, image, *command, **options))
        return made[-1]

    yield run
    for box in made:
        box.close()


def sleeping(make: Make, image: str) -> ImageContainer:
    """Return a container in which nothing of ours runs."""
    return make(image, entrypoint=["sleep", "600"])


# --- what is in them ------------------------------------------------------------------------


@pytest.mark.parametrize("image", NAMES)
def test_an_image_says_what_it_is(built_images: BuiltImages, image: str) -> None:
    client = built_images.engine.client

    labels = client.inspect_image(built_images.names[image])["Config"]["Labels"]

    client.close()
    told = {key.removeprefix("org.opencontainers.image."): text for key, text in labels.items()}
    assert told["title"] == f"plancton/{image.partition('-')[0]}"
    assert told["version"] == plancton.__version__
    assert told["licenses"] == "Apache-2.0"
    assert told["description"].endswith(".")
    assert told["base.name"] == f"plancton-offline/{BASES[image]}"
    assert re.fullmatch("[0-9a-f]{40}|unknown", told["revision"])


@pytest.mark.parametrize("image", OURS)
def test_an_image_has_this_version_and_neither_pip_nor_a_second_python(
    make: Make, image: str
) -> None:
    box = sleeping(make, image)

    version = box.got(
        "/opt/thyme/bin/python3", "-I", "-c", "import plancton as p; print(p.__version__)"
    )

    assert version.strip() == plancton.__version__
    assert box.run(*PYTHON, "-c", "import pip")[0] == 1
    commands = box.got("ls", "/opt/thyme/commands").split()
    assert commands
    assert not [name for name in commands if name.startswith(("python", "pip"))]


def test_a_workers_python_depends_only_on_the_distributions_libc(make: Make) -> None:
    box = sleeping(make, "worker-el9")

    said = box.got(
        *PYTHON, "-c",
        "import bz2, ctypes, lzma, sqlite3, ssl, uuid, zlib, pika\n"
        "ssl.create_default_context()\n"
        "print(*{line.split()[-1] for line in open('/proc/self/maps') if '.so' in line})",
    )  # fmt: skip

    mapped = said.split()
    assert any("/opt/thyme/python/own/libssl" in path for path in mapped)
    foreign = [path for path in mapped if not path.startswith("/opt/thyme/")]
    assert [
        path
        for path in foreign
        if not re.search(r"/(ld-linux|lib(c|m|dl|rt|pthread|util))[-.]", path)
    ] == []


@pytest.mark.parametrize("image", NAMES)
def test_an_image_has_no_compiler_and_no_program_with_more_rights_than_its_base(
    built_images: BuiltImages, make: Make, image: str
) -> None:
    box = sleeping(make, image)

    found = box.run("sh", "-c", f"command -v {COMPILERS}")[1]

    assert found == ""
    seen = look_through(built_images, image)
    assert seen.files
    assert seen.with_more_rights == ()


@pytest.mark.parametrize("image", NAMES)
def test_an_image_holds_no_secret(built_images: BuiltImages, image: str) -> None:
    """No private key, no URL with a password, nothing of the machine that built it."""
    client = built_images.engine.client
    told = (
        client.inspect_image(built_images.names[image]),
        client.history(built_images.names[image]),
    )
    client.close()

    assert look_through(built_images, image).with_secrets == ()
    text = json.dumps(told)
    assert not [line for line in authorities() if line in text]
    assert "BEGIN CERTIFICATE" not in text
    assert not re.search(r"://[^/\s:@]+:[^/\s@]+@", text)


def authorities() -> list[str]:
    """Lines of those that this machine trusts beyond the world's: the build knew them."""
    return [
        line
        for path in Path("/usr/local/share/ca-certificates").glob("*.crt")
        for line in path.read_text().splitlines()[1:3]
    ]


@dataclass(frozen=True)
class Looked:
    """How many files there are, and the names of those that should not be."""

    files: int
    with_more_rights: tuple[str, ...]
    with_secrets: tuple[str, ...]


#: It takes seconds, and two tests want to know.
_LOOKED: dict[str, Looked] = {}


def look_through(images: BuiltImages, image: str) -> Looked:
    if image not in _LOOKED:
        banned = [re.escape(line.encode()) for line in authorities()]
        banned += [rb"-----BEGIN [A-Z ]*PRIVATE KEY-----\n[A-Za-z0-9+/=]{40}"]
        banned += [re.escape(f"{ROOT}/".encode())]
        secret = re.compile(b"|".join(banned))
        files, rights, secrets_in = 0, [], []
        for file in files_of(images, image):
            files += 1
            if file.regular and file.mode & 0o6000:
                rights.append(file.name)
            if secret.search(file.content):
                secrets_in.append(file.name)
        _LOOKED[image] = Looked(files, tuple(rights), tuple(secrets_in))
    return _LOOKED[image]


class File:
    def __init__(self, name: str, mode: int, regular: bool, content: bytes) -> None:
        self.name, self.mode, self.regular, self.content = name, mode, regular, content


def files_of(images: BuiltImages, image: str) -> Iterator[File]:
    """Yield the files of the layers that are above the base."""
    client = images.engine.client
    try:
        base = client.inspect_image(f"plancton-offline/{BASES[image]}")["RootFS"]["Layers"]
        saved = b"".join(client.get_image(images.names[image]))
    finally:
        client.close()
    with tarfile.open(fileobj=io.BytesIO(saved)) as outer:
        manifest = outer.extractfile("manifest.json")
        assert manifest is not None
        layers = json.load(manifest)[0]["Layers"]
        assert len(layers) > len(base)
        for layer in layers[len(base) :]:
            inner = outer.extractfile(layer)
            assert inner is not None
            with tarfile.open(fileobj=inner) as tar:
                for one in tar:
                    content = tar.extractfile(one) if one.isreg() else None
                    yield File(one.name, one.mode, one.isreg(), content.read() if content else b"")


# --- how they run ---------------------------------------------------------------------------


def broker_files(place: Path) -> Path:
    roles = place / "broker"
    assert cli.main(["roles", "--dir", str(roles), "--host", "127.0.0.1"]) == 0
    return roles


@pytest.fixture
def broker(built_images: BuiltImages) -> Iterator[Callable[[Path], ImageContainer]]:
    made: list[ImageContainer] = []

    def run(roles: Path) -> ImageContainer:
        made.append(BrokerContainer(built_images, roles))
        return made[-1]

    yield run
    for box in made:
        box.close()


def test_rabbitmqs_own_image_runs_as_its_user_with_our_users_and_no_other(
    broker: Callable[[Path], ImageContainer], tmp_path: Path
) -> None:
    roles = broker_files(tmp_path)

    box = broker(roles)

    box.until_healthy()
    assert user_of(box, "beam") == "rabbitmq"
    users = box.got("rabbitmqctl", "-q", "list_users").split("\n")[1:]
    assert {line.split("\t")[0] for line in users if line} == {"vobox", "worker", "monitor"}
    # copies that no other user of the container can read
    copies = "stat -c '%a %U' /etc/rabbitmq/thyme /etc/rabbitmq/thyme/*"
    assert box.got("sh", "-c", copies).splitlines() == ["700 rabbitmq", "400 rabbitmq"]
    # the page of metrics that the image enables, and Erlang's ports, are closed to others
    sockets = [
        line.split() for line in box.got("cat", "/proc/net/tcp", "/proc/net/tcp6").splitlines()
    ]
    listening = {
        int(one[1].rpartition(":")[2], 16)
        for one in sockets
        if one[3:4] == ["0A"] and "0100007F" not in one[1]
    }
    assert listening == {5672}
    assert box.stop() == 0


def test_rabbitmqs_own_image_without_its_users_does_not_start(
    broker: Callable[[Path], ImageContainer], tmp_path: Path
) -> None:
    box = broker(tmp_path)

    assert box.ended() == 1
    assert "definitions.json is not there: write it with thyme-admin roles" in box.said()


def influx_secrets(place: Path) -> Path:
    place.mkdir()
    for user in INFLUX_USERS:
        file = place / f"influxdb-{user}-password"
        file.write_text(secrets.token_hex(12) + "\n")
        file.chmod(0o600)
    return place


def influx(
    box: ImageContainer, place: Path, user: str, query: str, database: str = "plancton"
) -> str:
    password = (place / f"influxdb-{user}-password").read_text().strip()
    login = ["-username", user, "-password", password, "-database", database]
    code, said = box.run("influx", *login, "-execute", query)
    return said if code == 0 else f"refused: {said}"


def test_influxdb_gives_each_user_what_it_needs_and_no_more(make: Make, tmp_path: Path) -> None:
    place = influx_secrets(tmp_path / "secrets")
    box = make("influxdb", binds=[f"{place}:/run/secrets:ro"], healthcheck=OFTEN)
    box.until_healthy()

    for user in ("plancton", "schedd"):
        assert influx(box, place, user, f"INSERT {user} value=1") == ""
        assert "not authorized" in influx(box, place, user, "SELECT * FROM plancton")
    assert "value" in influx(box, place, "grafana", "SELECT * FROM plancton")
    assert "not authorized" in influx(box, place, "grafana", "INSERT stray value=1")
    kept = influx(box, place, "admin", 'SHOW RETENTION POLICIES ON "plancton"')
    assert re.search(r"autogen +8736h0m0s +168h0m0s +1 +true", kept), "52 weeks"
    for user in ("plancton", "schedd", "grafana"):
        assert "refused" in influx(box, place, user, "CREATE DATABASE other")
        assert "refused" in influx(box, place, user, "SHOW USERS")
    assert "unable to parse authentication" in box.run("influx", "-execute", "SHOW USERS")[1]
    assert user_of(box, "influxd") == "influxdb"
    assert box.stop() == 0


def test_influxdb_takes_a_changed_password_at_its_next_start(make: Make, tmp_path: Path) -> None:
    place = influx_secrets(tmp_path / "secrets")
    data = tmp_path / "data"
    data.mkdir()
    binds = [f"{place}:/run/secrets:ro", f"{data}:/var/lib/influxdb"]
    first = make("influxdb", binds=binds, healthcheck=OFTEN)
    first.until_healthy()
    assert influx(first, place, "plancton", "INSERT kept value=1") == ""
    assert first.stop() == 0
    (place / "influxdb-grafana-password").write_text("another-one")

    second = make("influxdb", binds=binds, healthcheck=OFTEN)

    second.until_healthy()
    assert "value" in influx(second, place, "grafana", "SELECT * FROM kept")
    assert (data / ".users").stat().st_mode & 0o077 == 0
    for password in place.iterdir():
        assert password.read_text().strip() not in second.said()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (None, "influxdb-schedd-password is missing or empty"),
        ("", "influxdb-schedd-password is missing or empty"),
        ("it's", "influxdb-schedd-password: use letters, digits and ._~- only"),
    ],
)
def test_influxdb_says_which_secret_it_cannot_use(
    make: Make, tmp_path: Path, text: str | None, why: str
) -> None:
    place = influx_secrets(tmp_path / "secrets")
    file = place / "influxdb-schedd-password"
    file.unlink() if text is None else file.write_text(text)

    box = make("influxdb", binds=[f"{place}:/run/secrets:ro"])

    assert box.ended() == 1
    assert box.said() == f"plancton-influxdb: /run/secrets/{why}\n"


def test_plancton_is_healthy_with_the_socket_and_a_configuration(
    built_images: BuiltImages, make: Make, tmp_path: Path
) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("docker_image: localhost/none:1\nmax_docks: 0\n")
    box = make(
        "plancton", binds=[f"{built_images.engine.socket}:/var/run/docker.sock",
        f"{tmp_path}:/etc/plancton:ro"], healthcheck=OFTEN,
    )  # fmt: skip

    box.until_healthy()
    assert user_of(box, "planctonctl") == "root"
    # an empty directory is no daemon's: the probe itself can be ill
    code, said = box.run("planctonctl", "--rundir=/tmp/none", "health")
    assert code != 0, said
    assert box.stop() == 0


def test_a_worker_without_a_broker_says_so_and_ends(make: Make) -> None:
    box = make("worker-el9")

    assert box.ended() == 6
    assert box.said().startswith("thyme-worker: no broker named: use --url, THYME_URL_FILE")


def test_a_worker_as_the_first_process_handles_sigterm(make: Make) -> None:
    box = make("worker-el9", "thyme-worker", "--url=sqlite:////tmp/broker.db", "--timeout=600")
    # before it has started Python it is deaf: the kernel tells a first process nothing
    made = ("test", "-e", "/tmp/broker.db")
    wait_until(lambda: box.run(*made)[0] == 0, "its broker", timeout=LONG, state=box.shows)

    assert "thyme-worker" in box.got("cat", "/proc/1/cmdline")
    assert box.stop() == 143


def test_a_schedd_that_has_lost_its_broker_is_unhealthy(make: Make, tmp_path: Path) -> None:
    roles = broker_files(tmp_path)
    box = make(
        "schedd", environment={"THYME_URL_FILE": "/run/secrets/url"}, healthcheck=OFTEN,
        binds=[f"{roles}/vobox.url:/run/secrets/url:ro"],
    )  # fmt: skip

    box.until_unhealthy()
    # it is deaf until it serves: the kernel tells a first process nothing that it has not asked for
    wait_until(
        lambda: "ledger is still being made" in box.state["Health"]["Log"][-1]["Output"],
        "an answer of the schedd", timeout=LONG, state=box.shows,
    )  # fmt: skip
    assert box.stop() == 0


def test_a_vobox_without_a_schedd_is_unhealthy_and_then_gives_up(make: Make) -> None:
    box = make("vobox", environment={"SCHEDD_TIMEOUT": "30"}, healthcheck=OFTEN)

    box.until_unhealthy()
    wait_until(
        lambda: box.state["Health"]["Log"][-1]["Output"] == "waiting for the schedd\n",
        "its answer", timeout=LONG, state=box.shows,
    )  # fmt: skip
    assert box.ended() == 3
    assert "no thyme-schedd answers at /run/thyme/schedd.sock" in box.said()


def user_of(box: ImageContainer, program: str) -> str:
    """Whose the process is, by the container's own names."""
    uids = box.got(
        "sh", "-c", f"for p in /proc/[0-9]*; do grep -qs {program} $p/comm && "
        "awk '/^Uid:/ {print $2}' $p/status 2> /dev/null; done; true",
    )  # fmt: skip
    uid = uids.split()[0]
    return box.got("sh", "-c", f"getent passwd {uid} | cut -d: -f1").strip()
