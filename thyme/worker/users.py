"""The user that a job runs as: one of its own where the worker is root, else the worker's.

The worker acts as that user (``acting``) whenever it touches what belongs to
the job: makes its scratch directory, opens its streams, fetches its output,
signals it, cleans up. So no link and no race that a job sets up leads to
anything that the job's user could not reach anyway, and the worker needs no
capabilities but SETUID and SETGID.

Only the effective ids change meanwhile: a job's process can neither signal
nor trace a process whose real and saved ids are root's.
"""

from __future__ import annotations

import contextlib
import os
import pwd
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Final

from thyme import privileges
from thyme.errors import BadInvocation, NodeUnfit

#: User (and group) of the first worker's jobs on a machine; the n-th worker's is this plus n.
#: systemd's table of uid ranges leaves 60578-61183 to nobody.
FIRST_UID = 60600
#: How many such users there are.
AUTOMATIC_USERS = 400
#: ``--user`` that means the worker's own user.
SELF = "self"


@dataclass
class JobUser:
    """A user for jobs; ``uid``, ``gid`` None: the worker's own; ``name``, ``home`` "": unknown."""

    uid: int | None = None
    gid: int | None = None
    name: str = ""
    home: str = ""
    #: one of those that a worker chose by its number: no person's, and no other worker's jobs'
    is_automatic: bool = False
    _acts: bool = field(default=False, repr=False, compare=False)

    @property
    def is_self(self) -> bool:
        """Whether jobs run as the worker itself."""
        return self.uid is None

    def acting(self) -> AbstractContextManager[None]:
        """Become this user for files and signals within a ``with`` block; may be nested."""
        if self.uid is None or self.gid is None or self._acts:
            return _AS_WE_ARE
        return _Acting(self, self.uid, self.gid)

    @contextlib.contextmanager
    def executing(self) -> Iterator[None]:
        """Become this user for good in a program executed within the block; use in ``acting``.

        Executing makes the saved id the effective one, and both are the job's; ours stays root's,
        so that we come back, and no process of the job's user may trace us meanwhile.
        """
        if self.uid is None or self.gid is None:
            yield
            return
        uid, gid = os.getuid(), os.getgid()
        try:
            os.setresgid(self.gid, self.gid, gid)
            os.setresuid(self.uid, self.uid, uid)
            yield
        finally:
            os.setresuid(uid, uid, uid)
            os.setresgid(gid, self.gid, gid)
            os.seteuid(self.uid)

    def become(self) -> None:
        """Become this user for good, without capabilities even as root; in a new child process."""
        if self.uid is not None and self.gid is not None:
            os.setresgid(self.gid, self.gid, self.gid)
            os.setresuid(self.uid, self.uid, self.uid)
        privileges.drop_capabilities()

    def variables(self, scratch: str) -> dict[str, str]:
        """Return HOME, USER and LOGNAME, as a login would set them.

        A user that the node does not know has its scratch directory for a home: much does not
        run without one.
        """
        names = {"USER": self.name, "LOGNAME": self.name} if self.name else {}
        return {"HOME": self.home or scratch, **names}

    def check(self) -> None:
        """Check that we may be this user; raises NodeUnfit."""
        try:
            with self.acting():
                pass
        except PermissionError as error:
            raise NodeUnfit(
                f"cannot run jobs as user {self.uid}: {error.strerror}; the worker needs the "
                "capabilities SETUID and SETGID (in Plancton's configuration: "
                "capabilities: [SETUID, SETGID]), or another --user"
            ) from error


class _Acting(AbstractContextManager[None]):
    """Not a generator: a short job's worker enters a dozen of these."""

    def __init__(self, user: JobUser, uid: int, gid: int) -> None:
        self._user, self._uid, self._gid = user, uid, gid

    def __enter__(self) -> None:
        self._groups, self._own_gid = os.getgroups(), os.getegid()
        self._user._acts = True
        try:
            if self._groups:
                os.setgroups([])
            os.setegid(self._gid)
            os.seteuid(self._uid)
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *_error: object) -> None:
        self._user._acts = False
        os.seteuid(os.getuid())
        os.setegid(self._own_gid)
        if self._groups:
            os.setgroups(self._groups)


_AS_WE_ARE: Final = contextlib.nullcontext()


def add_name_and_home(user: JobUser, uid: int) -> JobUser:
    """Add the name and home directory of the user ``uid``, if the node knows them."""
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        return user
    return JobUser(user.uid, user.gid, entry.pw_name, entry.pw_dir)


def choose_job_user(option: str, number: int, euid: int) -> JobUser:
    """Return the user that ``--user`` means, for the worker with this number on its machine.

    ``option``: "" (a user of the worker's own if it is root, else itself), ``self``, or
    ``USER[:GROUP]``, names or numbers. Raises BadInvocation.
    """
    if option == SELF or (not option and euid != 0):
        return add_name_and_home(JobUser(), euid)
    if not option:
        return JobUser(FIRST_UID + number, FIRST_UID + number, is_automatic=True)
    uid, gid = _parse_ids(option)
    if uid == euid:
        return add_name_and_home(JobUser(), uid)
    if euid == 0:
        return add_name_and_home(JobUser(uid, gid), uid)
    raise BadInvocation(f"--user {option}: only a worker that is root runs jobs as another user")


def _parse_ids(option: str) -> tuple[int, int]:
    user, _colon, group = option.partition(":")
    try:
        entry = None if _is_number(user) else pwd.getpwnam(user)
        uid = int(user) if entry is None else entry.pw_uid
        if group:
            return uid, int(group) if _is_number(group) else _find_group(group)
        if entry is None:
            with contextlib.suppress(KeyError):
                entry = pwd.getpwuid(uid)
        return uid, uid if entry is None else entry.pw_gid
    except KeyError as error:
        raise BadInvocation(
            f"--user {option}: no such user or group here; a number need not be known here"
        ) from error


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and int(text) < 2**32 - 1


def _find_group(name: str) -> int:
    import grp  # rarely needed: kept out of an idle worker

    return grp.getgrnam(name).gr_gid
