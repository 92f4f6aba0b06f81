"""The daemon as a process: its lock, its signals, its log and its status file.

SIGTERM, SIGINT   end; pilots go on, and the next daemon adopts them
SIGHUP            read the configuration now
SIGUSR1           look now (``planctonctl`` sends it after it set a flag)
"""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Mapping
from dataclasses import replace
from types import FrameType

from plancton.day.recorder import Recorder
from plancton.engine.choose import engine_for
from plancton.engine.processes import boot_id

from . import __version__, config_source, history_file, status
from .bell import PipeBell
from .config import Config, notes
from .config_url import is_set
from .control import Flags
from .handover import Handover
from .host import ProcSensors
from .lock import DaemonLock
from .logs import Syslog
from .loop import Clock, Loop
from .metrics import Metrics
from .model import History
from .notify import Supervisor
from .paths import Paths

_log = logging.getLogger("plancton")


def run(paths: Paths, environ: Mapping[str, str]) -> None:
    """Work until told to end.  Raises PlanctonError when it cannot begin."""
    sensors = ProcSensors()
    facts = sensors.facts()
    clock = Clock(now=time.monotonic, wall=time.time)
    lock = DaemonLock(paths)
    lock.take()
    bell = PipeBell()
    source = None
    try:
        source = config_source.open_source(paths, facts, environ, clock, bell.ring)
        _work(paths, environ, sensors, clock, bell, source)
    finally:
        if source is not None:
            source.close()
        lock.release()
        bell.close()


def _work(
    paths: Paths,
    environ: Mapping[str, str],
    sensors: ProcSensors,
    clock: Clock,
    bell: PipeBell,
    source: config_source.Source,
) -> None:
    config = source.watch
    engine = Handover(lambda config: engine_for(config, paths), config.config)
    syslog, supervisor = Syslog(), Supervisor(environ)
    metrics = Metrics(sensors.facts(), clock.now, clock.wall)
    recorder = Recorder(paths.day)
    metrics.listeners.append(recorder.take)
    me = status.Daemon(pid=os.getpid(), started=clock.wall())
    last: list[status.Look] = []

    def publish(look: status.Look, daemon: status.Daemon = me) -> None:
        last[:] = [look]
        content = status.document(
            daemon,
            look,
            engine=engine,
            facts=loop.facts,
            config=config.config,
            config_path=paths.config_name,
            config_loaded=config.loaded,
            config_problem=config.problem,
            ended=loop.ended,
            counts=loop.counts,
            now=clock.now(),
            wall=clock.wall(),
        )
        try:
            status.write(paths.status, content)
        except OSError as error:
            # A full disk must not stop the work; the age of the file tells.
            _log.error("%s: cannot be written: %s", paths.status, error.strerror)
        if daemon.running:
            metrics.look(
                look,
                config.config,
                loop.counts,
                loop.errors,
                loaded=config.loaded,
                rejected=bool(config.problem),
            )
        supervisor.working(look.decision.summary)

    def follow(new: Config) -> str:
        problems = (syslog.follow(new.syslog), engine.follow(new), metrics.follow(new))
        return "; ".join(filter(None, problems))

    def remember(history: History) -> None:
        try:
            history_file.save(paths.history, history, boot_id())
        except OSError as error:
            _log.error("%s: cannot be written: %s", paths.history, error.strerror)

    flags = Flags(paths.rundir)
    loop = Loop(
        engine=engine,
        sensors=sensors,
        config=config,
        flags=flags,
        bell=bell,
        clock=clock,
        publish=publish,
        follow=follow,
        history=history_file.load(paths.history, config.config, clock.now(), boot_id()),
        remember=remember,
    )
    try:
        flags.starting()
        if is_set(environ, "PLANCTON_START_DRAIN"):
            flags.drain()
        _log.info("plancton %s, engine %s, pid %d", __version__, engine.name, os.getpid())
        for note in filter(None, (engine.isolation, *notes(config.config))):
            _log.warning("%s", note)
        _handle_signals(loop, bell)
        engine.watch(bell.ring)
        loop.run()
    finally:
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        supervisor.ending()
        engine.close()
        if last:
            publish(last[0], replace(me, running=False))
            left = len(last[0].pilots or ())
            _log.info("the daemon ends; %d pilots go on", left)
        metrics.close()
        recorder.flush()
        syslog.close()


_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1)


def _handle_signals(loop: Loop, bell: PipeBell) -> None:
    def end(_number: int, _frame: FrameType | None) -> None:
        loop.end()

    def reload(_number: int, _frame: FrameType | None) -> None:
        loop.reload()

    def look(_number: int, _frame: FrameType | None) -> None:
        bell.ring()

    for number, handler in zip(_SIGNALS, (end, end, reload, look), strict=True):
        signal.signal(number, handler)
