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
from dataclasses import replace
from types import FrameType

from plancton import __version__, config_file, status
from plancton.bell import PipeBell
from plancton.config import notes
from plancton.config_watch import ConfigWatch
from plancton.control import Flags
from plancton.engine.choose import engine_for
from plancton.host import ProcSensors
from plancton.lock import DaemonLock
from plancton.loop import Clock, Loop
from plancton.paths import Paths

_log = logging.getLogger("plancton")


def run(paths: Paths) -> None:
    """Work until told to end.  Raises PlanctonError when it cannot begin."""
    sensors = ProcSensors()
    facts = sensors.facts()
    clock = Clock(now=time.monotonic, wall=time.time)
    config = ConfigWatch(lambda: config_file.load(paths.config, facts), clock.now, clock.wall)
    lock = DaemonLock(paths)
    engine = engine_for(config.config, paths)
    lock.take()
    bell = PipeBell()
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
            config_path=str(paths.config),
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

    flags = Flags(paths.rundir)
    loop = Loop(
        engine=engine,
        sensors=sensors,
        config=config,
        flags=flags,
        bell=bell,
        clock=clock,
        publish=publish,
    )
    try:
        flags.starting()
        _log.info("plancton %s, engine %s, pid %d", __version__, engine.name, os.getpid())
        for note in (engine.isolation, *notes(config.config)):
            _log.warning("%s", note)
        _handle_signals(loop, bell)
        engine.watch(bell.ring)
        loop.run()
    finally:
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        engine.close()
        if last:
            publish(last[0], replace(me, running=False))
            left = len(last[0].pilots or ())
            _log.info("the daemon ends; %d pilots go on", left)
        lock.release()
        bell.close()


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
