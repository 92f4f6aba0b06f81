"""The number of a worker on its machine: its own as long as it lives."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from thyme.errors import NodeUnfit
from thyme.worker.uid_lock import UidLock
from thyme.worker.users import AUTOMATIC_USERS


def test_two_workers_never_have_the_same_number(tmp_path: Path) -> None:
    place = tmp_path / "thyme"
    first, second = UidLock(0, place), UidLock(0, place)

    assert (first.value, second.value) == (0, 1)
    with second.held(0) as held:
        assert not held
    assert place.stat().st_mode & 0o777 == 0o700
    first.close()
    with second.held(0) as held:
        assert held
    assert UidLock(0, place).value == 0


def test_a_taken_number_is_replaced_by_the_next_free_one(tmp_path: Path) -> None:
    taken = [
        UidLock(wanted, tmp_path) for wanted in (3, 3, AUTOMATIC_USERS - 1, AUTOMATIC_USERS - 1)
    ]
    assert [number.value for number in taken] == [3, 4, AUTOMATIC_USERS - 1, 0]


def test_a_worker_that_was_killed_leaves_its_number(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from thyme.worker.uid_lock import UidLock\n"
        "number = UidLock(0, Path(sys.argv[1])); print(number.value, flush=True)\n"
        "os.kill(os.getpid(), 9)"
    )
    killed = subprocess.run(
        [sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=False
    )
    assert (killed.returncode, killed.stdout) == (-9, "0\n")
    assert UidLock(0, tmp_path).value == 0


def test_a_worker_without_a_free_number_says_where_the_locks_are(tmp_path: Path) -> None:
    taken = [UidLock(0, tmp_path) for _ in range(AUTOMATIC_USERS)]

    with pytest.raises(NodeUnfit, match=f"{AUTOMATIC_USERS} workers of this machine .* {tmp_path}"):
        UidLock(0, tmp_path)
    assert len({number.value for number in taken}) == AUTOMATIC_USERS
    for number in taken:
        number.close()


@pytest.mark.parametrize("mode", [0o777, 0o775])
def test_a_place_where_others_could_take_them_all_is_not_used(tmp_path: Path, mode: int) -> None:
    tmp_path.chmod(mode)

    number = UidLock(5, tmp_path)

    assert number.value == 5
    assert list(tmp_path.iterdir()) == []
    with number.held(5) as held:
        assert not held, "others may have it, too"


def test_without_a_place_a_worker_has_the_number_that_it_wants(tmp_path: Path) -> None:
    assert UidLock(7, tmp_path / "not/there").value == 7


@pytest.mark.root
def test_another_users_place_is_not_used(tmp_path: Path) -> None:
    os.chown(tmp_path, 1234, 1234)
    assert UidLock(7, tmp_path).value == 7
    assert list(tmp_path.iterdir()) == []
