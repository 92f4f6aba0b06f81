"""The images together: a broker, a schedd, a VO box that shares only its socket, a worker."""

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.services.image_builds import BUILD_SECONDS, BuiltImages
from tests.support.services.image_container import LONG, BrokerContainer, ImageContainer
from tests.support.waiting import wait_until
from thyme.admin import cli
from thyme.worker.users import FIRST_UID

pytestmark = [pytest.mark.root, pytest.mark.timeout(BUILD_SECONDS)]
OFTEN = {"Interval": 500_000_000, "Retries": 99, "StartPeriod": 1_000_000}
URL = {"THYME_URL_FILE": "/run/secrets/url"}
CE_UID = 2000
AGENT = """\
#!/bin/sh
echo "$(id -u) $(sed -n 's/^CapPrm:[[:space:]]*//p' /proc/self/status)"
cat /run/secrets/url /proc/1/environ
ls /opt/thyme/bin/thyme-worker
exit 7
"""
DESCRIPTION = """\
executable = agent.sh
output = out
error = err
log = log
queue
"""


class Site:
    """``rabbitmq`` has no network; who may reach it shares its namespace."""

    def __init__(self, images: BuiltImages, place: Path) -> None:
        self.images = images
        self.roles = place / "broker"
        assert cli.main(["roles", "--dir", str(self.roles), "--host", "127.0.0.1"]) == 0
        # root's alone, as a secret of compose is
        for file in self.roles.iterdir():
            file.chmod(0o400)
        self.volume = f"site-{secrets.token_hex(4)}"
        self.boxes: list[ImageContainer] = []
        shared = [f"{self.volume}-run:/run/thyme", f"{self.volume}-home:/home/ce"]
        broker = BrokerContainer(images, self.roles)
        self.boxes.append(broker)
        broker.until_healthy()
        self.network = f"container:{broker.id}"
        self.schedd = self.add(
            "schedd", "--name=vobox1.example.org", environment=URL,
            binds=[*shared, f"{self.roles}/vobox.url:/run/secrets/url:ro"],
            network_mode=self.network, healthcheck=OFTEN,
        )  # fmt: skip
        self.vobox = self.add("vobox", binds=shared, healthcheck=OFTEN)
        self.schedd.until_healthy()
        self.vobox.until_healthy()

    def add(self, image: str, *command: str, **options: object) -> ImageContainer:
        made = ImageContainer(self.images, image, *command, **options)
        self.boxes.append(made)
        return made

    def worker(self, **options: object) -> ImageContainer:
        return self.add(
            "worker-el9", "thyme-worker", "--timeout=60",
            environment=URL,
            binds=[f"{self.roles}/worker.url:/run/secrets/url:ro"], network_mode=self.network,
            cap_drop=["ALL"], cap_add=["SETUID", "SETGID"], security_opt=["no-new-privileges"],
            **options,
        )  # fmt: skip

    def as_ce(self, *command: str) -> str:
        return self.vobox.got(*command, user="ce", cwd="/home/ce")

    def close(self) -> None:
        for box in reversed(self.boxes):
            box.close()
        client = self.images.engine.client
        for part in ("run", "home"):
            client.remove_volume(f"{self.volume}-{part}")
        client.close()


@pytest.fixture(scope="module")
def site(built_images: BuiltImages, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    made = Site(built_images, tmp_path_factory.mktemp("site"))
    yield made
    made.close()


def test_a_job_goes_from_the_vobox_to_a_worker_with_two_capabilities_and_back(site: Site) -> None:
    site.vobox.put("/home/ce", "agent.sh", AGENT, uid=CE_UID, mode=0o755)
    site.vobox.put("/home/ce", "job.sub", DESCRIPTION, uid=CE_UID)
    site.as_ce("rm", "-f", "out", "err", "log")

    said = site.as_ce("condor_submit", "job.sub")
    worker = site.worker()

    cluster = said.split()[-1].rstrip(".")
    assert worker.ended() == 0, worker.said()
    ask = ("condor_history", cluster, "-af", "ExitCode", "Owner")
    wait_until(lambda: site.as_ce(*ask).strip(), "its end", timeout=LONG, state=site.schedd.shows)
    assert site.as_ce(*ask).split() == ["7", "ce"]
    # no user that anybody has, no right, no password, and our program where it should be
    assert site.as_ce("cat", "out").splitlines() == [
        f"{FIRST_UID} {'0' * 16}", "/opt/thyme/bin/thyme-worker",
    ]  # fmt: skip
    assert site.as_ce("cat", "err").count("Permission denied") == 2
    assert site.as_ce("stat", "-c", "%U %u", "out", "log").split() == ["ce", str(CE_UID)] * 2


def test_a_vobox_needs_no_network_for_its_commands(site: Site) -> None:
    assert "vobox1.example.org" in site.as_ce("condor_q")
    assert site.vobox.got("condor_version").startswith("$CondorVersion:")
    # the CE itself has them first, beside whatever the base brings
    assert site.as_ce("ls", "/run/thyme-vobox/bin").split().count("condor_submit") == 1
    assert (
        site.vobox.run("curl", "--version")[0] != 0
        or site.vobox.got("ls", "/sys/class/net") == "lo\n"
    )


def test_schedd_and_vobox_end_by_sigterm(site: Site) -> None:
    assert site.vobox.stop() == 0
    assert site.schedd.stop() == 0
