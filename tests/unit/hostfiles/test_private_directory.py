"""Directories that another user could replace or fill are refused, with the reason."""

import os
from pathlib import Path

import pytest

from hostfiles.private_directory import (
    check_private_directory,
    check_shared_directory,
    make_private_directory,
)
from plancton.config.model import Config
from plancton.engine.pilot_spec import PilotSpec
from plancton.engine.process.engine import ProcessEngine
from plancton.errors import EngineUnavailable, StartFailed
from thyme.errors import NodeUnfit
from thyme.worker.users import JobUser
from thyme.worker.work_directory import WorkDirectory


def test_a_directory_of_ours_below_a_sticky_one_is_private(tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared").chmod(0o1777)

    make_private_directory(tmp_path / "shared" / "ours")

    assert (tmp_path / "shared" / "ours").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    ("place", "mode"), [(".", 0o777), ("a", 0o777), ("a/b", 0o1777), ("a/b", 0o770)]
)
def test_a_directory_that_others_may_write_into_is_refused(
    tmp_path: Path, place: str, mode: int
) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / place).chmod(mode)

    with pytest.raises(PermissionError, match=rf"{tmp_path / place} is writable by others \(mode"):
        check_private_directory(tmp_path / "a" / "b")


@pytest.mark.root
@pytest.mark.parametrize("place", [".", "a", "a/b"])
def test_a_directory_of_another_user_is_refused(tmp_path: Path, place: str) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    os.chown(tmp_path / place, 65534, -1)

    with pytest.raises(PermissionError, match=f"{tmp_path / place} belongs to uid 65534"):
        check_private_directory(tmp_path / "a" / "b")


def test_a_link_is_followed_and_its_target_is_checked(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    (tmp_path / "open" / "b").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "open" / "b")

    with pytest.raises(PermissionError, match=f"{tmp_path / 'open'} is writable by others"):
        check_private_directory(tmp_path / "link")

    (tmp_path / "open").chmod(0o755)
    check_private_directory(tmp_path / "link")


def test_no_pilot_is_listed_or_started_in_a_place_that_others_may_write_into(
    tmp_path: Path,
) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared").chmod(0o777)
    pilots = tmp_path / "shared" / "pilots"
    engine = ProcessEngine(pilots)
    spec = PilotSpec("plancton-worker-a", "node1", ("/bin/true",), {}, Config(engine="process"))

    with pytest.raises(StartFailed, match="shared is writable by others"):
        engine.start(spec)
    with pytest.raises(EngineUnavailable, match="shared is writable by others"):
        engine.list_pilots()

    assert list(pilots.iterdir()) == [], "nothing was run"


def test_a_shared_directory_may_be_sticky_and_nothing_worse(tmp_path: Path) -> None:
    place = tmp_path / "work"
    place.mkdir()
    for mode in (0o1777, 0o755, 0o700):
        place.chmod(mode)
        check_shared_directory(place)
    place.chmod(0o777)
    with pytest.raises(PermissionError, match=rf"{place} is writable by others \(mode 0777\)"):
        check_shared_directory(place)
    with pytest.raises(FileNotFoundError):
        check_shared_directory(tmp_path / "missing")


def test_a_worker_works_in_no_directory_that_others_may_rename(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    with pytest.raises(NodeUnfit, match=r"open is writable by others .* another user could change"):
        WorkDirectory(tmp_path / "open", lambda _number: JobUser(None))
    assert list((tmp_path / "open").iterdir()) == []
