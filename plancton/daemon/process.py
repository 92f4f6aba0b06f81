"""The daemon as a process: its lock, signals, log and status file.

SIGTERM, SIGINT   end; pilots go on, and the next daemon adopts them
SIGHUP            read the configuration now
SIGUSR1           make a pass now (``planctonctl`` sends it after it has set a flag)
"""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Mapping
from dataclasses import replace
from types import FrameType

from plancton import __version__
from plancton.config.model import Config, list_notes
from plancton.config.reload import ConfigWatch
from plancton.config.remote import is_switched_on
from plancton.day_report.recorder import Recorder
from plancton.engine.process.procfs import read_boot_id
from plancton.engine.select import open_engine
from plancton.metrics.sender import Metrics
from plancton.model import History, LoopPass
from plancton.node.sensors import ProcSensors
from plancton.paths import Paths

from . import backoff_store, status_document
from .admin_mode import AdminFlags
from .config_source import open_config_source
from .control_loop import Clock, ControlLoop
from .engine_switch import EngineSwitch
from .idle_store import IdleStore
from .lock import DaemonLock
from .logs import Syslog
from .sd_notify import SystemdNotifier
from .wakeup import PipeWakeup

_log = logging.getLogger("plancton")


def run(paths: Paths, environ: Mapping[str, str]) -> None:
    """Work until told to end.  Raises PlanctonError when the daemon cannot start."""
    sensors = ProcSensors()
    facts = sensors.read_facts()
    clock = Clock(now=time.monotonic, wall=time.time)
    for number in (signal.SIGHUP, signal.SIGUSR1):
        # Whoever sees the lock may send one, and it would end this process: what they ask for is
        # done by the first pass anyway.
        signal.signal(number, signal.SIG_IGN)
    lock = DaemonLock(paths)
    lock.take()
    wakeup = PipeWakeup()
    try:
        with open_config_source(paths, facts, environ, clock, wakeup.wake) as config:
            _work(paths, environ, sensors, clock, wakeup, config)
    finally:
        lock.release()
        wakeup.close()


def _work(
    paths: Paths,
    environ: Mapping[str, str],
    sensors: ProcSensors,
    clock: Clock,
    wakeup: PipeWakeup,
    config: ConfigWatch,
) -> None:
    engine = EngineSwitch(lambda config: open_engine(config, paths), config.config)
    syslog, notifier = Syslog(), SystemdNotifier(environ)
    metrics = Metrics(sensors.read_facts(), clock.now, clock.wall)
    recorder = Recorder(paths.day)
    idle_store = IdleStore(paths.idle_periods)
    metrics.reporter.listeners.append(recorder.take)
    me = status_document.DaemonInfo(pid=os.getpid(), began=clock.now())
    last: list[LoopPass] = []

    def publish(loop_pass: LoopPass, daemon: status_document.DaemonInfo = me) -> None:
        last[:] = [loop_pass]
        content = status_document.build_document(
            daemon,
            loop_pass,
            engine=engine,
            facts=loop.facts,
            watch=config,
            config_path=paths.config_name,
            ended=loop.ended,
            counts=loop.counts,
            now=clock.now(),
            wall=clock.wall(),
        )
        try:
            status_document.write_document(paths.status, content)
        except OSError as error:
            # A full disk must not stop the work; the age of the file shows it.
            _log.error("%s: cannot be written: %s", paths.status, error.strerror)
        if daemon.running:
            metrics.look(loop_pass, config, loop.counts, loop.errors)
        idle_store.look(loop_pass.decision.history, clock.now(), clock.wall())
        notifier.notify_ready(loop_pass.decision.summary)

    def follow(new: Config) -> str:
        problems = (syslog.follow(new.syslog), engine.follow(new), metrics.follow(new))
        return "; ".join(filter(None, problems))

    def remember(history: History) -> None:
        try:
            backoff_store.save(paths.history, history, read_boot_id())
        except OSError as error:
            _log.error("%s: cannot be written: %s", paths.history, error.strerror)

    flags = AdminFlags(paths.rundir)
    history = backoff_store.load(paths.history, config.config, clock.now(), read_boot_id())
    loop = ControlLoop(
        engine=engine,
        sensors=sensors,
        config=config,
        flags=flags,
        wakeup=wakeup,
        clock=clock,
        publish=publish,
        follow=follow,
        history=idle_store.load(history, clock.now(), clock.wall()),
        remember=remember,
    )
    try:
        flags.clear_old_force_stop()
        if is_switched_on(environ, "PLANCTON_START_DRAIN"):
            flags.drain()
        _log.info("plancton %s, engine %s, pid %d", __version__, engine.name, os.getpid())
        for note in filter(None, (engine.isolation, *list_notes(config.config))):
            _log.warning("%s", note)
        _handle_signals(loop, wakeup)
        engine.watch(wakeup.wake)
        loop.run()
    finally:
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        notifier.notify_stopping()
        engine.close()
        if last:
            publish(last[0], replace(me, running=False))
            idle_store.save(last[0].decision.history, clock.now(), clock.wall())
            left = len(last[0].pilots or ())
            _log.info("the daemon ends; %d pilots go on", left)
        metrics.close()
        recorder.flush()
        syslog.close()


_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1)


def _handle_signals(loop: ControlLoop, wakeup: PipeWakeup) -> None:
    acts = (loop.request_end, loop.request_end, loop.request_reload, wakeup.wake)
    of = dict(zip(_SIGNALS, acts, strict=True))

    def handle(number: int, _frame: FrameType | None) -> None:
        of[signal.Signals(number)]()

    for number in _SIGNALS:
        signal.signal(number, handle)
