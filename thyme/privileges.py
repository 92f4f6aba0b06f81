"""Gives up rights of this process for good, and hides it, by prctl and capset.

Numbers are from ``linux/prctl.h`` and ``linux/capability.h``. What a kernel or
a container does not let us give up is tried and left: a job's rights end with
its user id in any case.
"""

from __future__ import annotations

import ctypes
import os

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_CAPBSET_DROP = 24
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_NO_NEW_PRIVS = 38
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_CLEAR_ALL = 4
_CAPABILITY_VERSION_3 = 0x20080522
#: Writing past disk quotas and into blocks reserved for root, and more than that.
CAP_SYS_RESOURCE = 24
#: Capabilities that a kernel may know; the last one so far is 40.
_CAPABILITIES = range(64)

_libc = ctypes.CDLL(None, use_errno=True)


def _prctl(option: int, value: int = 0) -> bool:
    done: int = _libc.prctl(option, value, 0, 0, 0)
    return done == 0


def make_undumpable() -> None:
    """Let nobody but real root look into this process: memory, environment, open files, ptrace.

    Its ``/proc`` entries belong to root from now on, so that a job of the same user cannot
    open them; a program that is executed starts visible again.
    """
    _prctl(_PR_SET_DUMPABLE, 0)


def become_subreaper() -> None:
    """Become the parent of processes below us whose parent dies."""
    if not _prctl(_PR_SET_CHILD_SUBREAPER, 1):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def set_parent_death_signal(number: int) -> None:
    """Get this signal when the parent ends. Forgotten when the user changes: call it after."""
    _prctl(_PR_SET_PDEATHSIG, number)


def drop_inheritable_rights() -> None:
    """Let no program executed from now on gain rights that this process's user has not.

    Our own rights stay. Emptying the bounding set needs CAP_SETPCAP.
    """
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    _libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
    for capability in _CAPABILITIES:
        if not _prctl(_PR_CAPBSET_DROP, capability):
            break  # not allowed, or beyond the last one
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    sets = (ctypes.c_uint32 * 6)()
    if _libc.capget(header, sets) == 0:
        sets[2] = sets[5] = 0  # the inheritable ones; 32 capabilities each
        _libc.capset(header, sets)


def drop_capabilities() -> None:
    """Empty all capability sets, also after executing a program."""
    # else root's programs get theirs back, and forget whom to die with
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    _libc.capset(header, (ctypes.c_uint32 * 6)())


def drop_capability(number: int) -> None:
    """Give up one capability; threads that are started from now on do not have it either.

    ``number``: as in linux/capability.h.
    """
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    sets = (ctypes.c_uint32 * 6)()
    if _libc.capget(header, sets) == 0:
        word, bit = divmod(number, 32)
        for place in range(3 * word, 3 * word + 3):  # effective, permitted, inheritable
            sets[place] &= ~(1 << bit)
        _libc.capset(header, sets)


def remove_variable(name: str) -> None:
    """Remove an environment variable, also from what ``/proc/PID/environ`` shows."""
    _libc.getenv.restype = ctypes.c_void_p
    value = os.environ.get(name)
    place = _libc.getenv(os.fsencode(name))
    if place and value is not None:
        ctypes.memset(place, ord("x"), len(os.fsencode(value)))
    os.environ.pop(name, None)
