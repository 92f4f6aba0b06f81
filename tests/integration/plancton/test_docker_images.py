"""Images from a real private registry, with the real daemon: missing, renewed, refused, gone."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.container_node import ContainerNode
from tests.support.services import images
from tests.support.services.engines import DockerService
from tests.support.services.registry import Registry
from tests.support.waiting import wait_until

REPOSITORY = "site/worker"


class ImageNode(ContainerNode):
    """A node whose pilots are made from ``site/worker:stable`` of a private registry."""

    def __init__(
        self, directory: Path, service: DockerService, registry: Registry, cgroup: str
    ) -> None:
        super().__init__(directory, service, cgroup)
        self.registry, self.client = registry, service.client
        self.image = f"{registry.name}/{REPOSITORY}:stable"
        self.credentials = directory / "docker-config.json"

    def configure(self, **values: Any) -> None:
        known = {
            "docker_image": self.image,
            "registry_config": str(self.credentials),
            "labels": {"test": self.directory.name},
        }
        super().configure(**(known | values))

    def push(self, build: str, tag: str = "stable") -> str:
        return self.registry.push(REPOSITORY, tag, images.busybox(build=build))

    def digests(self) -> list[str]:
        """Of the pilots that run, the eldest first."""
        pilots = self.published()["pilots"] or []
        running = [pilot for pilot in pilots if pilot["state"] == "running"]
        return [pilot["image"] for pilot in sorted(running, key=lambda one: -one["age"])]

    def build_of(self, name: str) -> str:
        return self.service.run_inside(name, "cat", "/build")[1]

    def image_status(self) -> dict[str, Any]:
        return self.published().get("image") or {}

    def wait_for_build(self, digest: str) -> None:
        wait_until(lambda: self.image_status().get("digest") == digest, "the build", state=self.log)

    def wait_for_failed_pull(self) -> None:
        wait_until(lambda: self.image_status().get("problem"), "the failed pull", state=self.log)

    def clean(self) -> None:
        try:
            super().clean()
        finally:
            self.service.remove_containers()
            for one in self.client.images():
                tags = [tag for tag in one["RepoTags"] or () if tag.startswith("127.0.0.1:")]
                digests = one["RepoDigests"] or ()
                if tags or any(name.startswith("127.0.0.1:") for name in digests):
                    self.client.remove_image(one["Id"], force=True)
            self.client.close()


@pytest.fixture
def node(
    tmp_path: Path, docker_service: DockerService, registry: Registry, cgroup_name: str
) -> Iterator[ImageNode]:
    made = ImageNode(tmp_path, docker_service, registry, cgroup_name)
    registry.credentials(made.credentials)
    yield made
    made.clean()


def test_a_missing_image_is_pulled_with_the_credentials_of_the_docker_config(
    node: ImageNode,
) -> None:
    digest = node.push("A")
    pilots = node.fill()
    assert node.digests() == [digest] * 3
    assert node.build_of(min(pilots)) == "A"
    labels = node.client.inspect_container(min(pilots))["Config"]["Labels"]
    assert labels["plancton.image.digest"] == digest
    assert labels["plancton.image"] == node.image


def test_a_new_build_of_a_tag_rolls_in_without_touching_running_pilots(node: ImageNode) -> None:
    first = node.push("A")
    before = node.fill(image_expiration=0.5)
    second = node.push("B")
    assert second != first
    node.wait_for_build(second)
    assert node.wait_for(3) == before, "pilots that run are left alone"
    assert node.digests() == [first] * 3
    # Each that ends is replaced by one of the new build.
    victim = min(before)
    node.client.kill(victim)
    node.wait_for_others(victim)
    assert node.digests() == [first, first, second]
    (fresh,) = set(node.running()) - set(before)
    assert (node.build_of(fresh), node.build_of(max(before))) == ("B", "A")


def test_a_replaced_build_goes_with_its_last_pilot(node: ImageNode) -> None:
    old = node.push("A")
    before = node.fill(image_expiration=0.5)
    new = node.push("B")
    node.wait_for_build(new)
    reference = f"{node.registry.name}/{REPOSITORY}@{old}"
    assert node.client.inspect_image(reference), "its pilots still run"
    for name in before:
        node.client.kill(name)

    def gone() -> bool:
        return not any(reference in (one["RepoDigests"] or ()) for one in node.client.images())

    wait_until(gone, "the old build to be removed", timeout=90.0, state=node.log)
    wait_until(lambda: node.digests() == [new] * 3, "pilots of the new build", state=node.log)


def test_a_registry_that_is_gone_leaves_the_image_in_use_and_is_reported(node: ImageNode) -> None:
    digest = node.push("A")
    before = node.fill(image_expiration=0.5)
    node.registry.down()
    node.wait_for_failed_pull()
    victim = min(before)
    node.client.kill(victim)
    node.wait_for_others(victim)
    assert node.digests() == [digest] * 3
    # how it failed depends on when the registry went
    assert "the last pull failed: " in node.ctl("explain").stdout


def test_an_image_that_may_not_be_pulled_starts_nothing_and_says_why(node: ImageNode) -> None:
    node.push("A")
    node.credentials.unlink()
    node.configure()
    node.nodaemon()
    node.wait_for_failed_pull()
    assert node.running() == {}
    explained = node.ctl("explain")
    told = f"Image {re.escape(node.image)} is not there: (it is being .*; )?the last pull failed"
    assert re.search(told, explained.stdout)
    assert "no basic auth credentials" in explained.stdout
    assert node.published()["counts"]["start_failures"] == 0, "no fault of pilots"
    # Found again without a restart, with the next try.
    node.registry.credentials(node.credentials)
    wait_until(lambda: len(node.running()) == 3, "pilots", timeout=90.0, state=node.log)


def test_another_image_in_the_configuration_is_used_at_once_for_new_pilots(
    node: ImageNode,
) -> None:
    node.push("A")
    other = node.push("B", tag="next")
    before = node.fill()
    node.configure(docker_image=f"{node.registry.name}/{REPOSITORY}:next")
    node.wait_for_build(other)
    assert set(node.wait_for(3)) == set(before)


def test_an_image_that_cannot_be_found_leaves_the_one_of_before_in_use(node: ImageNode) -> None:
    digest = node.push("A")
    before = node.fill()
    node.configure(docker_image=f"{node.registry.name}/{REPOSITORY}:mistyped")
    node.wait_for_failed_pull()
    node.client.kill(min(before))
    wait_until(lambda: len(set(node.running()) - set(before)) == 1, "a replacement", state=node.log)
    assert node.digests() == [digest] * 3
    # it may be tried again right now
    told = ":mistyped is not there: (it is being pulled .*; )?the last pull failed: "
    assert re.search(told, node.ctl("explain").stdout)
