"""``planctonctl stop``, ``force-stop``, ``drain``, ``resume`` and others: control the daemon."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from plancton.daemon.admin_mode import AdminFlags
from plancton.daemon.lock import DaemonLock, running_pid
from plancton.errors import ConfigError, EngineError, ExitCode, NotRunning, PlanctonError
from plancton.model import Mode, PilotState
from plancton.paths import Paths
from plancton.policy.capacity import format_pilots
from plancton.policy.rules import FORCE_GRACE

from .document import find_write_problem, open_last_engine, read_document

if TYPE_CHECKING:
    from plancton.engine.base import Engine

#: Seconds that a daemon may need to end after SIGTERM.
_STOP_WAIT = 30.0
#: Seconds beyond the grace for killing, removing and ending.
_FORCE_WAIT = 30.0
#: Seconds that a daemon may need to read its configuration.
_RELOAD_WAIT = 30.0
#: Seconds between two looks at the daemon: while it ends, and while pilots end by themselves.
_PAUSE, _WAIT_PAUSE = 0.02, 0.2


def stop(paths: Paths, _arguments: argparse.Namespace) -> int:
    """End the daemon and wait for it; pilots go on."""
    pid = running_pid(paths)
    if pid is None:
        print("the daemon does not run")
        return ExitCode.OK
    _signal(pid, signal.SIGTERM)
    _wait_for_end(paths, pid, _STOP_WAIT)
    pilots = (read_document(paths) or {}).get("pilots")
    print(f"stopped; pilots that go on: {'not known' if pilots is None else len(pilots)}")
    return ExitCode.OK


def force_stop(paths: Paths, _arguments: argparse.Namespace) -> int:
    """End every pilot and the daemon, and wait for both."""
    pid = running_pid(paths)
    if pid is None:
        _end_what_is_left(paths)
        print("neither the daemon nor a pilot is running")
        return ExitCode.OK
    AdminFlags(paths.rundir).force_stop()
    asked = time.monotonic()
    _signal(pid, signal.SIGUSR1)
    if ((read_document(paths) or {}).get("engine") or {}).get("problem"):
        # An engine that hangs may make the next look long.
        print("the engine did not answer at the last look; it is asked again", flush=True)
    _wait_for_end(paths, pid, FORCE_GRACE + _FORCE_WAIT, lambda: _check_engine(paths, asked))
    print("stopped; no pilot goes on")
    return ExitCode.OK


def drain(paths: Paths, arguments: argparse.Namespace) -> int:
    """Start no new pilots; running ones end by themselves."""
    return _drain(paths, arguments, "drains: no new pilots are started", then_stop=False)


def drain_stop(paths: Paths, arguments: argparse.Namespace) -> int:
    """Drain, and end the daemon after the last pilot."""
    text = "drains, and the daemon ends after the last pilot"
    return _drain(paths, arguments, text, then_stop=True)


def _drain(paths: Paths, arguments: argparse.Namespace, text: str, *, then_stop: bool) -> int:
    flags, wait, deadline = AdminFlags(paths.rundir), arguments.wait, arguments.deadline
    # where --wait ends first, nobody is there to end pilots
    ends = deadline is not None and (wait is None or deadline <= wait)
    flags.drain(then_stop=then_stop, deadline=time.time() + deadline if ends else None)
    _report(paths, text)
    try:
        return _wait_for_pilots(paths, wait, deadline)
    except KeyboardInterrupt:
        if ends:
            # Nobody will end pilots now: they are told so.
            flags.drain(then_stop=then_stop)
        raise


def resume(paths: Paths, _arguments: argparse.Namespace) -> int:
    """End a drain, and try pilots again."""
    flags = AdminFlags(paths.rundir)
    flags.resume()
    # Who repairs a node and resumes it wants pilots now, not after the wait of old failures.
    flags.request_retry()
    return _report(paths, "is in use: pilots are started again")


def retry(paths: Paths, _arguments: argparse.Namespace) -> int:
    """Have the daemon forget the failures of pilots and start some at once."""
    AdminFlags(paths.rundir).request_retry()
    return _report(paths, "forgets earlier failures: pilots are tried again")


def reload(paths: Paths, _arguments: argparse.Namespace) -> int:
    """Have the daemon read its configuration, and say whether it could use it."""
    pid = running_pid(paths)
    if pid is None:
        raise NotRunning("the daemon does not run; it reads the configuration when it starts")
    asked = time.monotonic()
    _signal(pid, signal.SIGHUP)
    deadline = asked + _RELOAD_WAIT
    while (document := read_document(paths)) is None or not _has_read(document, asked):
        if time.monotonic() > deadline or running_pid(paths) != pid:
            problem = find_write_problem(paths)
            why = f" ({problem})" if problem else ""
            raise PlanctonError(
                f"the daemon (pid {pid}) has not said within {_RELOAD_WAIT:g} s that it has read "
                f"it{why}; see {paths.log}"
            )
        time.sleep(_PAUSE)
    if problem := document["config"]["problem"]:
        if document["config"]["rejected"]:
            raise ConfigError(f"the previous configuration stays in force: {problem}")
        raise ConfigError(f"{document['config']['path']} is in force, but for this: {problem}")
    print(f"{document['config']['path']} is in force")
    return ExitCode.OK


def _has_read(document: dict[str, Any], asked: float) -> bool:
    """Tell whether the daemon has read its configuration since ``asked``, from a server too."""
    # a daemon of before an upgrade does not say whether it still asks
    return document["looked"] >= asked and not document["config"].get("asking")


def _wait_for_pilots(paths: Paths, seconds: float | None, kill_after: float | None) -> int:
    """Wait until no pilot runs, at most ``seconds`` (None: not at all); say how many still do.

    Pilots that still run after ``kill_after`` seconds are asked to end; without ``seconds`` they
    are then waited for as long as they may take.  Raises PlanctonError if some still run.
    """
    if seconds is None and kill_after is not None:
        seconds = kill_after + _read_stop_grace(paths) + _FORCE_WAIT
    if seconds is None:
        return ExitCode.OK
    with contextlib.ExitStack() as opened:
        began, shown = time.monotonic(), None
        while running_pid(paths) is not None:
            document = read_document(paths) or {}
            pilots = [one for one in document.get("pilots") or () if one["state"] != "exited"]
            known = document.get("mode") in (Mode.DRAIN.value, Mode.DRAIN_STOP.value)
            if known and not pilots and document["pilots"] is not None:
                break
            text = _count_running(len(pilots))
            waited = time.monotonic() - began
            if kill_after is not None and waited > kill_after:
                print(f"{text} after {kill_after:.10g} s: they are asked to end", flush=True)
                # open until they have ended: it may be what kills them
                opened.callback(_stop_pilots(paths, document).close)
                kill_after = None
            if waited > seconds:
                raise PlanctonError(f"{text} after {seconds:.10g} s")
            if known and text != shown:
                print(text, flush=True)
                shown = text
            time.sleep(_WAIT_PAUSE)
        else:
            _check_none_left(paths)
    print("all pilots have ended")
    return ExitCode.OK


def _count_running(number: int) -> str:
    """Return ``1 pilot is still running`` and the like."""
    return f"{format_pilots(number)} {'is' if number == 1 else 'are'} still running"


def _read_stop_grace(paths: Paths) -> float:
    """Return how long pilots may take to end (s), as the daemon's configuration says."""
    config = (read_document(paths) or {}).get("config") or {}
    return float(config.get("stop_grace", FORCE_GRACE))


def _stop_pilots(paths: Paths, document: dict[str, Any]) -> Engine:
    """Ask every pilot to end, as an eviction does; return the engine, which may have to kill."""
    engine = _open_engine(paths, document, "the daemon")
    grace = _read_stop_grace(paths)
    for pilot in engine.list_pilots():
        if pilot.state is not PilotState.EXITED:
            try:
                engine.stop(pilot.id, grace)
            except EngineError as error:  # the others are asked all the same
                print(error, flush=True)
    return engine


def _open_engine(paths: Paths, document: dict[str, Any] | None, of: str) -> Engine:
    """Return the engine in a status document; ``of``: the daemon that wrote it, for people."""
    engine = open_last_engine(document, paths)
    if engine is None:
        raise EngineError(f"the engine of {of} is not known to this version")
    return engine


def _check_none_left(paths: Paths) -> None:
    """Raise PlanctonError if pilots of a daemon that is gone are still running."""
    with contextlib.closing(_open_engine(paths, read_document(paths), "the last daemon")) as engine:
        left = [pilot for pilot in engine.list_pilots() if pilot.state is not PilotState.EXITED]
    if left:
        raise PlanctonError(
            f"the daemon does not run, and {_count_running(len(left))}; "
            "`planctonctl force-stop` ends them"
        )


def _check_engine(paths: Paths, since: float) -> None:
    """Raise EngineError if the engine did not answer to the daemon after ``since``."""
    document = read_document(paths)
    if document and document["looked"] > since and document["engine"]["problem"]:
        raise EngineError(
            f"the engine does not answer: {document['engine']['problem']}; "
            "the daemon ends the pilots and itself when it does. "
            "`planctonctl stop` ends the daemon alone"
        )


def _report(paths: Paths, what: str) -> int:
    pid = running_pid(paths)
    if pid is None:
        print(f"the daemon does not run; when it starts, the node {what}")
    else:
        _signal(pid, signal.SIGUSR1)
        print(f"the node {what}")
    return ExitCode.OK


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass  # ended just now
    except PermissionError as error:
        raise PlanctonError(f"the daemon (pid {pid}) belongs to another user") from error


def _wait_for_end(
    paths: Paths, pid: int, seconds: float, check: Callable[[], None] = lambda: None
) -> None:
    deadline = time.monotonic() + seconds
    while running_pid(paths) == pid:
        check()
        if time.monotonic() > deadline:
            raise PlanctonError(
                f"the daemon (pid {pid}) still runs after {seconds:.10g} s; see {paths.log}"
            )
        time.sleep(_PAUSE)


def _end_what_is_left(paths: Paths) -> None:
    """End the pilots of a daemon that is gone; holds its lock, so that none starts meanwhile."""
    lock = DaemonLock(paths)
    lock.take()
    try:
        engine = _open_engine(paths, read_document(paths), "the last daemon")
        deadline = time.monotonic() + FORCE_GRACE + _FORCE_WAIT
        while pilots := engine.list_pilots():
            for pilot in pilots:
                if pilot.state is PilotState.EXITED:
                    engine.remove(pilot.id)
                elif not pilot.asked_to_stop:
                    engine.stop(pilot.id, FORCE_GRACE)
            if time.monotonic() > deadline:
                names = ", ".join(pilot.name for pilot in pilots)
                raise EngineError(f"these pilots do not end: {names}")
            time.sleep(_PAUSE)
        engine.close()
    finally:
        lock.release()
