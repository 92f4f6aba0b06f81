"""The interface of an engine: what runs the pilots, be they containers or processes.

Rules that every engine keeps (``tests/contract/test_plancton_engine.py``):

* The engine is the truth.  ``list_pilots`` asks it each time; nothing is counted in memory.
* An event is only a hint to look: losing one costs time, never correctness.
* No call waits for a pilot.  ``stop`` returns at once, and the end shows in ``list_pilots``.
* Pilots outlive the daemon.  A new engine object over the same place lists the same
  pilots, with their exit codes.
* An engine touches nothing that Plancton did not start.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from plancton.config.model import Config
from plancton.model import HostFacts, Pilot, Prepared, Usage

from .job_features import Features
from .pilot_spec import PilotSpec


class Engine(Protocol):
    """What starts, lists and stops pilots; raises EngineUnavailable where it does not answer."""

    @property
    def name(self) -> str:
        """``docker`` or ``process``."""
        ...

    @property
    def place(self) -> str:
        """Where its pilots are found again: a directory, or the address of a socket."""
        ...

    @property
    def isolation(self) -> str:
        """One sentence on what the engine does not protect the owner from; "" if nothing."""
        ...

    @property
    def starting_interval(self) -> float:
        """Seconds to the next pass while a pilot starts: short where its start is not reported."""
        ...

    def prepare(self, config: Config, facts: HostFacts) -> Prepared:
        """Prepare what pilots need and what protects the owner from them; never waits."""
        ...

    def list_pilots(self) -> tuple[Pilot, ...]:
        """Return every pilot of this node, ended ones too until they are removed."""
        ...

    def start(self, spec: PilotSpec) -> None:
        """Create and start one.  Raises StartFailed; then nothing of it is left behind.

        An engine that starts beside the loop lists the pilot as starting at once, and one
        that could not be started as ended, with the reason.
        """
        ...

    def stop(self, pilot_id: str, grace: float) -> None:
        """Ask it to end (SIGTERM, once) and kill all of it after ``grace`` seconds.

        Asking again can only bring the end nearer.  An ended or unknown pilot is no error.
        """
        ...

    def share_cpu(self, weights: Mapping[str, int]) -> None:
        """Share the CPU among pilots by weight (1 to 10,000; 100 is usual), by id.

        Where an engine cannot, all get the same.  Failing is no error: it is tried again.
        """
        ...

    def tell(self, pilot_id: str, features: Features) -> None:
        """Write some files about a running pilot's node anew, or remove them (``job_features``).

        A pilot that is not running, or that has no such files, is no error.
        """
        ...

    def remove(self, pilot_id: str) -> None:
        """Remove an ended pilot.  An unknown one is no error; a running one is refused.

        Raises EngineError when something stays behind: it is then listed still.
        """
        ...

    def read_output(self, pilot_id: str) -> bytes | None:
        """Return the end of what a listed pilot printed; None for one that is not listed.

        At most ``pilot_outputs.OUTPUT_KEPT`` bytes.  Raises EngineError.
        """
        ...

    def read_usage(self) -> Usage:
        """Return what the pilots use now."""
        ...

    def watch(self, wake: Callable[[], None]) -> None:
        """Call ``wake``, from any thread, soon after a pilot ends."""
        ...

    def close(self) -> None:
        """Stop watching.  Pilots go on."""
        ...
