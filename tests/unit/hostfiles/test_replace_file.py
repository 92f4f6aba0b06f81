"""Replacing a file: what a power cut may leave is the old content or the new one."""

import os
from pathlib import Path

import pytest

from hostfiles.replace_file import replace_file


def test_a_file_is_replaced_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for text in ("old", "n\u00e9w"):
        replace_file(path, text, 0o600)
        assert path.read_text(encoding="utf-8") == text
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_the_new_content_is_on_disk_before_the_old_one_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    seen: list[tuple[str, str]] = []
    fsync = os.fsync

    def note(handle: int) -> None:
        fsync(handle)
        what = Path(f"/proc/self/fd/{handle}").readlink()
        seen.append((what.read_text() if what.is_file() else "directory", path.read_text()))

    monkeypatch.setattr(os, "fsync", note)
    replace_file(path, "new")
    assert seen == [("new", "old"), ("directory", "new")]


def test_what_cannot_be_written_leaves_the_old_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_text("old")

    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        replace_file(path, "new")
    assert path.read_text() == "old"
