"""Installing Debian's packages, with an apt-get that says what the real one was seen to say."""

import os
from pathlib import Path

import pytest

from tests.setup import debian, steps
from tests.setup.steps import SetupError

#: The first calls of `update` find the lists in use, as often as the file "busy" has lines.
APT = r"""#!/bin/sh
echo "$DEBIAN_FRONTEND $*" >> "$PLACE/calls"
case "$*" in
*" update")
    if [ -s "$PLACE/busy" ]; then
        sed -i 1d "$PLACE/busy"
        echo "E: Could not get lock /var/lib/apt/lists/lock. It is held by process 7 (apt-get)" >&2
        echo "E: Unable to lock directory /var/lib/apt/lists/" >&2
        exit 100
    fi
    [ ! -e "$PLACE/offline" ] || echo "W: Failed to fetch http://deb.example/InRelease" ;;
*)
    [ ! -e "$PLACE/offline" ] || { echo "E: Unable to locate package influxdb" >&2; exit 100; }
    sh "$POLICY" || echo "policy $?" >> "$PLACE/calls" ;;
esac
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "apt-get").write_text(APT)
    (tmp_path / "apt-get").chmod(0o755)
    policy = tmp_path / "policy-rc.d"
    monkeypatch.setattr(debian, "POLICY", policy)
    monkeypatch.setattr(debian, "PLACE", tmp_path)
    monkeypatch.setattr(steps, "PLACE", tmp_path)
    monkeypatch.setenv("PLACE", str(tmp_path))
    monkeypatch.setenv("POLICY", str(policy))
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return tmp_path


def test_all_packages_are_installed_in_one_call_that_waits_for_apts_lock(place: Path) -> None:
    debian.install(["influxdb", "podman"])

    update, install, policy = (place / "calls").read_text().splitlines()
    assert update.startswith("noninteractive -o DPkg::Lock::Timeout=600 ")
    assert update.endswith(" update")
    assert install.endswith(" install --yes --no-install-recommends influxdb podman")
    assert "DPkg::Lock::Timeout=600" in install
    # 101: "not allowed", in Debian's words for services that may not start
    assert policy == "policy 101"
    assert not (place / "policy-rc.d").exists()


def test_lists_that_another_apt_holds_are_waited_for(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "busy").write_text("\n\n")

    debian.install(["influxdb"], pause=0.0)

    assert len((place / "calls").read_text().splitlines()) == 5
    told = capsys.readouterr().err
    assert told.count("another program uses apt; waiting for it, up to 10 minutes") == 1


def test_it_does_not_wait_for_ever(place: Path) -> None:
    (place / "busy").write_text("\n" * 1000)
    times = iter(range(0, 100_000, 300))

    with pytest.raises(SetupError, match="It is held by process 7"):
        debian.install(["influxdb"], clock=lambda: float(next(times)), pause=0.0)

    assert len((place / "calls").read_text().splitlines()) <= 4


def test_a_failure_is_told_in_apts_own_words_and_leaves_nothing(place: Path) -> None:
    (place / "offline").touch()

    with pytest.raises(SetupError) as caught:
        debian.install(["influxdb"])

    first, *words = str(caught.value).splitlines()
    assert first == f"apt-get install failed with 100 (the log: {place}/apt.log); it said:"
    assert words == [
        "    W: Failed to fetch http://deb.example/InRelease",
        "    E: Unable to locate package influxdb",
    ]
    assert not (place / "policy-rc.d").exists()


def test_an_administrators_own_policy_stays(place: Path) -> None:
    (place / "policy-rc.d").write_text("#!/bin/sh\nexit 104\n")

    debian.install(["influxdb"])

    assert (place / "policy-rc.d").read_text() == "#!/bin/sh\nexit 104\n"
    assert (place / "calls").read_text().splitlines()[-1] == "policy 104"
