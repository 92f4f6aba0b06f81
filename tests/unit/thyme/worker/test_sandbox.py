"""A scratch directory: what is put into it, what a job says in it, and that nothing of it stays."""

import os
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from tests.support.scratch_directory import filled
from thyme.errors import NodeUnfit
from thyme.protocol.job import LARGEST_STREAM, SandboxFile
from thyme.worker import sandbox as sandbox_module
from thyme.worker.sandbox import STDERR, STDOUT, Sandbox
from thyme.worker.start_errors import CannotStart
from thyme.worker.users import JobUser

# --- making it -------------------------------------------------------------------------------

#: What another user tries on a new scratch directory; prints what succeeded.
TAKE_OVER = """
import os, sys
os.setgid(60999), os.setuid(60999)
path = sys.argv[1]
mine = os.path.join(os.path.dirname(path), "dir_mine")
os.mkdir(mine)
for name, step in {
    "renamed": lambda: os.rename(path, path + ".gone"),
    "removed": lambda: os.rmdir(path),
    "replaced": lambda: os.rename(mine, path),
    "entered": lambda: os.listdir(path),
}.items():
    try:
        step()
        print(name)
    except PermissionError:
        pass
"""


@pytest.mark.root
def test_another_user_cannot_take_a_new_scratch_directory_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    place = Path(tempfile.mkdtemp())  # pytest's own are closed to other users
    make, output = sandbox_module._make_new_directory, []

    def make_and_attack(work_directory: Path) -> Path:
        path = make(work_directory)  # its parent is open to all users at this moment
        uid = os.geteuid()
        os.seteuid(0)
        done = subprocess.run(
            [sys.executable, "-c", TAKE_OVER, str(path)], capture_output=True, text=True
        )
        os.seteuid(uid)
        output.append((done.returncode, done.stdout, done.stderr))
        return path

    monkeypatch.setattr(sandbox_module, "_make_new_directory", make_and_attack)

    made = Sandbox(place, JobUser(60600, 60600))

    assert output == [(0, "", "")]
    assert made.path.lstat().st_uid == 60600
    made.remove()
    shutil.rmtree(place)


def test_the_name_of_a_scratch_directory_cannot_be_predicted(tmp_path: Path) -> None:
    names = {Sandbox(tmp_path).path.name for _ in range(20)}

    assert len(names) == 20
    assert "dir_1" not in names


def test_a_work_directory_without_a_free_name_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox_module, "_make_suffix", lambda: "aa")
    (tmp_path / "dir_aa").mkdir()

    with pytest.raises(NodeUnfit, match="it is full of directories of others") as told:
        Sandbox(tmp_path)

    assert str(tmp_path) in str(told.value)


# --- before the job --------------------------------------------------------------------------


def test_files_arrive_with_their_contents_and_modes(tmp_path: Path) -> None:
    old = os.umask(0o077)
    try:
        sandbox = filled(
            tmp_path,
            SandboxFile("run.sh", b"#!", 0o755),
            SandboxFile("dir/data", b"\x00\xff", 0o644),
            SandboxFile("proxy", b"secret", 0o600),
        )
    finally:
        os.umask(old)

    modes = {
        name: stat.S_IMODE((sandbox.path / name).stat().st_mode)
        for name in ("run.sh", "dir/data", "proxy")
    }
    assert modes == {"run.sh": 0o755, "dir/data": 0o644, "proxy": 0o600}
    assert (sandbox.path / "dir/data").read_bytes() == b"\x00\xff"


def test_a_proxy_is_at_no_time_readable_by_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    real = os.open

    def watched(path: str, flags: int, mode: int = 0o777, **more: int) -> int:
        handle = real(path, flags, mode, **more)
        if flags & os.O_CREAT:
            seen.append(stat.S_IMODE(os.fstat(handle).st_mode))
        return handle

    monkeypatch.setattr("thyme.worker.sandbox.os.open", watched)
    old = os.umask(0)
    try:
        filled(tmp_path, SandboxFile("proxy", b"secret", 0o600))
    finally:
        os.umask(old)

    assert seen == [0o600]


def test_inputs_look_older_than_the_tick_in_which_the_job_could_change_them(tmp_path: Path) -> None:
    sandbox = filled(tmp_path, SandboxFile("in", b"x"))

    assert time.time() - (sandbox.path / "in").stat().st_mtime > 0.9


def test_the_scratch_directory_is_the_jobs_alone_and_absolute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("work").mkdir()

    sandbox = Sandbox(Path("work"))

    assert sandbox.path.parent == tmp_path / "work"
    assert stat.S_IMODE(sandbox.path.stat().st_mode) == 0o700


def test_a_workdir_that_is_not_there_is_the_nodes_fault(tmp_path: Path) -> None:
    with pytest.raises(NodeUnfit, match=r"cannot make a scratch directory in .*: .*No such file"):
        Sandbox(tmp_path / "none")


@pytest.mark.parametrize(
    ("files", "number"),
    [
        ([SandboxFile("x" * 300, b"")], 36),
        ([SandboxFile("a", b""), SandboxFile("a/b", b"")], 17),
        ([SandboxFile("a/b", b""), SandboxFile("a", b"")], 21),
        ([SandboxFile("half \ud800", b"")], 0),
    ],
)
def test_names_that_no_disk_takes_hold_the_job_and_not_the_node(
    tmp_path: Path, files: list[SandboxFile], number: int
) -> None:
    with pytest.raises(CannotStart) as refused:
        filled(tmp_path, *files)

    assert (refused.value.hold.code, refused.value.hold.subcode) == (13, number)
    assert refused.value.hold.text.startswith("Failed to write input file '")


def test_input_lies_in_directories_as_deep_as_a_path_can_be(tmp_path: Path) -> None:
    name = "d/" * 1500 + "file"

    sandbox = filled(tmp_path, SandboxFile(name, b"x"))

    assert (sandbox.path / name).read_bytes() == b"x"
    sandbox.remove()
    assert not sandbox.path.exists()


@pytest.mark.parametrize(
    ("step", "file"),
    [
        ("unpack(Task('x', files=(SandboxFile('big', b'x' * 5000),)))", "input file 'big'"),
        ("write_ads(b'x' * 5000, b'')", "'.job.ad'"),
        ("write_ads(b'x' * 500, b'x' * 5000)", "'.machine.ad'"),
    ],
)
def test_a_full_disk_is_the_nodes_fault(tmp_path: Path, step: str, file: str) -> None:
    # what a process may write into one file, as a disk that is full at 1000 bytes
    script = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "from pathlib import Path\n"
        "from thyme.worker.sandbox import Sandbox; from thyme.protocol.job import *\n"
        "from thyme.errors import *\n"
        "box = Sandbox(Path(sys.argv[1]))\n"
        f"try: box.{step}\n"
        "except NodeUnfit as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip

    assert done.stdout == f"Failed to write {file}: [Errno 27] File too large\n"


# --- stdout and stderr -----------------------------------------------------------------------


def written(sandbox: Sandbox, data: bytes, name: str = STDOUT) -> Sandbox:
    sandbox.open_stream(name).write(data)
    return sandbox


def test_a_stream_comes_back_byte_for_byte(sandbox: Sandbox) -> None:
    data = bytes(range(256)) * 9

    assert written(sandbox, data).read_stream(STDOUT, 10_000) == data
    assert sandbox.read_stream(STDERR, 10_000) == b""


def test_a_long_stream_is_cut_in_the_middle_and_says_so(sandbox: Sandbox) -> None:
    written(sandbox, b"A" * 600 + b"x" * 5000 + b"Z" * 600)

    stream = sandbox.read_stream(STDOUT, 1000)

    note = b"\n[thyme-worker: 5200 bytes cut here; the job wrote 6200]\n"
    assert stream == b"A" * 500 + note + b"Z" * 500


@pytest.mark.parametrize(("limit", "expected"), [(6, b"abcdef"), (5, b"ab|def"), (0, b"|")])
def test_a_stream_is_cut_to_its_limit(sandbox: Sandbox, limit: int, expected: bytes) -> None:
    stream = written(sandbox, b"abcdef").read_stream(STDOUT, limit)

    head, _, rest = stream.partition(b"\n[")
    tail = rest.partition(b"]\n")[2]
    assert (head + b"|" + tail if rest else head) == expected


def test_no_stream_is_larger_than_two_of_them_fit_in_a_message(sandbox: Sandbox) -> None:
    written(sandbox, b"x" * (LARGEST_STREAM + 1000))

    assert len(sandbox.read_stream(STDOUT, 2**60)) < LARGEST_STREAM + 100


@pytest.mark.parametrize("deed", ["remove", "replace by a pipe", "replace by a link", "chmod"])
def test_a_stream_survives_what_the_job_does_to_its_file(
    sandbox: Sandbox, tmp_path: Path, deed: str
) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"broker password")
    written(sandbox, b"said")
    path = sandbox.path / STDOUT
    if deed == "chmod":
        path.chmod(0)
    else:
        path.unlink()
    if deed == "replace by a pipe":
        os.mkfifo(path)
    if deed == "replace by a link":
        path.symlink_to(secret)

    assert sandbox.read_stream(STDOUT, 100) == b"said"


# --- the end ---------------------------------------------------------------------------------


def as_nobody(code: str, workdir: Path) -> str:
    """Run Python as an unprivileged user: for root, modes mean nothing. Returns what it prints."""
    drop = "import os; os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
    if os.geteuid() == 0:
        os.chown(workdir, 65534, 65534)
        for parent in workdir.parents:
            if Path(tempfile.gettempdir()) in parent.parents:
                parent.chmod(0o755)
    done = subprocess.run(
        [sys.executable, "-c",
         "import thyme.worker.sandbox, thyme.worker.start_errors, encodings.idna\n"
         + (drop if os.geteuid() == 0 else "") + code, str(workdir)],
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "deed",
    [
        "os.chmod(box.path, 0)",
        "os.makedirs(box.path / 'a/b'); os.chmod(box.path / 'a/b', 0); os.chmod(box.path / 'a', 0)",
        "(box.path / 'f').write_text('x'); os.chmod(box.path, 0o500)",
        "[(os.mkdir('d'), os.chdir('d')) for _ in (os.chdir(box.path), *range(3000))]",
        "box.path.rename(str(box.path) + 'x'); os.mkdir(box.path)",
    ],
)
def test_whatever_a_job_does_to_its_scratch_it_is_removed(tmp_path: Path, deed: str) -> None:
    printed = as_nobody(
        "import os, sys; from pathlib import Path; from thyme.protocol.job import Task\n"
        "box = thyme.worker.sandbox.Sandbox(Path(sys.argv[1])); box.unpack(Task('x'))\n"
        f"box.open_stream('_condor_stdout').write(b'said'); {deed}\n"
        "os.chdir('/')\n"
        "print(box.read_stream('_condor_stdout', 99), box.collect_outputs(Task('x')))\n"
        "box.remove(); print(box.path.exists())\n",
        tmp_path,
    )

    first, second = printed.splitlines()
    assert first.startswith("b'said' (")
    assert second == "False"


def test_a_job_that_closes_the_way_to_its_scratch_is_held(tmp_path: Path) -> None:
    """One of the worker's own user may; this was an error that nobody expected."""
    printed = as_nobody(
        "import os, sys; from pathlib import Path; from thyme.protocol.job import Task\n"
        "work = Path(sys.argv[1]) / 'work'; work.mkdir()\n"
        "box = thyme.worker.sandbox.Sandbox(work); box.unpack(Task('x'))\n"
        "work.chmod(0)\n"
        "print(box.collect_outputs(Task('x')))\n"
        "work.chmod(0o700)\n",
        tmp_path,
    )
    assert "HoldReason(code=<HoldReasonCode.TRANSFER_OUTPUT_ERROR: 12>, subcode=13" in printed
    assert "Permission denied" in printed


def test_links_out_of_the_scratch_directory_are_removed_not_followed(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious/data").write_bytes(b"x")
    (sandbox.path / "link").symlink_to(tmp_path / "precious")

    sandbox.remove()

    assert not sandbox.path.exists()
    assert (tmp_path / "precious/data").read_bytes() == b"x"
