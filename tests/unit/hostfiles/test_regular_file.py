"""A pipe or a device in the place of a file is refused at once."""

import os
import socket
from pathlib import Path

import pytest

from hostfiles.regular_file import open_regular


def test_a_regular_file_is_opened_and_made(tmp_path: Path) -> None:
    path = tmp_path / "state"
    with open(path, "w", opener=open_regular) as file:
        file.write("text")
    with open(path, opener=open_regular) as file:
        assert file.read() == "text"
        assert not os.get_inheritable(file.fileno())
    assert path.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("flags", [os.O_RDONLY, os.O_WRONLY | os.O_TRUNC, os.O_RDWR])
@pytest.mark.parametrize("kind", ["pipe", "device", "link to a device", "socket"])
def test_what_is_no_regular_file_is_refused_at_once(tmp_path: Path, flags: int, kind: str) -> None:
    path = tmp_path / "state"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(str(path))
    elif kind == "device":
        path = Path("/dev/null")
    else:
        path.symlink_to("/dev/null")
    with pytest.raises(OSError, match="is not a regular file; remove it"):
        open_regular(path, flags | os.O_CREAT)


def test_a_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="is not a regular file; remove it"):
        open_regular(tmp_path, os.O_RDONLY)
    with pytest.raises(IsADirectoryError):
        open_regular(tmp_path, os.O_RDWR)
