"""Decide when to pull the image of new pilots, and keep track of a pull.

Pure, but for what it is given: ``now`` is monotonic seconds.

* pulled when it is missing, when the configuration names another one, and every
  ``image_expiration`` seconds; once when the daemon starts, which may have slept long;
* one pull at a time, beside the loop; running pilots are not touched;
* a pull that fails changes nothing: new pilots go on with the image that there is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

#: Seconds to the next try after a pull that failed; doubles with each, up to the second.
RETRY, RETRY_MAX = 10.0, 600.0
_DOUBLINGS = 10


@dataclass(frozen=True)
class LocalImage:
    """An image that the engine has."""

    name: str  #: as configured
    id: str
    #: what the registry calls it; "" for one that was built or loaded here
    digest: str

    @property
    def reference(self) -> str:
        """What a container is created from: exactly this build, whatever the tag says later."""
        if self.digest:
            return f"{strip_tag(self.name)}@{self.digest}"
        return self.name

    @property
    def label(self) -> str:
        """The digest, or the id of an image without one."""
        return self.digest or self.id


@dataclass(frozen=True)
class PullProgress:
    """How far a pull has come, from the engine's stream."""

    layers: Mapping[str, str] = field(default_factory=dict)  #: layer: its last status
    sizes: Mapping[str, tuple[int, int]] = field(default_factory=dict)  #: bytes done, bytes

    def after(self, step: Mapping[str, Any]) -> PullProgress:
        """Return the progress after one more message of the stream."""
        layer, status = str(step.get("id") or ""), str(step.get("status") or "")
        if not layer or status.startswith("Pulling from"):
            return self
        sizes = dict(self.sizes)
        detail = step.get("progressDetail") or {}
        if status == "Downloading" and detail.get("total"):
            sizes[layer] = (int(detail.get("current") or 0), int(detail["total"]))
        elif layer in sizes and status in ("Download complete", "Pull complete", "Extracting"):
            sizes[layer] = (sizes[layer][1], sizes[layer][1])
        return PullProgress({**self.layers, layer: status}, sizes)

    @property
    def sentence(self) -> str:
        """The progress for people."""
        done = sum(status in ("Pull complete", "Already exists") for status in self.layers.values())
        text = f"{done} of {len(self.layers)} layers" if self.layers else "asking the registry"
        if self.sizes:
            here = sum(size for size, _ in self.sizes.values())
            text += (
                f", {here / 1e6:.1f} of {sum(size for _, size in self.sizes.values()) / 1e6:.1f} MB"
            )
        return text


@dataclass(frozen=True)
class PullState:
    """What is remembered about the image and its pulls."""

    wanted: str = ""
    #: what new pilots are made from; stays while a new one cannot be had
    usable: LocalImage | None = None
    #: name and time of the last pull that went well
    pulled: str = ""
    pulled_at: float = 0.0
    pulling: str = ""
    progress: PullProgress = field(default_factory=PullProgress)
    failures: int = 0
    failed_at: float = 0.0
    problem: str = ""


def set_wanted(state: PullState, name: str) -> PullState:
    """Return the state when the configuration names ``name``."""
    if name == state.wanted:
        return state
    return replace(state, wanted=name, failures=0, problem="")


def set_found(state: PullState, local: LocalImage | None) -> PullState:
    """Return the state after the engine was asked for the wanted image."""
    if local is not None:
        return replace(state, usable=local)
    if state.usable is not None and state.usable.name == state.wanted:
        return replace(state, usable=None)
    return state  # an image of before, which still works


def choose_pull(state: PullState, expiration: float, now: float) -> str:
    """Return the image to pull now; "" for none.  One expires after ``expiration`` seconds."""
    if not state.wanted or state.pulling:
        return ""
    if state.failures:
        wait = min(RETRY_MAX, RETRY * 2.0 ** min(state.failures - 1, _DOUBLINGS))
        return state.wanted if now - state.failed_at >= wait else ""
    here = state.usable is not None and state.usable.name == state.wanted
    if not here:
        return state.wanted
    if is_pinned(state.wanted):
        return ""  # a digest always names the same image
    fresh = state.pulled == state.wanted and now - state.pulled_at < expiration
    return "" if fresh else state.wanted


def begin_pull(state: PullState, name: str) -> PullState:
    """Return the state when a pull of ``name`` begins."""
    return replace(state, pulling=name, progress=PullProgress())


def advance_pull(state: PullState, step: Mapping[str, Any]) -> PullState:
    """Return the state after a message of the pull's stream."""
    return replace(state, progress=state.progress.after(step))


def finish_pull(state: PullState, now: float) -> PullState:
    """Return the state after a pull that went well."""
    return replace(state, pulled=state.pulling, pulled_at=now, pulling="", failures=0, problem="")


def fail_pull(state: PullState, problem: str, now: float) -> PullState:
    """Return the state after a pull that failed.

    ``problem``: one sentence for the admin; ``now``: monotonic seconds.
    """
    if state.pulling != state.wanted:
        return replace(state, pulling="")  # of an image that is not wanted any more
    return replace(state, pulling="", failures=state.failures + 1, failed_at=now, problem=problem)


def refuse(state: PullState, problem: str, now: float) -> PullState:
    """Return the state after the engine could not say whether it has the wanted image.

    ``problem``: one sentence for the admin; ``now``: monotonic seconds.
    """
    return replace(state, failures=max(1, state.failures), failed_at=now, problem=problem)


def parse_image(name: str, inspected: Mapping[str, Any]) -> LocalImage:
    """Return the image ``name`` from the engine's inspection of it."""
    mine = strip_tag(name)
    digest = ""
    for one in inspected.get("RepoDigests") or ():
        place, _, found_digest = str(one).rpartition("@")
        # Podman writes the default registry out.
        if place == mine or place.endswith("/" + mine):
            digest = found_digest
    return LocalImage(name, str(inspected["Id"]), digest)


def strip_tag(name: str) -> str:
    """Return ``name`` without its tag or digest; a registry's port is not a tag."""
    without = name.partition("@")[0]
    head, _, last = without.rpartition("/")
    last = last.partition(":")[0]
    return f"{head}/{last}" if head else last


def is_pinned(name: str) -> bool:
    """Tell whether the name contains a digest, so that it always means one build."""
    return "@sha256:" in name
