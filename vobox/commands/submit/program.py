"""The job's executable: found, checked, and what it is called on the node."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass

from commandline.parser import find_nearest
from vobox.classad.ad import Ad, quote

from .errors import SubmitError, job_error, submit_error
from .input_files import FileCache
from .job_commands import Commands
from .macros import fill_machine_defaults

#: Assignments among which a misspelt ``executable`` is looked for.
_MAX_NAMES = 1000


@dataclass(frozen=True)
class Program:
    """The job's executable."""

    command: str  #: what the task runs
    sent: bytes | None = None  #: its content, if it travels
    size: int = 0  #: bytes; 0 where this host does not have it


def record_program(
    commands: Commands,
    ad: Ad,
    store: FileCache,
    sandbox: bool,
    cwd: str,
    iwd: str,
    allow_crlf: bool,
) -> Program:
    """Record Cmd.

    :param sandbox: whether the job has a directory of its own, else it runs in ``iwd``
    :param cwd: where condor_submit was run; relative executables begin there
    :param allow_crlf: whether a script may have DOS line endings
    :raises SubmitError: if the executable is missing, empty or unreadable
    """
    if commands.get("shell"):
        ad["Cmd"], ad["TransferExecutable"] = '"/bin/sh"', "false"
        return Program("/bin/sh", size=_find_size(store, "/bin/sh"))
    name = commands.get("executable", "cmd")
    if name is None:
        others = [name for name in commands.find_names("") if name.lower() != "executable"]
        near = find_nearest("executable", others[:_MAX_NAMES])
        hint = f"; did you mean it by '{near}'?" if near else ""
        raise job_error(f"No 'executable' parameter was provided{hint}")
    wanted = commands.get("transfer_executable", "TransferExecutable")
    if wanted is not None and wanted.lower() in ("false", "f"):  # the rest is true for HTCondor
        ad["Cmd"], ad["TransferExecutable"] = quote(name), "false"
        size = _find_size(store, posixpath.join(cwd, name))
        return Program(
            _find_path_on_node(fill_machine_defaults("executable", name), sandbox, iwd),
            size=size,
        )
    path = posixpath.join(cwd, name)
    ad["Cmd"] = quote(path)
    try:
        if not sandbox:
            return Program(fill_machine_defaults("executable", path), size=store.size(path))
        data = store.read(path)
    except OSError as error:
        problem = f"Can't access executable file {name}: {error.strerror}"
        raise submit_error(problem) from None
    if not data:
        raise submit_error(f"Executable file {path} has zero length")
    _check_script(data, path, allow_crlf)
    return Program(posixpath.basename(path), data, len(data))


def _find_size(store: FileCache, path: str) -> int:
    try:
        return store.size(path)
    except OSError:
        return 0  # it is on the node


def _find_path_on_node(name: str, sandbox: bool, iwd: str) -> str:
    if posixpath.isabs(name):
        return name
    if not sandbox:
        return posixpath.join(iwd, name)
    name = posixpath.normpath(name)
    if name.startswith(".."):
        raise submit_error(f"executable = {name}: outside the job's directory on the node")
    return name


def _check_script(data: bytes, path: str, allow_crlf: bool) -> None:
    first = data[:127].partition(b"\n")
    if data[:2] != b"#!" or not first[1] or not first[0].endswith(b"\r") or allow_crlf:
        return
    raise SubmitError(
        f"\nERROR: Executable file {path} is a script with CRLF (DOS/Windows) line endings.\n"
        "This generally doesn't work, and you should probably run "
        f"'dos2unix {path}' -- or a similar tool -- before you resubmit.\n"
    )
