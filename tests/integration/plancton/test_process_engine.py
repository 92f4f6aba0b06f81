"""The process engine on real processes: what the contract of engines cannot cover."""

import errno
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from plancton.config.model import Config
from plancton.engine.pilot_outputs import PilotOutputs
from plancton.engine.pilot_spec import make_name, make_spec
from plancton.engine.process import engine as process_module
from plancton.engine.process import procfs
from plancton.engine.process.engine import ProcessEngine
from plancton.engine.process.exit_watch import ExitWatch
from plancton.engine.process.pilot_files import PilotFiles
from plancton.errors import EngineUnavailable, StartFailed
from plancton.model import PilotState
from tests.support.engine_contract import EngineUser
from tests.support.fake_node import FACTS
from tests.support.node_daemon import gone
from tests.support.waiting import wait_until


class Place(EngineUser):
    def __init__(self, directory: Path) -> None:
        self.pilots = directory / "pilots"
        self.outputs = directory / "outputs"
        self.engine = ProcessEngine(self.pilots, PilotOutputs(self.outputs))
        self.engine.watch(lambda: None)

    def start(self, script: str, **environment: str) -> str:
        config = Config(docker_cmd=("sh", "-c", script), environment=environment)
        one = make_spec(config, FACTS, make_name())
        self.engine.start(one)
        return one.name

    def read(self, name: str, file: str) -> str:
        """Return a file that the pilot writes into its scratch directory, when it is there."""
        path = self.pilots / name / "scratch" / file
        wait_until(lambda: path.exists() and path.read_text().endswith("\n"), f"{path} written")
        return path.read_text().strip()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path)
    yield made
    made.clean()


@pytest.mark.root
@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_another_user_of_a_pilot_of_roots_reaches_its_place_and_nothing_else(umask: int) -> None:
    # a worker that is root runs its jobs so
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        before = os.umask(umask)
        try:
            place = Place(Path(directory))
            look = "cd den; pwd > mine; ls ..; ls ../..; ls ../../..; cat ../../spec.json"
            name = place.start(
                "mkdir den; chmod 777 den; "
                f"setpriv --reuid=60999 --regid=60999 --clear-groups sh -c '{look}' > said 2>&1; "
                "echo done > end",
                SECRET="of the pilot",
            )
        finally:
            os.umask(before)
        try:
            place.read(name, "end")
            assert place.read(name, "den/mine") == f"{place.pilots}/{name}/scratch/den"
            said = place.read(name, "said").splitlines()
        finally:
            place.clean()
    assert len(said) == 4
    assert all("Permission denied" in line for line in said)


#: A pilot whose child left its session and its parent, and ignores what it can.
DAEMONISE = "setsid sh -c 'trap \"\" TERM HUP; echo $$ > escaped; exec sleep 600' & "


@pytest.mark.parametrize("how", ["exits", "stopped", "killed"])
def test_nothing_of_a_pilot_survives_it_not_even_what_left_its_session(
    place: Place, how: str
) -> None:
    end = "while [ ! -e go ]; do sleep 0.01; done" if how == "exits" else "sleep 600"
    name = place.start(DAEMONISE + end)
    escaped = int(place.read(name, "escaped"))
    if how == "exits":
        (place.pilots / name / "scratch" / "go").touch()
    else:
        place.engine.stop(name, 5.0 if how == "stopped" else 0.0)
    place.until(name, PilotState.EXITED)
    assert gone(escaped)


def test_when_the_supervising_process_is_killed_everything_of_the_pilot_dies(
    place: Place,
) -> None:
    name = place.start(DAEMONISE + "echo $$ > main; sleep 600")
    escaped, main = int(place.read(name, "escaped")), int(place.read(name, "main"))
    shim = PilotFiles(place.pilots / name).read_shim()
    assert shim is not None
    os.kill(shim.pid, signal.SIGKILL)
    pilot = place.until(name, PilotState.EXITED)
    assert (pilot.exit_code, pilot.age) == (None, None), "unknown is not zero"
    assert pilot.detail == "its supervising process was killed"
    wait_until(lambda: gone(escaped) and gone(main), "all processes gone")


def test_what_a_process_of_the_pilot_started_without_its_environment_is_killed_with_it(
    place: Place,
) -> None:
    name = place.start("env -i sleep 600 & echo $! > job; wait")
    job = int(place.read(name, "job"))
    assert procfs.kill_marked(name) == 3, "the supervising process, the shell, the job"
    wait_until(lambda: gone(job), "the job is gone")


def test_the_exit_code_of_a_killed_main_process_contains_the_signal(place: Place) -> None:
    name = place.start("sleep 600")
    pid = place.until(name, PilotState.RUNNING).pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    assert place.until(name, PilotState.EXITED).exit_code == 137


def test_a_pilot_that_is_traced_by_its_own_child_can_be_stopped(place: Place) -> None:
    program = Path(__file__).parents[2] / "support/traced_job.py"
    name = place.start(f"exec {sys.executable} {program} > up")
    assert place.read(name, "up") == "0"
    place.engine.stop(name, 0.2)
    assert place.until(name, PilotState.EXITED).exit_code in (137, 143)


def test_only_the_main_process_is_asked_and_only_once(place: Place) -> None:
    script = "trap 'echo TERM >> got' TERM; echo ready > up; while :; do sleep 0.02; done"
    name = place.start(script)
    place.read(name, "up")
    place.engine.stop(name, 600.0)
    place.engine.stop(name, 500.0)
    assert place.read(name, "got") == "TERM"
    place.engine.stop(name, 0.2)
    got = place.pilots / name / "scratch" / "got"
    assert place.until(name, PilotState.EXITED).exit_code == 137
    assert got.read_text() == "TERM\n"


def test_a_pilot_is_asked_to_end_although_the_disk_is_full(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = place.start("trap 'exit 7' TERM; echo 1 > ready; while true; do sleep 0.02; done")
    place.read(name, "ready")

    def write_nothing(path: Path, *_args: object, **_options: object) -> int:
        path.touch()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_text", write_nothing)
    place.engine.stop(name, 5.0)
    (pilot,) = place.engine.list_pilots()
    assert pilot.asked_to_stop
    assert place.until(name, PilotState.EXITED).exit_code == 7


def test_a_pilot_runs_last(place: Place) -> None:
    name = place.start("sleep 600")
    pid = place.until(name, PilotState.RUNNING).pid
    assert pid is not None
    wait_until(lambda: os.getpriority(os.PRIO_PROCESS, pid) == 19, "nice 19")
    wait_until(lambda: os.sched_getscheduler(pid) == os.SCHED_IDLE, "SCHED_IDLE")
    score = Path(f"/proc/{pid}/oom_score_adj")
    wait_until(lambda: int(score.read_text()) == 800, "oom_score_adj", state=score.read_text)


def test_a_pilot_gets_its_own_environment_and_little_of_the_daemon_s(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_OF_THE_DAEMON", "x")
    name = place.start("env > all.new; mv all.new all; sleep 600", WHO="{{ pilot }}")
    found = dict(line.split("=", 1) for line in place.read(name, "all").splitlines())
    scratch = str(place.pilots / name / "scratch")
    assert found["WHO"] == found["PLANCTON_PILOT"] == name
    assert found["HOME"] == found["TMPDIR"] == found["PWD"] == scratch
    assert found["PATH"] == os.environ["PATH"]
    assert "SECRET_OF_THE_DAEMON" not in found


def test_what_a_removed_pilot_left_is_cleared_away_but_for_the_end_of_its_output(
    place: Place,
) -> None:
    script = "mkdir locked; touch locked/x; chmod 0 locked; echo out; echo err >&2; exit 1"
    name = place.start(script)
    place.until(name, PilotState.EXITED)
    place.engine.remove(name)
    wait_until(lambda: not list(place.pilots.iterdir()), "an empty directory")
    assert (place.outputs / f"{name}.log").read_text() == "out\nerr\n"


def test_cpu_time_of_the_whole_tree_is_counted_also_after_its_end(place: Place) -> None:
    burn = "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done"
    name = place.start(f"setsid -w sh -c '{burn}'; echo done > done; sleep 600")
    place.read(name, "done")
    place.engine.list_pilots()
    while_running = place.engine.read_usage()
    assert while_running.cpu_seconds > 0.05
    assert while_running.pilots[name].memory_bytes > 0
    place.engine.stop(name, 1.0)
    place.until(name, PilotState.EXITED)
    after = place.engine.read_usage()
    assert after.cpu_seconds >= while_running.cpu_seconds
    assert after.pilots == {} and after.memory_bytes == 0


@pytest.mark.parametrize(
    "change",
    # alive, and certainly not the shim; a pid of before a reboot
    [{"shim_pid": os.getpid()}, {"boot": "another"}],
)
def test_another_process_of_the_same_pid_is_not_taken_for_the_pilot(
    place: Place, change: dict[str, object]
) -> None:
    name = place.start("sleep 600")
    place.until(name, PilotState.RUNNING)
    state = place.pilots / name / "state.json"
    told = json.loads(state.read_text())
    state.write_text(json.dumps(told | change))
    again = ProcessEngine(place.pilots)
    (pilot,) = again.list_pilots()
    assert (pilot.state, pilot.exit_code) == (PilotState.EXITED, None)
    again.stop(name, 0.0)  # must not signal us
    state.write_text(json.dumps(told))


def test_a_pilot_whose_daemon_died_while_it_was_made_is_waited_for_and_then_given_up(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = make_spec(Config(docker_cmd=("sleep", "600")), FACTS, make_name())
    PilotFiles.create(place.pilots, one, {}, 1.0)
    assert place.look(one.name).state is PilotState.STARTING
    monkeypatch.setattr(process_module, "CREATION_GRACE", 0.0)
    pilot = place.look(one.name)
    assert (pilot.state, pilot.exit_code) == (PilotState.EXITED, None)
    place.engine.remove(one.name)


def test_half_made_and_half_removed_directories_are_cleared_at_the_next_start(
    tmp_path: Path,
) -> None:
    for name in (".new-plancton-worker-aaaaaa", ".trash-plancton-worker-bbbbbb"):
        (tmp_path / "pilots" / name / "scratch").mkdir(parents=True)
    place = Place(tmp_path)
    wait_until(lambda: not list(place.pilots.iterdir()), "an empty directory")
    place.clean()


def test_directories_nested_a_thousand_deep_do_not_stop_the_clearing(tmp_path: Path) -> None:
    deep = tmp_path / "pilots/.trash-plancton-worker-aaaaaa"
    deep.mkdir(parents=True)
    program = "import os\nfor _ in range(3000): os.mkdir('d'); os.chdir('d')"
    subprocess.run([sys.executable, "-c", program], cwd=deep, check=True)
    (tmp_path / "pilots/.trash-plancton-worker-bbbbbb").mkdir()
    place = Place(tmp_path)
    try:
        wait_until(lambda: not list(place.pilots.iterdir()), "an empty directory")
    finally:  # pytest could not remove it either
        subprocess.run(["rm", "-rf", deep], check=True)
        place.clean()


@pytest.mark.parametrize(
    "text",
    [None, '{"code": "seven"}', "[" * 100_000,
     '{"code": Infinity, "detail": "", "lived": 1, "cpu_seconds": 1}'],
    ids=["pipe", "word", "deep", "infinite"],
)  # fmt: skip
def test_a_damaged_record_is_an_end_of_unknown_code_and_not_a_crash(
    place: Place, monkeypatch: pytest.MonkeyPatch, text: str | None
) -> None:
    directory = place.pilots / "plancton-worker-broken"
    directory.mkdir(parents=True)
    if text is None:
        for name in ("state.json", "exit.json", "output", "stop.json"):
            os.mkfifo(directory / name)
    else:
        (directory / "state.json").write_text("{")
        (directory / "exit.json").write_text(text)
    monkeypatch.setattr(process_module, "CREATION_GRACE", 0.0)
    pilot = place.look("plancton-worker-broken")
    assert (pilot.state, pilot.exit_code) == (PilotState.EXITED, None)
    place.engine.remove(pilot.id)


def test_a_directory_that_cannot_be_made_is_a_failed_start_with_a_reason(tmp_path: Path) -> None:
    (tmp_path / "pilots").write_text("a file where the directory should be")
    engine = ProcessEngine(tmp_path / "pilots")
    with pytest.raises(StartFailed, match=r"no scratch directory in .*pilots: "):
        engine.start(make_spec(Config(), FACTS, make_name()))
    with pytest.raises(EngineUnavailable, match="cannot be read"):
        engine.list_pilots()


def test_where_the_kernel_has_no_pidfd_ends_are_seen_by_looking(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "pidfd_open")
    woken = threading.Event()
    watch = ExitWatch(woken.set)
    name = place.start("sleep 600")
    place.until(name, PilotState.RUNNING)
    shim = PilotFiles(place.pilots / name).read_shim()
    assert shim is not None
    watch.add(shim.pid, shim.ticks)
    assert not woken.is_set()
    place.engine.stop(name, 0.0)
    place.until(name, PilotState.EXITED)
    wait_until(woken.is_set, "to be woken")
    watch.close()


def test_a_process_that_ended_before_it_was_watched_wakes_too() -> None:
    woken = threading.Event()
    watch = ExitWatch(woken.set)
    watch.add(2**22 + 1, 1)  # beyond the largest pid
    wait_until(woken.is_set, "to be woken")
    watch.close()
