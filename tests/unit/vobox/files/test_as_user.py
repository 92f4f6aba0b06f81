"""Reading a user's directories is bounded."""

import glob
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


@pytest.mark.parametrize(
    "pattern", ["*/*/f*", "**/.*", "*/..", "[ab]/*/", "d/f?", "", "no*/x", "*", "d//f3"]
)
def test_a_pattern_matches_what_pythons_does(tmp_path: Path, pattern: str) -> None:
    for name in ("a/b/f1", "a/.hidden", "b/c/f2", "d/f3"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "b" / "up").symlink_to("..")
    found = OwnerFileReader(os.getuid(), os.getgid()).glob(str(tmp_path), pattern)
    assert found == sorted(glob.iglob(pattern, root_dir=tmp_path))  # noqa: PTH207


def test_only_so_many_names_are_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A link to ``..`` makes any number of them: the schedd would look for as long as it lives."""
    monkeypatch.setattr(as_user, "MAX_NAMES", 1000)
    files = OwnerFileReader(os.getuid(), os.getgid())
    for name in "abcd":
        (tmp_path / name).symlink_to(".")
    assert len(files.glob(str(tmp_path), "*/*/*")) == 64

    with pytest.raises(OSError, match="more than 1000 names to look at"):
        files.glob(str(tmp_path), "*/*/*/*/*/*/*/no")
    for number in range(1000):
        os.mkfifo(tmp_path / str(number))
    with pytest.raises(OSError, match="more than 1000 names to look at"):
        files.walk(str(tmp_path))
