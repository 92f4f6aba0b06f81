"""Open files of ours that may be something else by now.

To open a pipe waits for its other end, maybe for ever, and a device has no end. For Python 3.6 and
later: thyme-vobox runs on an old CE's own Python.
"""

import errno
import os
import stat


def open_regular(path: "os.PathLike[str] | str", flags: int, mode: int = 0o644) -> int:
    """Open a regular file, and wait for nothing; an ``opener`` of ``open`` as well.

    Args:
        path: the file.
        flags: as ``os.open`` takes them.
        mode: permissions of a file that is made.

    Returns:
        the descriptor, which programs that we execute do not get.

    Raises:
        OSError: also for what is no regular file; its ``strerror`` says so.
    """
    try:
        handle = os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC, mode)
    except OSError as error:
        if error.errno != errno.ENXIO:  # a pipe that nobody reads, a socket
            raise
    else:
        if stat.S_ISREG(os.fstat(handle).st_mode):
            return handle
        os.close(handle)
    raise OSError(errno.EINVAL, "is not a regular file; remove it", os.fspath(path))
