"""The image of new pilots: when to pull it is decided here, and how that goes is told.

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
        """What a container is created from: exactly this one, whatever the tag says later."""
        if self.digest:
            return f"{strip_tag(self.name)}@{self.digest}"
        return self.name

    @property
    def label(self) -> str:
        return self.digest or self.id


@dataclass(frozen=True)
class PullProgress:
    """How far a pull has come, from the engine's stream."""

    layers: Mapping[str, str] = field(default_factory=dict)  #: layer: its last status
    sizes: Mapping[str, tuple[int, int]] = field(default_factory=dict)  #: bytes done, bytes

    def after(self, step: Mapping[str, Any]) -> PullProgress:
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
    """What is remembered about pulls."""

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


def set_wanted(keeper: PullState, name: str) -> PullState:
    """The configuration names ``name``."""
    if name == keeper.wanted:
        return keeper
    return replace(keeper, wanted=name, failures=0, problem="")


def set_found(keeper: PullState, parse_image: LocalImage | None) -> PullState:
    """The engine was asked for the wanted image."""
    if parse_image is not None:
        return replace(keeper, usable=parse_image)
    if keeper.usable is not None and keeper.usable.name == keeper.wanted:
        return replace(keeper, usable=None)
    return keeper  # another one of before, which still works


def choose_pull(keeper: PullState, expiration: float, now: float) -> str:
    """The image to pull now; "" for none."""
    if not keeper.wanted or keeper.pulling:
        return ""
    if keeper.failures:
        wait = min(RETRY_MAX, RETRY * 2.0 ** min(keeper.failures - 1, _DOUBLINGS))
        return keeper.wanted if now - keeper.failed_at >= wait else ""
    here = keeper.usable is not None and keeper.usable.name == keeper.wanted
    if not here:
        return keeper.wanted
    if is_pinned(keeper.wanted):
        return ""  # a digest names one image for ever
    fresh = keeper.pulled == keeper.wanted and now - keeper.pulled_at < expiration
    return "" if fresh else keeper.wanted


def begin_pull(keeper: PullState, name: str) -> PullState:
    return replace(keeper, pulling=name, progress=PullProgress())


def advance_pull(keeper: PullState, step: Mapping[str, Any]) -> PullState:
    return replace(keeper, progress=keeper.progress.after(step))


def finish_pull(keeper: PullState, now: float) -> PullState:
    return replace(keeper, pulled=keeper.pulling, pulled_at=now, pulling="", failures=0, problem="")


def fail_pull(keeper: PullState, problem: str, now: float) -> PullState:
    if keeper.pulling != keeper.wanted:
        return replace(keeper, pulling="")  # of an image that nobody wants any more
    return replace(keeper, pulling="", failures=keeper.failures + 1, failed_at=now, problem=problem)


def parse_image(name: str, inspected: Mapping[str, Any]) -> LocalImage:
    """From the engine's inspection of the image ``name``."""
    mine = strip_tag(name)
    digest = ""
    for one in inspected.get("RepoDigests") or ():
        place, _, found_digest = str(one).rpartition("@")
        # Podman writes the default registry out.
        if place == mine or place.endswith("/" + mine):
            digest = found_digest
    return LocalImage(name, str(inspected["Id"]), digest)


def strip_tag(name: str) -> str:
    """``name`` without its tag or digest; a registry's port is not a tag."""
    without = name.partition("@")[0]
    head, _, last = without.rpartition("/")
    last = last.partition(":")[0]
    return f"{head}/{last}" if head else last


def is_pinned(name: str) -> bool:
    return "@sha256:" in name
