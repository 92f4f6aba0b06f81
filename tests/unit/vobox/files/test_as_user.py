"""Reading a user's directories is bounded."""

import os
from pathlib import Path

import pytest

from vobox.files import as_user
from vobox.files.as_user import OwnerFileReader


def test_a_pattern_matches_only_so_many_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(as_user, "MAX_FILES", 3)
    files = OwnerFileReader(os.getuid(), os.getgid())
    for name in ("c", "a", "b"):
        (tmp_path / name).touch()
    assert files.glob(str(tmp_path), "*") == ["a", "b", "c"]
    (tmp_path / "d").touch()

    with pytest.raises(OSError, match="more than 3 files"):
        files.glob(str(tmp_path), "*")
    assert files.glob(str(tmp_path), "[ab]") == ["a", "b"]
