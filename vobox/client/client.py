"""Hand a condor command to the schedd and print its answer.

A CE runs these by the hundred, and an old one runs them inside its own
container with its own Python. Hence: Python 3.6, the standard library alone,
and of that only what the interpreter has loaded anyway (``json`` or ``socket``
would double the start-up time; ``_socket`` is the part of ``socket`` in C).

On the wire (Unix stream socket), client to schedd: ``thyme-rpc 1 N\\n`` and N
bytes, strings that end in NUL: command, working directory, number of
arguments, arguments, environment as NAME=VALUE. Schedd to client: frames of
one letter, eight decimal digits (the length), and so many bytes: ``o`` to
stdout, ``e`` to stderr, ``i`` asks for stdin (client: eight digits and the
bytes), ``r`` asks for a program to be run (strings that end in NUL: the most
bytes of output, then the words; client: eight digits, then the exit code, a
line end and the output), ``x`` the exit code and the end.
"""

import _socket
import os
import sys
import time

#: seconds without a byte from the schedd; CEs give a command 60
TIMEOUT = 120.0
DEFAULT_SOCKET = "/run/thyme/schedd.sock"
#: the variable that tells the schedd how wide the terminal is
TERMINAL_WIDTH = "_THYME_TERMINAL_WIDTH"
#: condor_submit's options that have a value, besides -file and -queue
SUBMIT_VALUES = (
    "address", "append", "batch-id", "batch-name", "dry-run", "dump", "maxjobs", "name", "pool",
    "remote", "table",
)  # fmt: skip
#: what each of the commands that change jobs does, in HTCondor's words
ACTIONS = {
    "condor_rm": "remove",
    "condor_hold": "hold",
    "condor_release": "release",
    "condor_suspend": "suspend",
    "condor_continue": "continue",
    "condor_vacate_job": "vacate",
}


#: every command that the schedd carries out
COMMANDS = (
    "condor_config_val",
    "condor_continue",
    "condor_history",
    "condor_hold",
    "condor_prio",
    "condor_q",
    "condor_qedit",
    "condor_release",
    "condor_reschedule",
    "condor_rm",
    "condor_status",
    "condor_submit",
    "condor_suspend",
    "condor_tail",
    "condor_transfer_data",
    "condor_vacate",
    "condor_vacate_job",
)


class ScheddUnreachable(Exception):
    """No schedd answers; the text is one line that says why and what to do."""


class NoWorkingDirectory(Exception):
    """The current directory was removed; a job cannot begin there."""


def find_socket() -> str:
    """Return the schedd's socket: THYME_SCHEDD_SOCKET, the site's place, or the user's own."""
    given = os.environ.get("THYME_SCHEDD_SOCKET")
    if given:
        return given
    # False, too, in a directory that is closed to us (where Path.exists would raise)
    if os.path.exists(DEFAULT_SOCKET):
        return DEFAULT_SOCKET
    own = os.path.expanduser("~/.thyme/schedd.sock")
    return own if os.path.exists(own) else DEFAULT_SOCKET


def main() -> int:
    """Run the command that this program is named after; return its exit code."""
    command = os.path.basename(sys.argv[0])
    if command not in COMMANDS:
        keep_standard_streams()
        _print_error("%s: not a condor command; its names: %s\n" % (command, ", ".join(COMMANDS)))
        return 1
    return run(command)


def run(command: str) -> int:
    """Run ``command`` with this process's arguments; return the exit code."""
    keep_standard_streams()
    if _wants_usage(sys.argv[1:2]):
        return _print_usage(command, sys.argv[1])
    try:
        return _run(command)
    except NoWorkingDirectory as error:
        _print_error("\nERROR: %s\n" % error)
        return 1
    except ScheddUnreachable as error:
        for position, word in enumerate(sys.argv[1:]):
            # behind an option it could be that option's value
            if _wants_usage([word]) and not sys.argv[position].startswith("-"):
                return _print_usage(command, word)
        _print_error(describe_failure(command, sys.argv[1:], find_socket(), str(error)))
        return 1
    except KeyboardInterrupt:
        return 130


def _wants_usage(words: "list[str]") -> bool:
    return words[:1] in (["-help"], ["--help"], ["-version"], ["--version"])


def _print_usage(command: str, word: str) -> int:
    """Print the usage or the version, which need no schedd; return the exit code."""
    from .usage import answer_early  # only those who ask pay for it

    code, stdout, stderr = answer_early(command, word)
    write(1, stdout.encode("ascii"))
    write(2, stderr.encode("ascii"))
    return code


def keep_standard_streams() -> None:
    """Open /dev/null for a closed stdin, stdout or stderr: no socket may get its number."""
    while True:
        handle = os.open(os.devnull, os.O_RDWR)
        if handle > 2:
            os.close(handle)
            return


def _run(command: str) -> int:
    argv = sys.argv[1:]
    if command == "condor_submit":
        argv = open_pipe(argv)
    body = build_request(command, argv)
    line = _connect(find_socket())
    try:
        return _converse(line, body, command)
    except OSError as error:
        raise ScheddUnreachable("the schedd broke off: %s" % error) from None
    except ValueError:
        raise ScheddUnreachable("what answers there is no thyme-schedd") from None
    finally:
        line.close()


def _connect(path: str) -> "_socket.socket":
    line = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    line.settimeout(TIMEOUT)
    try:
        _connect_with_retries(line, os.fsencode(path))
    except OSError as error:
        line.close()
        if isinstance(error, PermissionError):
            raise ScheddUnreachable(
                "the socket %s belongs to another user (%s); "
                "ask for access, or name your own schedd's in THYME_SCHEDD_SOCKET"
                % (path, _describe_owner(path))
            ) from None
        raise ScheddUnreachable(
            "no thyme-schedd answers at %s (%s); start it, or name its socket in "
            "THYME_SCHEDD_SOCKET" % (path, error.strerror or error)
        ) from None
    return line


def _connect_with_retries(line: "_socket.socket", path: bytes) -> None:
    """Connect, again and again while the schedd's backlog is full; raises OSError."""
    until = time.monotonic() + TIMEOUT
    while True:
        try:
            line.connect(path)
            return
        except BlockingIOError:  # hundreds connect in one moment, and its queue of them is full
            if time.monotonic() > until:
                raise
            time.sleep(0.02)


def _describe_owner(path: str) -> str:
    try:
        return "uid %d" % os.stat(path).st_uid
    except OSError:
        return "in a directory that is closed to you"


def open_pipe(argv: "list[str]") -> "list[str]":
    """Make a submit description that is a pipe or a device our stdin; return the other words.

    The schedd could not open it: ``<(...)`` of a shell is a pipe of this process alone.
    """
    begin, end = _find_description(argv)
    try:
        mode = os.stat(argv[end - 1]).st_mode if begin < end else 0
        if (mode & 0o170000) not in (0o010000, 0o020000):  # a pipe, a character device
            return argv
        pipe = os.open(argv[end - 1], os.O_RDONLY)
    except (OSError, ValueError):
        return argv  # the schedd says what is wrong with it
    os.dup2(pipe, 0)
    # with -queue and the like, no file would mean no description
    name = ["-"] if any(each.startswith(("-q", "-it", "-table")) for each in argv) else []
    return argv[:begin] + name + argv[end:]


def _find_description(argv: "list[str]") -> "tuple[int, int]":
    """Return from where to where the name of the submit description is, with its ``-file``.

    Both are the same where there is none: it is on stdin, or on the command line.
    """
    position = 0
    while position < len(argv):
        word = argv[position]
        option = word.lstrip("-").partition(":")[0] if word.startswith("-") else ""
        if option and (
            "queue".startswith(option) or ("iterate".startswith(option) and option != "i")
        ):
            break  # the rest is the queue statement
        if len(option) > 1 and "file".startswith(option):
            return position, min(position + 2, len(argv))
        if option and any(each.startswith(option) for each in SUBMIT_VALUES):
            position += 1  # its value is no file to read
        elif not word.startswith("-") and "=" not in word:
            return position, position + 1
        position += 1
    return 0, 0


def build_request(command: str, argv: "list[str]") -> bytes:
    """Return the bytes that ask the schedd for this command."""
    try:
        cwd = os.getcwd()
    except OSError as error:  # it was removed under us
        if command == "condor_submit":
            raise NoWorkingDirectory(
                "the current directory is gone (%s); cd to one that exists" % error
            ) from None
        cwd = "/"
    words = [command, cwd, str(len(argv))]
    words.extend(argv)
    body = b"".join(os.fsencode(word) + b"\0" for word in words)
    body += b"".join(name + b"=" + value + b"\0" for name, value in os.environb.items())
    if command in ("condor_q", "condor_history"):
        body += _describe_terminal()
    return b"thyme-rpc 1 %d\n" % len(body) + body


def _describe_terminal() -> bytes:
    """Return how wide the terminal is, as an environment variable; b"" for a pipe or a file."""
    try:
        return b"%s=%d\0" % (TERMINAL_WIDTH.encode(), os.get_terminal_size(1).columns)
    except OSError:
        return b""


def _converse(line: "_socket.socket", body: bytes, command: str) -> int:
    try:
        _send(line, body)
    except OSError:
        pass  # it may have said why before it closed the line
    while True:
        head = _receive(line, 9)
        kind, data = head[:1], _receive(line, int(head[1:]))
        if kind == b"o":
            write(1, data)
        elif kind == b"e":
            write(2, data)
        elif kind == b"x":
            return int(data)
        elif command != "condor_submit":
            raise ScheddUnreachable("what answers there asks for more than a thyme-schedd does")
        elif kind == b"i":
            given = _read_stdin()
            _send(line, b"%08d" % len(given) + given)
        elif kind == b"r":
            _check_trust(line)
            output = _run_program(data.split(b"\0")[:-1])
            _send(line, b"%08d" % len(output) + output)


def _send(line: "_socket.socket", data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[line.send(view) :]


def _receive(line: "_socket.socket", size: int) -> bytes:
    parts = bytearray()
    while size:
        part = line.recv(min(size, 1 << 16))
        if not part:
            raise OSError("no more to read")
        parts += part
        size -= len(part)
    return bytes(parts)


def _read_stdin() -> bytes:
    parts = bytearray()
    while True:
        try:
            part = os.read(0, 1 << 16)
        except OSError:  # closed: as empty
            part = b""
        if not part:
            return bytes(parts)
        parts += part


def _check_trust(line: "_socket.socket") -> None:
    """Raise ScheddUnreachable where another user answers, to whom root's rights are not given.

    What he names would be run with the rights of our user.
    """
    import struct  # only the few descriptions that need it pay for it

    credentials = line.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, 12)
    uid = struct.unpack("3i", credentials)[1]
    if uid not in (0, os.geteuid()):
        raise ScheddUnreachable(
            "the schedd there is run by uid %d; only root's and your own may run a program as you"
            % uid
        )


def _run_program(words: "list[bytes]") -> bytes:
    """Run a program for a submit description (``queue x from COMMAND |``), as the caller."""
    import subprocess  # only the few descriptions that need it pay for it

    limit = int(words[0])
    try:
        process = subprocess.Popen(words[1:], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    except OSError:
        return b"127\n"
    with process.stdout as stream:  # type: ignore[union-attr]
        output = stream.read(limit + 1)
    if len(output) > limit:
        process.kill()
    return b"%d\n" % (process.wait() & 0xFF) + output


def write(where: int, data: bytes) -> bool:
    """Write all of it; return whether it was taken (the command was carried out in any case)."""
    while data:
        try:
            data = data[os.write(where, data) :]
        except OSError:
            return False
    return True


def _print_error(text: str) -> None:
    write(2, text.encode("utf-8", "replace"))


def describe_failure(command: str, argv: "list[str]", path: str, why: str) -> str:
    """Return what HTCondor's command says on stderr without a schedd, then our reason.

    :param argv: the command's arguments
    :param path: the schedd's socket
    :param why: one line
    """
    link = "Failed to connect to <%s>\n" % path
    if command == "condor_submit":
        text = "\nERROR: Failed to connect to local queue manager\nCEDAR:6001:" + link
    elif command == "condor_q":
        text = "\n-- Failed to fetch ads from: <%s> : %s\nCEDAR:6001:%s" % (
            path,
            os.uname().nodename,
            link,
        )
    elif command == "condor_transfer_data":
        text = "\n%sERROR: Failed to spool job files.\n" % link
    elif command in ("condor_qedit", "condor_prio"):
        text = "Failed to connect to queue manager <%s>\n" % path
    elif command == "condor_config_val":
        text = "Can't connect to schedd on %s\n" % os.uname().nodename
    elif command == "condor_tail":
        text = "Can't find address of local schedd\n"
    elif command in ACTIONS:
        text = _describe_failed_action(ACTIONS[command], argv)
    else:
        text = "Error: communication error\nCEDAR:6001:" + link
    return text + why + "\n"


def _describe_failed_action(verb: str, argv: "list[str]") -> str:
    """Name job ids first, then what else was meant, each after the library's own line."""
    ids, clusters, others = [], [], []
    words = iter(argv)
    for word in words:
        if word in ("-all", "-a"):
            others.append("")
        elif word.startswith("-c"):
            others.append(" matching constraint (%s)" % next(words, ""))
        elif word[:2] in ("-r", "-s", "-n", "-p") or word[:3] == "-ad":
            next(words, "")
        elif word.isdigit():
            clusters.append(word)
        elif word.replace(".", "", 1).isdigit():
            ids.append(word)
        elif word and not word.startswith("-"):
            others.append(' of user "%s"' % word)
    if len(clusters) == 1:
        others.insert(0, " in cluster " + clusters[0])
    elif clusters:
        every = " || ".join("ClusterId == " + cluster for cluster in clusters)
        others.insert(0, " matching constraint (%s)" % every)
    why = "DCSchedd::actOnJobs:6001:Failed to connect to schedd\n"
    text = why if ids else ""
    text += "".join("No result found for job %s\n" % job for job in ids)
    text += "".join("%sCouldn't find/%s all jobs%s\n" % (why, verb, each) for each in others)
    return text or why
