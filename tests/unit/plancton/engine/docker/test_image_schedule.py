"""When the image of new pilots is pulled, and how that is reported."""

import threading
from collections.abc import Callable
from typing import Any

import pytest

from plancton.engine.docker import image_schedule
from plancton.engine.docker.api import DockerApi
from plancton.engine.docker.image_cleanup import RETRY as RETRY_REMOVAL
from plancton.engine.docker.image_puller import ImagePuller
from plancton.engine.docker.image_schedule import LocalImage, PullState
from plancton.errors import Conflict, EngineRefused, NoSuchImage
from tests.support.fake_node import FakeClock
from tests.support.waiting import wait_until

OLD = LocalImage("repo/worker:1", "sha256:id1", "sha256:old")
NEW = LocalImage("repo/worker:1", "sha256:id2", "sha256:new")
DAY = 86400.0


def keeper(**values: Any) -> PullState:
    return PullState(**{"wanted": OLD.name, "usable": OLD, "pulled": OLD.name, **values})


def test_a_missing_image_is_pulled_at_once() -> None:
    assert image_schedule.choose_pull(image_schedule.set_wanted(PullState(), "a"), DAY, 0.0) == "a"


def test_an_image_that_is_there_is_pulled_once_when_the_daemon_starts() -> None:
    # It may have slept for months.
    there = image_schedule.set_found(image_schedule.set_wanted(PullState(), OLD.name), OLD)
    assert image_schedule.choose_pull(there, DAY, 5.0) == OLD.name


def test_an_image_is_pulled_again_every_image_expiration_and_not_before() -> None:
    # In 2017 the timer was set back in every loop, and no image was ever refreshed.
    known = keeper(pulled_at=100.0)
    for now in range(100, 100 + int(DAY), 3600):
        assert image_schedule.choose_pull(known, DAY, float(now)) == ""
    assert image_schedule.choose_pull(known, DAY, 100.0 + DAY) == OLD.name


def test_another_name_in_the_configuration_is_pulled_at_once() -> None:
    changed = image_schedule.set_found(image_schedule.set_wanted(keeper(), "repo/worker:2"), None)
    assert image_schedule.choose_pull(changed, DAY, 0.0) == "repo/worker:2"
    assert changed.usable == OLD, "until it is there, the one of before goes on"


def test_an_engine_that_cannot_say_what_it_has_changes_nothing_and_is_not_made_to_pull(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(_name: str) -> None:
        raise EngineRefused("layer not retained")

    api, clock = DockerApi("unix:///none"), FakeClock()
    puller = ImagePuller(api, clock.now)
    found = {"Id": "sha256:id1", "RepoDigests": ["repo/worker@sha256:old"]}
    pulled: list[str] = []
    monkeypatch.setattr(api, "pull", lambda name, *_: pulled.append(name))
    with monkeypatch.context() as working:
        working.setattr(api, "inspect_image", lambda _name: found)
        puller.update(OLD.name, DAY, "")
        wait_until(lambda: puller.update(OLD.name, DAY, "").age is not None, "the first pull")
    puller.forget_known()
    monkeypatch.setattr(api, "inspect_image", refuse)
    for _ in range(5):
        clock.advance(60.0)
        status = puller.update(OLD.name, DAY, "")
    assert (status.name, status.problem) == (OLD.name, "layer not retained")
    assert puller.get_usable() == OLD
    assert len(pulled) == 1


def test_one_pull_at_a_time() -> None:
    assert image_schedule.choose_pull(keeper(pulling="x", pulled=""), DAY, 0.0) == ""


def test_a_pull_that_fails_keeps_the_image_and_is_tried_again_ever_later() -> None:
    state, now, waits = keeper(pulled=""), 0.0, []
    for _ in range(12):
        begun = now
        while not image_schedule.choose_pull(state, DAY, now):
            now += 1.0
        waits.append(now - begun)
        state = image_schedule.fail_pull(
            image_schedule.begin_pull(state, OLD.name), "no route", now
        )
    assert state.usable == OLD
    assert state.problem == "no route"
    assert waits[:4] == [0.0, 10.0, 20.0, 40.0]
    assert waits[-1] == image_schedule.RETRY_MAX


def test_a_pull_that_went_well_ends_the_problem() -> None:
    state = image_schedule.fail_pull(image_schedule.begin_pull(keeper(), OLD.name), "no route", 0.0)
    state = image_schedule.finish_pull(image_schedule.begin_pull(state, OLD.name), 50.0)
    assert (state.problem, state.failures, state.pulled_at) == ("", 0, 50.0)


def test_an_old_pull_that_fails_says_nothing_about_the_new_image() -> None:
    state = image_schedule.set_wanted(image_schedule.begin_pull(keeper(), OLD.name), "other")
    assert image_schedule.fail_pull(state, "no route", 0.0).problem == ""


def test_an_image_that_was_deleted_is_pulled_again() -> None:
    gone = image_schedule.set_found(keeper(pulled_at=1.0), None)
    assert gone.usable is None
    assert image_schedule.choose_pull(gone, DAY, 2.0) == OLD.name


def test_an_image_named_by_its_digest_is_pulled_once() -> None:
    name = "repo/worker@sha256:12"
    state = image_schedule.set_found(
        image_schedule.set_wanted(PullState(), name), LocalImage(name, "id", "sha256:12")
    )
    assert image_schedule.choose_pull(state, DAY, 10 * DAY) == ""


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("busybox", "busybox"),
        ("busybox:1.36", "busybox"),
        ("localhost:5000/a/b", "localhost:5000/a/b"),
        ("localhost:5000/a/b:3", "localhost:5000/a/b"),
        ("a/b@sha256:12", "a/b"),
        ("host:5000/a/b:3@sha256:12", "host:5000/a/b"),
    ],
)
def test_the_repository_of_a_name(name: str, expected: str) -> None:
    assert image_schedule.strip_tag(name) == expected


def test_a_pilot_is_made_from_the_digest_where_there_is_one() -> None:
    inspected = {"Id": "sha256:id", "RepoDigests": ["other@sha256:x", "localhost:5000/w@sha256:d"]}
    found = image_schedule.parse_image("localhost:5000/w:2", inspected)
    assert found.reference == "localhost:5000/w@sha256:d"
    assert found.label == "sha256:d"
    built_here = image_schedule.parse_image("w:2", {"Id": "sha256:id", "RepoDigests": []})
    assert (built_here.reference, built_here.label) == ("w:2", "sha256:id")
    podman = image_schedule.parse_image(
        "busybox", {"Id": "i", "RepoDigests": ["docker.io/library/busybox@s"]}
    )
    assert podman.digest == "s"


def test_progress_is_reported_in_layers_and_megabytes() -> None:
    progress = image_schedule.PullProgress()
    assert progress.sentence == "asking the registry"
    for step in (
        {"status": "Pulling from library/busybox", "id": "latest"},
        {"status": "Already exists", "id": "a"},
        {"status": "Downloading", "id": "b", "progressDetail": {"current": 5e6, "total": 2e7}},
        {"status": "Pulling fs layer", "id": "c"},
    ):
        progress = progress.after(step)
    assert progress.sentence == "1 of 3 layers, 5.0 of 20.0 MB"
    assert progress.after({"status": "Pull complete", "id": "b"}).sentence == (
        "2 of 3 layers, 20.0 of 20.0 MB"
    )


class FakeRegistry(DockerApi):
    """An engine's images; a pull waits until the test lets it go on."""

    def __init__(self) -> None:
        self.local: dict[str, dict[str, Any]] = {}
        self.remote: dict[str, dict[str, Any]] = {}
        self.go = threading.Event()
        self.pulls: list[tuple[str, str]] = []
        self.removals: list[str] = []
        self.in_use: set[str] = set()

    def inspect_image(self, name: str) -> dict[str, Any]:
        if name not in self.local:
            raise NoSuchImage(f"no such image: {name}")
        return self.local[name]

    def pull(self, name: str, credentials: str, tell: Callable[[dict[str, Any]], None]) -> None:
        self.pulls.append((name, credentials))
        tell({"status": "Downloading", "id": "a", "progressDetail": {"current": 1, "total": 2}})
        assert self.go.wait(60), "the test lets it go on"
        if name not in self.remote:
            raise EngineRefused(f"{name}: not found in the registry")
        self.local[name] = self.remote[name]

    def remove_image(self, image: str) -> None:
        self.removals.append(image)
        if image in self.in_use:
            raise Conflict(f"conflict: unable to remove {image}: a container uses it")


def test_the_keeper_pulls_beside_the_loop_and_wakes_it() -> None:
    registry, clock, woken = FakeRegistry(), FakeClock(), threading.Event()
    registry.remote["w:1"] = {"Id": "sha256:1"}
    made = ImagePuller(registry, clock.now)
    made.wake = woken.set
    first = made.update("w:1", DAY, "/creds")
    assert first.name == ""
    with pytest.raises(NoSuchImage):
        made.get_usable()
    wait_until(lambda: made.update("w:1", DAY, "/creds").pulling == "0 of 1 layers, 0.0 of 0.0 MB",
               "progress")  # fmt: skip
    registry.go.set()
    wait_until(woken.is_set, "to be woken")
    after = made.update("w:1", DAY, "/creds")
    assert (after.name, after.digest, after.pulling, after.problem) == ("w:1", "sha256:1", "", "")
    assert made.get_usable().reference == "w:1"
    assert registry.pulls == [("w:1", "/creds")], "once, and not for every look"


def test_a_new_image_that_cannot_be_had_leaves_the_old_one_in_use_and_says_so() -> None:
    registry, clock, woken = FakeRegistry(), FakeClock(), threading.Event()
    registry.local["w:1"] = registry.remote["w:1"] = {"Id": "sha256:1"}
    registry.go.set()
    made = ImagePuller(registry, clock.now)
    made.wake = woken.set
    made.update("w:1", DAY, "")
    wait_until(woken.is_set, "the first pull")
    woken.clear()
    made.update("w:2", DAY, "")
    wait_until(woken.is_set, "the second pull to fail")
    told = made.update("w:2", DAY, "")
    assert (told.wanted, told.name) == ("w:2", "w:1")
    assert told.problem == "w:2: not found in the registry"
    assert made.get_usable().name == "w:1"


def built(build: int) -> dict[str, Any]:
    return {"Id": f"sha256:{build}", "RepoDigests": [f"site/w@sha256:d{build}"]}


def replace_build(registry: FakeRegistry, made: ImagePuller) -> None:
    """Move the engine's tag from build 1 to build 2, and let the image puller see it."""
    registry.local["site/w:1"] = registry.remote["site/w:1"] = built(1)
    registry.go.set()
    wait_until(lambda: made.update("site/w:1", DAY, "").digest == "sha256:d1", "the first build")
    wait_until(lambda: not made.update("site/w:1", DAY, "").pulling, "the pull at the start")
    registry.local["site/w:1"] = registry.remote["site/w:1"] = built(2)
    made.forget_known()
    assert made.update("site/w:1", DAY, "").digest == "sha256:d2"


def test_a_replaced_build_is_removed_once_no_container_uses_it() -> None:
    registry, clock = FakeRegistry(), FakeClock()
    registry.in_use.add("site/w@sha256:d1")
    made = ImagePuller(registry, clock.now)
    replace_build(registry, made)

    made.update("site/w:1", DAY, "")
    wait_until(lambda: len(registry.removals) == 1, "the first try")
    made.update("site/w:1", DAY, "")
    assert len(registry.removals) == 1, "in use: not asked again at once"
    registry.in_use.clear()

    def tried_again() -> bool:
        clock.advance(RETRY_REMOVAL)
        made.update("site/w:1", DAY, "")
        return len(registry.removals) == 2

    wait_until(tried_again, "the second try")
    clock.advance(10 * RETRY_REMOVAL)
    made.update("site/w:1", DAY, "")
    assert registry.removals == ["site/w@sha256:d1"] * 2, "gone, and not asked for again"


def test_an_image_that_the_configuration_no_longer_names_is_kept() -> None:
    registry, clock = FakeRegistry(), FakeClock()
    registry.go.set()
    made = ImagePuller(registry, clock.now)
    registry.local["site/w:1"] = registry.remote["site/w:1"] = built(1)
    registry.local["site/w:2"] = registry.remote["site/w:2"] = built(2)
    made.update("site/w:1", DAY, "")
    assert made.update("site/w:2", DAY, "").digest == "sha256:d2"
    clock.advance(10 * RETRY_REMOVAL)
    made.update("site/w:2", DAY, "")
    assert registry.removals == []
