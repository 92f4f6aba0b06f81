"""DockerEngine: a pilot is a container of Docker or Podman.

The list of the engine is the truth; containers are found by their labels, and one
without them is never touched.  What takes long (starts, removals, pulls) is done
by threads beside the loop.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from plancton.config.computed_keys import pilots_memory
from plancton.config.model import Config
from plancton.engine.pilot_spec import NODE, PilotSpec
from plancton.errors import EngineError, EngineRefused, NoSuchImage, NotThere
from plancton.model import HostFacts, Pilot, PilotState, Prepared, Protection, Usage
from plancton.node.cgroup import Group, engine_parent

from . import container_body
from .api import DockerApi
from .container_body import EngineFacts
from .events import Event, EventWatch
from .image_puller import ImageKeeper
from .inspections import Lives
from .listing import Life, Phase, Row, ended, phase_of, rows, why_not_started
from .removals import Removals
from .starts import NotStarted, Starts, failed_pilot, on_its_way
from .stops import Ends
from .usage import UsageReader

_log = logging.getLogger("plancton")

#: Starts at once: more only wait for each other inside the engine.
STARTS = min(16, max(4, os.cpu_count() or 1))
#: Seconds for which a container that was made and never started is left alone: whoever made
#: it may be about to start it.
CREATION_GRACE = 60.0
#: Seconds between two looks at whether the protection is still in place.
PROTECTION_CHECK = 30.0


class DockerEngine:
    """All pilots of the engine that listens at ``host``."""

    name = "docker"
    isolation = ""
    #: It tells when a start is done; the look in between is only for the clock's sake.
    starting_look = 1.0

    def __init__(self, host: str, cgroup_parent: str, cgroup_root: Path) -> None:
        self.place = host
        self._group_name, self._cgroup_root = cgroup_parent, cgroup_root
        self._api = DockerApi(host)
        self._images = ImageKeeper(self._api)
        self._ends = Ends(self._api, self._hurry)
        self._starts = Starts(self._launch, self._started, STARTS)
        self._removals = Removals(self._api.remove, self._starts.wait_while_busy)
        self._events: EventWatch | None = None
        self._facts: EngineFacts | None = None
        self._group: Group | None = None
        self._protection: Protection | None = None
        self._protected_at: float | None = None
        self._usage = UsageReader(self._api)
        self._rows: dict[str, Row] = {}
        self._lives = Lives(self._api.inspect)
        #: monotonic moments: when a pilot began, and when a container was first seen
        self._began: dict[str, float] = {}
        self._first_seen: dict[str, float] = {}

    def prepare(self, config: Config, facts: HostFacts) -> Prepared:
        """Keep the image ready and the owner protected.  Raises EngineUnavailable."""
        image = self._images.want(
            config.docker_image, config.image_expiration, config.registry_config
        )
        now = time.monotonic()
        if self._protected_at is None or now - self._protected_at >= PROTECTION_CHECK:
            self._engine_facts()
            protection = self._the_group().protect(pilots_memory(config, facts))
            if protection != self._protection:
                log = _log.warning if protection.problems or not protection.cpu else _log.info
                log("%s", protection.sentence)
            self._protection, self._protected_at = protection, now
        return Prepared(image=image, protection=self._protection)

    def pilots(self) -> tuple[Pilot, ...]:
        starting, failed = self._starts.view()
        found = rows(self._api.containers(NODE))
        here = {row.id for row in found}
        self._removals.listed(here)
        self._starts.listed({row.name for row in found}, time.monotonic())
        self._forget(here, starting)
        self._rows = {row.name: row for row in found if not self._removals.hides(row.id)}
        pilots = []
        for row in list(self._rows.values()):
            if row.name not in starting or row.phase is not Phase.MADE:
                pilot = self._pilot(row)
                if pilot is not None:
                    # else it is what the starts say: of one that failed, they clear away the rest
                    starting.pop(row.name, None)
                    pilots.append(pilot)
        pilots += [on_its_way(name, asked) for name, asked in starting.items()]
        pilots += [failed_pilot(one) for one in failed]
        return tuple(pilots)

    def start(self, spec: PilotSpec) -> None:
        """Returns at once; a pilot that could not be started is listed as ended, with why."""
        self._starts.add(spec)

    def stop(self, pilot_id: str, grace: float) -> None:
        if self._starts.ask_to_end(pilot_id, grace):
            return
        row = self._known(pilot_id)
        if row is None or row.phase is Phase.OVER:
            return
        if row.phase is Phase.MADE:
            self._removals.add(row.id)
            return
        try:
            pid = self._lives.of(row).pid
        except NotThere:
            return
        self._ends.ask(row.name, row.id, grace, row.phase is Phase.PAUSED, pid)

    def remove(self, pilot_id: str) -> None:
        if self._starts.forget(pilot_id):
            return
        row = self._known(pilot_id)
        if row is None:
            return
        if row.phase in (Phase.ALIVE, Phase.PAUSED):
            raise EngineError(f"{pilot_id}: is {row.state}; stop it first")
        try:
            self._removals.add(row.id)
        except EngineError as error:
            raise EngineError(f"{pilot_id}: {error}") from error

    def pull(self, image: str) -> None:
        self._images.pull_now(image, "")

    def usage(self) -> Usage:
        alive = [row for row in self._rows.values() if row.phase in (Phase.ALIVE, Phase.PAUSED)]
        return self._usage.read(self._the_group(), self._parent(), alive)

    def watch(self, wake: Callable[[], None]) -> None:
        self._starts.wake = self._removals.wake = self._images.wake = wake
        self._events = EventWatch(
            self._api, wake, self._hear, self._lives.lost, self._images.forget
        )

    def close(self) -> None:
        if self._events is not None:
            self._events.close()
            self._events = None
        self._images.close()
        self._starts.close()
        self._ends.close()
        self._removals.close()
        self._api.forget_connections()

    # One pilot

    def _pilot(self, row: Row) -> Pilot | None:
        """None if it went away meanwhile."""
        pilot = Pilot(id=row.name, name=row.name, state=PilotState.RUNNING, image=row.image)
        if row.phase is Phase.MADE:
            return self._made(row, pilot)
        try:
            told = self._lives.of(row)
        except NotThere:
            return None
        asked = row.asked is not None or self._ends.asked(row.name)
        phase = phase_of(told.state)
        if phase is not row.phase:
            self._rows[row.name] = replace(row, phase=phase, state=told.state)
        if phase is Phase.OVER:
            self._ends.over(row.name)
            return ended(row, told, asked, self._lived(row, told))
        if row.asked is not None:
            self._ends.adopt(row.name, row.id, row.asked)
        return replace(
            pilot,
            state=PilotState.STOPPING if asked else PilotState.RUNNING,
            age=time.monotonic() - self._began_at(row, told),
            pid=told.pid,
            asked_to_stop=asked,
            detail="" if told.state == "running" else told.state,
        )

    def _made(self, row: Row, pilot: Pilot) -> Pilot:
        """Made and never started, by a daemon that was killed or an engine that was cut off."""
        age = time.monotonic() - self._first_seen.setdefault(row.id, time.monotonic())
        if age < CREATION_GRACE:
            return replace(pilot, state=PilotState.STARTING, age=0.0)
        # No age: it says nothing about the node, as a pilot that died at once would.
        return replace(pilot, state=PilotState.EXITED, detail="it was made and never started")

    def _began_at(self, row: Row, told: Life) -> float:
        """Asked of the wall clock once: a jump of it later must not make anybody older."""
        if row.id not in self._began:
            age = 0.0 if told.started is None else max(0.0, time.time() - told.started)
            self._began[row.id] = time.monotonic() - age
        return self._began[row.id]

    def _lived(self, row: Row, told: Life) -> float | None:
        if told.started is None or told.finished is None:
            return None
        lived = max(0.0, told.finished - told.started)
        began = self._began.get(row.id)
        return lived if began is None else min(lived, time.monotonic() - began)

    def _known(self, pilot_id: str) -> Row | None:
        row = self._rows.get(pilot_id)
        if row is None or row.phase is Phase.MADE:
            found = {one.name: one for one in rows(self._api.containers(NODE))}
            row = found.get(pilot_id)
            if row is not None and not self._removals.hides(row.id):
                self._rows[pilot_id] = row
        return row

    def _hear(self, event: Event) -> bool:
        """Whether the loop should look: not for what it does itself."""
        return self._lives.hear(event) and not self._removals.hides(event.container)

    def _forget(self, here: set[str], starting: dict[str, bool]) -> None:
        self._lives.keep(here)
        self._began = {one: at for one, at in self._began.items() if one in here}
        self._first_seen = {one: at for one, at in self._first_seen.items() if one in here}
        names = {row.name for row in self._rows.values() if row.id in here} | set(starting)
        self._ends.forget(lambda name: name not in names)

    # Starting

    def _launch(self, spec: PilotSpec) -> None:
        facts = self._engine_facts()
        image = self._images.usable()
        body = container_body.body(
            spec,
            image=image.reference,
            digest=image.label,
            facts=facts,
            cgroup_parent=self._parent(),
        )
        try:
            made = self._api.create(spec.name, body)
        except NoSuchImage:
            self._images.forget()
            raise
        except EngineRefused as error:
            raise NotStarted(*why_not_started(str(error))) from error
        try:
            for network in container_body.further_networks(spec.config):
                self._api.connect(made, network)
            self._api.start(made)
        except EngineRefused as error:
            self._clear(made)
            raise NotStarted(*why_not_started(str(error))) from error

    def _clear(self, made: str) -> None:
        try:
            self._api.remove(made)
        except EngineError as error:
            _log.info("%s stays for now: %s", made[:12], error)

    def _started(self, name: str, asked: float | None) -> None:
        if asked is None:
            return
        try:
            self.stop(name, asked)
        except EngineError as error:
            _log.error("%s cannot be asked to end: %s", name, error)

    # The owner's protection

    def _engine_facts(self) -> EngineFacts:
        if self._facts is None:
            self._facts = self._api.facts()
            _log.info("engine: %s at %s", self._facts.name, self.place)
        return self._facts

    def _the_group(self) -> Group:
        if self._group is None:
            driver = self._engine_facts().cgroup_driver
            self._group = Group(self._cgroup_root, self._group_name, driver)
        return self._group

    def _hurry(self, container_id: str) -> None:
        if self._group is not None:
            self._group.hurry(container_id)

    def _parent(self) -> str:
        return engine_parent(self._group_name, self._engine_facts().cgroup_driver)
