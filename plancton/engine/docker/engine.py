"""Run pilots as containers of Docker or Podman.

The engine's list is the truth; containers are found by their labels, and one without them is never
touched, but those that Plancton 0.6 left. What takes long (starts, removals, pulls) is done in
threads beside the loop.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from plancton.config.computed_keys import pilots_memory
from plancton.config.model import Config
from plancton.engine.job_features import Features
from plancton.engine.pilot_outputs import OUTPUT_KEPT, PilotOutputs
from plancton.engine.pilot_spec import NAME_PREFIX, NODE_LABEL, PilotSpec
from plancton.errors import EngineError, EngineRefused, NoSuchImage, NotThere
from plancton.model import HostFacts, Pilot, PilotState, Prepared, Protection, Usage
from plancton.node.cgroup import PilotGroup, format_parent
from plancton.node.systemd import find_property_setter

from . import container_body
from .api import DockerApi
from .container_body import EngineFacts
from .disk_watch import DiskWatch
from .events import ContainerEvent, EventWatch
from .feature_updates import FeatureUpdates
from .image_puller import ImagePuller
from .inspections import Inspections
from .listing import (
    ContainerPhase,
    Inspection,
    ListedContainer,
    explain_failed_start,
    find_phase,
    has_host_name,
    make_ended_pilot,
    parse_list,
    parse_old_list,
)
from .removals import Removals
from .starts import NotStarted, Starts, make_failed_pilot, make_starting_pilot
from .stops import Stops
from .usage import UsageReader

_log = logging.getLogger("plancton")

#: Starts at once: more only wait for each other inside the engine.
STARTS = min(16, max(4, os.cpu_count() or 1))
#: Seconds for which a container that was made and never started is left alone: the engine may be
#: about to start it for a daemon that was killed. Meanwhile it takes a pilot's place.
CREATION_GRACE = 10.0
#: What Docker says of a bind that cannot follow the mounts of the node.
_PRIVATE_MOUNT = "not a shared or slave mount"


class DockerEngine:
    """The pilots of the engine that listens at ``host``."""

    name = "docker"
    isolation = ""
    #: It reports when a start is done; a pass in between only moves the ages on.
    starting_interval = 1.0

    def __init__(
        self, host: str, cgroup_parent: str, cgroup_root: Path, outputs: PilotOutputs | None = None
    ) -> None:
        self.place = host
        self._group_name, self._cgroup_root = cgroup_parent, cgroup_root
        self._api = DockerApi(host)
        self._images = ImagePuller(self._api)
        self._stops = Stops(self._api, self._release_cpu)
        self._starts = Starts(self._launch, self._stop_if_asked, STARTS)
        self._removals = Removals(self._discard, self._starts.wait_while_busy)
        self._outputs = outputs
        self._events: EventWatch | None = None
        self._facts: EngineFacts | None = None
        #: and the engine's cgroup driver that it is for
        self._group: tuple[PilotGroup | None, str] = (None, "")
        self._protection: Protection | None = None
        self._usage = UsageReader(self._api.read_stats)
        self._updates = FeatureUpdates(self._api.put_files)
        self._disk = DiskWatch(self._api.read_size)
        self._disk_is_limited = False
        self._rows: dict[str, ListedContainer] = {}
        #: containers of Plancton 0.6, by id; None: not looked for yet
        self._old: set[str] | None = None
        self._inspections = Inspections(self._api.inspect_container)
        #: monotonic moments: when a pilot began, and when a container was first seen
        self._began: dict[str, float] = {}
        self._first_seen: dict[str, float] = {}
        #: the names of containers that are being removed
        self._ended: dict[str, str] = {}

    def prepare(self, config: Config, facts: HostFacts) -> Prepared:
        """Keep the image ready and the owner protected.  Raises EngineUnavailable."""
        image = self._images.update(
            config.docker_image, config.image_expiration, config.registry_config
        )
        self._disk_is_limited = config.max_dock_disk > 0
        protection = self._find_group().protect(pilots_memory(config, facts))
        if protection != self._protection:
            wrong = protection.problems or protection.changes or not protection.cpu
            (_log.warning if wrong else _log.info)("%s", protection.sentence)
        self._protection = protection
        return Prepared(image=image, protection=protection)

    def list_pilots(self) -> tuple[Pilot, ...]:
        """Return every pilot of this node: its containers, and the starts that are under way."""
        starting, failed = self._starts.snapshot()
        found = self._list_labelled() + self._list_old()
        here = {row.id for row in found}
        self._removals.note_listed(here)
        self._starts.note_listed({row.name for row in found}, time.monotonic())
        self._forget_gone(here, starting)
        self._rows = {row.name: row for row in found if not self._removals.is_hidden(row.id)}
        pilots = []
        for row in list(self._rows.values()):
            # over, while it is being started: its start failed, and is cleared away or repeated
            not_yet = (ContainerPhase.MADE, ContainerPhase.OVER) if row.name in starting else ()
            if row.phase in not_yet:
                continue
            pilot = self._describe(row)
            # the list may have called it running a moment ago, or still does
            if pilot is not None and self._rows[row.name].phase not in not_yet:
                starting.pop(row.name, None)
                pilots.append(pilot)
        pilots += [make_starting_pilot(name, asked) for name, asked in starting.items()]
        pilots += [make_failed_pilot(one) for one in failed]
        return tuple(pilots)

    def _list_labelled(self) -> list[ListedContainer]:
        """Return the pilots' containers, whatever somebody has named them.

        What somebody runs from a copy of a pilot (``docker commit``) has its labels, too: it is
        known by its host name, which is not copied, and is left alone.
        """
        listed = parse_list(self._api.list_containers(label=NODE_LABEL))
        return [row for row in listed if row.is_named or self._has_host_name(row)]

    def _list_old(self) -> list[ListedContainer]:
        """Return what Plancton 0.6 left; once nothing is, the engine is not asked again."""
        if self._old is not None and not self._old:
            return []
        listed = parse_old_list(self._api.list_containers(name=NAME_PREFIX))
        if self._old is None:
            found = [row for row in listed if self._has_host_name(row)]
            if found:
                names = ", ".join(row.name for row in found)
                _log.warning("containers of Plancton 0.6 count as pilots until they end: %s", names)
        else:
            found = [row for row in listed if row.id in self._old]
        self._old = {row.id for row in found}
        return found

    def _has_host_name(self, row: ListedContainer) -> bool:
        try:
            return has_host_name(row.name, self._api.inspect_container(row.id))
        except EngineRefused:  # gone, or damaged: what may be somebody's is left alone
            return False

    def start(self, spec: PilotSpec) -> None:
        """Start one in a thread; a pilot that could not be started is listed as ended, with why."""
        self._starts.add(spec)

    def stop(self, pilot_id: str, grace: float) -> None:
        """Ask a container to end, and kill it after ``grace`` seconds; returns at once."""
        if self._starts.request_stop(pilot_id, grace):
            return
        row = self._find(pilot_id)
        if row is None or row.phase is ContainerPhase.OVER:
            return
        if row.phase is ContainerPhase.MADE:
            self._removals.add(row.id)
            return
        try:
            pid = self._inspections.get(row).pid
        except NotThere:
            return
        self._stops.request(row.name, row.id, grace, row.phase is ContainerPhase.PAUSED, pid)

    def share_cpu(self, weights: Mapping[str, int]) -> None:
        """Give each pilot's control group its CPU weight."""
        for pilot_id, weight in weights.items():
            row = self._rows.get(pilot_id)
            if row is not None:
                self._find_group().weigh(row.id, weight)

    def tell(self, pilot_id: str, features: Features) -> None:
        """Write files into a running container, soon; one that is read-only has none."""
        row = self._find(pilot_id)
        if row is None or row.phase in (ContainerPhase.OVER, ContainerPhase.MADE):
            return
        self._updates.add(row.id, row.name, features)

    def remove(self, pilot_id: str) -> None:
        """Remove an ended container; raises EngineError for a running one."""
        if self._starts.drop_failed(pilot_id):
            return
        row = self._find(pilot_id)
        if row is None:
            return
        if row.phase in (ContainerPhase.ALIVE, ContainerPhase.PAUSED):
            raise EngineError(f"{pilot_id}: is {row.state}; stop it first")
        self._ended[row.id] = row.name
        try:
            self._removals.add(row.id)
        except EngineError as error:
            raise EngineError(f"{pilot_id}: {error}") from error

    def read_output(self, pilot_id: str) -> bytes | None:
        """Return the end of a container's output; None for one that is not listed."""
        row = self._find(pilot_id)
        if row is None or self._removals.is_hidden(row.id):
            return None
        try:
            return self._api.read_output(row.id, OUTPUT_KEPT)
        except NotThere:
            return None

    def read_usage(self) -> Usage:
        """Return the CPU time and memory of the pilots, and how much of the disk they fill."""
        alive = [
            row
            for row in self._rows.values()
            if row.phase in (ContainerPhase.ALIVE, ContainerPhase.PAUSED)
        ]
        usage = self._usage.read(self._find_group(), self._find_parent(), alive)
        if not alive or not self._disk_is_limited:
            return usage
        ids = {row.name: row.id for row in alive}
        self._disk.look(ids.values())
        pilots = {
            name: replace(used, disk=self._disk.find(ids[name]))
            for name, used in usage.pilots.items()
        }
        return replace(usage, pilots=pilots)

    def watch(self, wake: Callable[[], None]) -> None:
        """Call ``wake``, from any thread, soon after a container starts or ends."""
        self._starts.wake = self._removals.wake = self._images.wake = wake
        self._events = EventWatch(
            self._api.open_events,
            wake,
            self._note_event,
            self._note_lost_events,
            self._images.forget_known,
        )

    def close(self) -> None:
        """Stop the threads and close the connections. Pilots go on."""
        if self._events is not None:
            self._events.close()
            self._events = None
        self._images.close()
        self._starts.close()
        self._stops.close()
        self._removals.close()
        self._disk.close()
        self._api.forget_connections()

    # One pilot

    def _describe(self, row: ListedContainer) -> Pilot | None:
        """Return the pilot of a container; None if it was removed meanwhile."""
        pilot = Pilot(id=row.name, name=row.name, state=PilotState.RUNNING, image=row.image)
        if row.phase is ContainerPhase.MADE:
            return self._describe_created(row, pilot)
        try:
            inspection = self._inspections.get(row)
        except NotThere:
            return None
        asked = row.asked is not None or self._stops.was_requested(row.name)
        phase = find_phase(inspection.state)
        if phase is not row.phase:
            self._rows[row.name] = replace(row, phase=phase, state=inspection.state)
        if phase is ContainerPhase.OVER:
            self._stops.mark_ended(row.name)
            return make_ended_pilot(row, inspection, asked, self._measure_life(row, inspection))
        if row.asked is not None:
            self._stops.adopt(row.name, row.id, row.asked)
        return replace(
            pilot,
            state=PilotState.STOPPING if asked else PilotState.RUNNING,
            age=time.monotonic() - self._find_start(row, inspection),
            pid=inspection.pid,
            asked_to_stop=asked,
            detail="" if inspection.state == "running" else inspection.state,
        )

    def _describe_created(self, row: ListedContainer, pilot: Pilot) -> Pilot:
        """Return the pilot of a container that was created and never started."""
        age = time.monotonic() - self._first_seen.setdefault(row.id, time.monotonic())
        if age < CREATION_GRACE:
            return replace(pilot, state=PilotState.STARTING, age=0.0)
        # No age: it says nothing about the node, as a pilot that died at once would.
        return replace(pilot, state=PilotState.EXITED, detail="it was made and never started")

    def _find_start(self, row: ListedContainer, inspection: Inspection) -> float:
        """Return when the pilot started, on the monotonic clock.

        The wall clock is asked once: a jump of it later must not make any pilot older.
        """
        if row.id not in self._began:
            age = 0.0 if inspection.started is None else max(0.0, time.time() - inspection.started)
            self._began[row.id] = time.monotonic() - age
        return self._began[row.id]

    def _measure_life(self, row: ListedContainer, inspection: Inspection) -> float | None:
        if inspection.started is None or inspection.finished is None:
            return None
        lived = max(0.0, inspection.finished - inspection.started)
        began = self._began.get(row.id)
        return lived if began is None else min(lived, time.monotonic() - began)

    def _find(self, pilot_id: str) -> ListedContainer | None:
        row = self._rows.get(pilot_id)
        if row is None or row.phase is ContainerPhase.MADE:
            row = {one.name: one for one in self._list_labelled()}.get(pilot_id)
            if row is not None and not self._removals.is_hidden(row.id):
                self._rows[pilot_id] = row
        return row

    def _discard(self, container: str) -> None:
        """Remove a container, and keep the end of its output."""
        name = self._ended.get(container)
        if self._outputs is not None and name is not None:
            try:
                self._outputs.keep(name, self._api.read_output(container, OUTPUT_KEPT))
            except NotThere:
                pass
            except (EngineRefused, OSError) as error:
                _log.info("output of %s is not kept: %s", name, error)
        self._api.remove(container)
        # An engine that is killed in the middle of a start forgets what it started.
        if left := self._find_group().kill(container):
            _log.warning(
                "%s: %d processes that the engine had forgotten are killed", name or container, left
            )

    def _note_event(self, event: ContainerEvent) -> bool:
        """Tell whether the event calls for a pass: not one that the loop caused itself."""
        return self._inspections.note_event(event) and not self._removals.is_hidden(event.container)

    def _forget_gone(self, here: set[str], starting: dict[str, bool]) -> None:
        self._inspections.keep_only(here)
        self._began = {one: at for one, at in self._began.items() if one in here}
        self._ended = {one: name for one, name in self._ended.items() if one in here}
        self._first_seen = {one: at for one, at in self._first_seen.items() if one in here}
        names = {row.name for row in self._rows.values() if row.id in here} | set(starting)
        self._stops.forget_gone(lambda name: name not in names)

    # Starting

    def _launch(self, spec: PilotSpec) -> None:
        facts = self._read_engine_facts()
        image = self._images.get_usable()
        body = container_body.build_body(
            spec,
            image=image.reference,
            digest=image.label,
            facts=facts,
            cgroup_parent=self._find_parent(),
        )
        try:
            made = self._api.create(spec.name, body)
        except NoSuchImage:
            self._images.forget_known()
            raise
        except EngineRefused as error:
            raise NotStarted(*explain_failed_start(str(error))) from error
        try:
            for network in container_body.list_further_networks(spec.config):
                self._api.connect(made, network)
            if container_body.has_features(spec):
                self._put_features(made, spec)
            self._api.start(made)
        except EngineRefused as error:
            if not self._remove_created(made):
                _log.warning("%s: somebody removed its container before it ran", spec.name)
                raise NotThere(spec.name) from error
            if _PRIVATE_MOUNT in str(error) and facts.passes_mounts_on:
                _log.warning(
                    "what is mounted on this node later does not show in pilots: %s; "
                    "`mount --make-rshared /` mends that", error,
                )  # fmt: skip
                self._facts = replace(facts, passes_mounts_on=False)
                return self._launch(spec)
            raise NotStarted(*explain_failed_start(str(error))) from error

    def _put_features(self, made: str, spec: PilotSpec) -> None:
        """Write what the pilot is told; one that cannot be told is started all the same."""
        try:
            self._api.put_files(made, container_body.pack_features(spec.features))
        except EngineRefused as error:
            _log.warning(
                "%s runs without Machine/Job Features, as files cannot be put into its container: "
                "%s",
                spec.name, error,
            )  # fmt: skip

    def _remove_created(self, made: str) -> bool:
        """Remove a container that did not start; False: somebody else has, as ``prune`` does."""
        try:
            self._api.remove(made)
        except NotThere:
            return False
        except EngineError as error:
            if "in progress" in str(error):
                return False
            _log.info("%s stays for now: %s", made[:12], error)
        return True

    def _stop_if_asked(self, name: str, asked: float | None) -> None:
        if asked is None:
            return
        try:
            self.stop(name, asked)
        except EngineError as error:
            _log.error("%s cannot be asked to end: %s", name, error)

    # The owner's protection

    def _note_lost_events(self, was_away: bool) -> None:
        self._inspections.forget_all()
        if was_away:  # it may have come back with other settings (daemon.json)
            self._facts = None

    def _read_engine_facts(self) -> EngineFacts:
        facts = self._facts
        if facts is None:
            self._facts = facts = self._api.read_facts()
            _log.info("engine: %s at %s", facts.name, self.place)
        return facts

    def _find_group(self) -> PilotGroup:
        driver = self._read_engine_facts().cgroup_driver
        group, known = self._group
        if group is None or driver != known:
            group = PilotGroup(self._cgroup_root, self._group_name, driver, find_property_setter())
            self._group = group, driver
        return group

    def _release_cpu(self, container_id: str) -> None:
        group, _driver = self._group
        if group is not None:
            group.release_cpu(container_id)

    def _find_parent(self) -> str:
        return format_parent(self._group_name, self._read_engine_facts().cgroup_driver)
