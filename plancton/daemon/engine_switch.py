"""Switch engines when the configuration names another one, without losing pilots.

A pilot stays with the engine that started it.  An engine that the configuration no longer
names starts nothing, counts until its last pilot is gone, and is then closed.

While an old engine that has answered before does not answer, the number of pilots is unknown and
nothing starts. A daemon that is restarted in the meantime knows the new engine only.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from plancton.config.container_keys import READ_AT_START
from plancton.config.model import Config
from plancton.engine.base import Engine
from plancton.engine.job_features import Features
from plancton.engine.pilot_spec import PilotSpec
from plancton.errors import EngineError
from plancton.model import HostFacts, Pilot, PilotUsage, Prepared, Usage

_log = logging.getLogger("plancton")

#: Keys that another engine object has to be opened for; all others reach a pilot when it starts.
OPENED_WITH = ("engine", "scratch_dir", *READ_AT_START)


class EngineSwitch:
    """An Engine made of the current one and of those whose pilots still run."""

    def __init__(self, open_engine: Callable[[Config], Engine], config: Config) -> None:
        self._open = open_engine
        self._current = open_engine(config)
        self._opened_with = _settings(config)
        self._retired: list[Engine] = []
        #: those that have answered: no other has pilots of this daemon
        self._answered: list[Engine] = []
        self._owner: dict[str, Engine] = {}
        self._wake: Callable[[], None] | None = None

    def follow(self, config: Config) -> str:
        """Use the engine that ``config`` names; why that is not done, or ""."""
        if _settings(config) == self._opened_with:
            return ""
        try:
            new = self._open(config)
        except EngineError as error:
            return f"the new engine settings are not in use: {error}"
        self._opened_with = _settings(config)
        remain: list[Engine] = []
        _log.info("engine %s (%s)", new.name, new.place)
        if self._wake is not None:
            new.watch(self._wake)
        # One of the same place lists the same pilots: it replaces, and nothing is counted twice.
        for old in (self._current, *self._retired):
            if (old.name, old.place) == (new.name, new.place):
                old.close()
            elif old not in self._answered:
                # Most likely a mistake that is mended now, and waiting for it would last for ever.
                _log.info("engine %s (%s) is given up: it has never answered", old.name, old.place)
                old.close()
            else:
                remain.append(old)
        self._current, self._retired, self._answered = new, remain, [*remain]
        return ""

    # The interface of an engine

    @property
    def name(self) -> str:
        """``docker`` or ``process``: the engine that starts new pilots."""
        return self._current.name

    @property
    def place(self) -> str:
        """Where the engine that starts new pilots finds them again."""
        return self._current.place

    @property
    def isolation(self) -> str:
        """One sentence on what the engine does not protect the owner from; "" if nothing."""
        return self._current.isolation

    @property
    def starting_interval(self) -> float:
        """Seconds to the next pass while a pilot starts."""
        return self._current.starting_interval

    def prepare(self, config: Config, facts: HostFacts) -> Prepared:
        """Prepare what new pilots need and what protects the owner from them."""
        return self._current.prepare(config, facts)

    def list_pilots(self) -> tuple[Pilot, ...]:
        """Return every pilot of the present engine and of the retired ones.

        A retired engine is closed once its last pilot is gone.
        """
        listed = [(self._current, self._current.list_pilots())]
        self._note_answer()
        listed += [(engine, engine.list_pilots()) for engine in self._retired]
        self._owner = {pilot.id: engine for engine, pilots in listed for pilot in pilots}
        for engine, pilots in listed[1:]:
            if not pilots:
                _log.info("engine %s (%s) is closed: its last pilot is gone", engine.name,
                          engine.place)  # fmt: skip
                self._retired.remove(engine)
                engine.close()
        return tuple(pilot for _, pilots in listed for pilot in pilots)

    def start(self, spec: PilotSpec) -> None:
        """Create and start a pilot on the present engine; raises StartFailed."""
        self._current.start(spec)
        self._note_answer()

    def _note_answer(self) -> None:
        if self._current not in self._answered:
            self._answered.append(self._current)

    def stop(self, pilot_id: str, grace: float) -> None:
        """Ask a pilot to end, on the engine that has it, and kill it after ``grace`` seconds."""
        self._owner.get(pilot_id, self._current).stop(pilot_id, grace)

    def share_cpu(self, weights: Mapping[str, int]) -> None:
        """Share the CPU among pilots by weight, each on the engine that has it."""
        for engine in (self._current, *self._retired):
            engine.share_cpu({pilot: weight for pilot, weight in weights.items()
                              if self._owner.get(pilot, self._current) is engine})  # fmt: skip

    def tell(self, pilot_id: str, features: Features) -> None:
        """Write files about the node anew for a pilot, on the engine that has it."""
        self._owner.get(pilot_id, self._current).tell(pilot_id, features)

    def remove(self, pilot_id: str) -> None:
        """Remove an ended pilot from the engine that has it."""
        self._owner.get(pilot_id, self._current).remove(pilot_id)

    def read_output(self, pilot_id: str) -> bytes | None:
        """Return the end of a pilot's output, from the engine that has it."""
        return self._owner.get(pilot_id, self._current).read_output(pilot_id)

    def read_usage(self) -> Usage:
        """Return what the pilots of all engines use together.

        The memory is unknown (None) where it is for one of them.
        """
        if not self._retired:
            return self._current.read_usage()
        parts = [engine.read_usage() for engine in (self._current, *self._retired)]
        memory = [part.memory_bytes for part in parts]
        pilots: dict[str, PilotUsage] = {}
        for part in parts:
            pilots |= part.pilots
        return Usage(
            sum(part.cpu_seconds for part in parts),
            None if None in memory else sum(value for value in memory if value is not None),
            pilots,
            parts[0].stall_beside,
        )

    def watch(self, wake: Callable[[], None]) -> None:
        """Call ``wake``, from any thread, soon after a pilot of the present engine ends."""
        self._wake = wake
        self._current.watch(wake)

    def close(self) -> None:
        """Stop watching all engines. Pilots go on."""
        for engine in (self._current, *self._retired):
            engine.close()


def _settings(config: Config) -> tuple[object, ...]:
    return tuple(getattr(config, key) for key in OPENED_WITH)
