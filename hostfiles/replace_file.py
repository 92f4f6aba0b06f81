"""Replace a file so that a power cut leaves the old content or the new one, never half of it.

A rename alone is not enough: a file system may write it down before the new content, and the file
is empty after the next start.
"""

import os

from .regular_file import open_regular


def replace_file(path: "os.PathLike[str] | str", text: str, mode: int = 0o644) -> None:
    """Write ``text`` into a new file beside ``path``, and put it into its place.

    Args:
        path: the file; its directory is there.
        text: written as UTF-8.
        mode: permissions of the file, before anything is in it.

    Raises:
        OSError: the old content is still there.
    """
    fresh = f"{os.fspath(path)}.new"
    handle = open_regular(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with open(handle, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(fresh, path)
    directory = os.open(os.path.dirname(os.fspath(path)) or ".", os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
