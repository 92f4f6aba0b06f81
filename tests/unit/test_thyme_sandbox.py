"""What is put into a scratch directory, and what comes back whatever the job has made of it."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from thyme.errors import NodeUnfit
from thyme.faults import CannotStart
from thyme.job import LARGEST_STREAM, SandboxFile, Task
from thyme.reports import encode_fitting
from thyme.sandbox import STDERR, STDOUT, Sandbox

TASK = Task("condor_exec.exe")


def filled(workdir: Path, *files: SandboxFile) -> Sandbox:
    sandbox = Sandbox(workdir)
    sandbox.unpack(Task("condor_exec.exe", files=files))
    return sandbox


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[Sandbox]:
    made = filled(tmp_path)
    yield made
    made.remove()


def task(*names: str, **changes: object) -> Task:
    return Task("condor_exec.exe", output_files=names, **changes)  # type: ignore[arg-type]


def outputs(sandbox: Sandbox, of: Task) -> dict[str, bytes]:
    files, hold = sandbox.outputs(of)
    assert hold is None, hold
    return {file.name: file.data for file in files}


def held(sandbox: Sandbox, of: Task) -> tuple[int, int, str]:
    files, hold = sandbox.outputs(of)
    assert files == ()
    assert hold is not None
    return hold.code, hold.subcode, hold.text


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

    monkeypatch.setattr("thyme.sandbox.os.open", watched)
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


def test_a_full_disk_is_the_nodes_fault(tmp_path: Path) -> None:
    # what a process may write into one file, as a disk that is full at 1000 bytes
    script = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "from pathlib import Path\n"
        "from thyme.sandbox import Sandbox; from thyme.job import *; from thyme.errors import *\n"
        "box = Sandbox(Path(sys.argv[1]))\n"
        "try: box.unpack(Task('x', files=(SandboxFile('big', b'x' * 5000),)))\n"
        "except NodeUnfit as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip

    assert done.stdout == "Failed to write input file 'big': [Errno 27] File too large\n"


# --- stdout and stderr -----------------------------------------------------------------------


def written(sandbox: Sandbox, data: bytes, name: str = STDOUT) -> Sandbox:
    sandbox.open_stream(name).write(data)
    return sandbox


def test_a_stream_comes_back_byte_for_byte(sandbox: Sandbox) -> None:
    data = bytes(range(256)) * 9

    assert written(sandbox, data).stream(STDOUT, 10_000) == data
    assert sandbox.stream(STDERR, 10_000) == b""


def test_a_long_stream_is_cut_in_the_middle_and_says_so(sandbox: Sandbox) -> None:
    written(sandbox, b"A" * 600 + b"x" * 5000 + b"Z" * 600)

    stream = sandbox.stream(STDOUT, 1000)

    note = b"\n[thyme-worker: 5200 bytes cut here; the job wrote 6200]\n"
    assert stream == b"A" * 500 + note + b"Z" * 500


@pytest.mark.parametrize(("limit", "expected"), [(6, b"abcdef"), (5, b"ab|def"), (0, b"|")])
def test_a_stream_is_cut_to_its_limit(sandbox: Sandbox, limit: int, expected: bytes) -> None:
    stream = written(sandbox, b"abcdef").stream(STDOUT, limit)

    head, _, rest = stream.partition(b"\n[")
    tail = rest.partition(b"]\n")[2]
    assert (head + b"|" + tail if rest else head) == expected


def test_no_stream_is_larger_than_two_of_them_fit_in_a_message(sandbox: Sandbox) -> None:
    written(sandbox, b"x" * (LARGEST_STREAM + 1000))

    assert len(sandbox.stream(STDOUT, 2**60)) < LARGEST_STREAM + 100


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

    assert sandbox.stream(STDOUT, 100) == b"said"


# --- output files ----------------------------------------------------------------------------


def test_new_and_changed_files_at_the_top_come_back(tmp_path: Path) -> None:
    sandbox = filled(
        tmp_path,
        SandboxFile("condor_exec.exe", b"#!", 0o755),
        SandboxFile("kept", b"same"),
        SandboxFile("changed", b"before"),
        SandboxFile("private", b"before", 0o600),
        SandboxFile("proxy", b"old", 0o600),
    )
    (sandbox.path / "private").write_bytes(b"after?")
    (sandbox.path / "changed").write_bytes(b"after!")
    (sandbox.path / "proxy").write_bytes(b"renewed")
    (sandbox.path / "condor_exec.exe").write_bytes(b"#!/changed")
    (sandbox.path / "new").write_bytes(b"\x00result")
    (sandbox.path / "new").chmod(0o750)
    (sandbox.path / "_condor_stdout").write_bytes(b"out")
    (sandbox.path / "sub").mkdir()
    (sandbox.path / "sub/deep").write_bytes(b"deep")
    (sandbox.path / "link").symlink_to("new")
    os.mkfifo(sandbox.path / "pipe")

    proxied = replace(
        TASK, environment={"X509_USER_PROXY": "proxy"}, scratch_env=("X509_USER_PROXY",)
    )
    files, hold = sandbox.outputs(proxied)

    assert hold is None
    assert [(f.name, f.data, f.mode) for f in files] == [
        ("changed", b"after!", 0o644),
        ("new", b"\x00result", 0o750),
        ("private", b"after?", 0o600),
    ]


def test_no_files_come_back_when_none_are_asked_for(sandbox: Sandbox) -> None:
    (sandbox.path / "new").write_bytes(b"x")

    assert outputs(sandbox, task()) == {}


def test_exactly_the_named_files_come_back_under_their_last_names(sandbox: Sandbox) -> None:
    (sandbox.path / "sub/dir").mkdir(parents=True)
    (sandbox.path / "a").write_bytes(b"a")
    (sandbox.path / "b").write_bytes(b"b")
    (sandbox.path / "sub/c").write_bytes(b"c")
    (sandbox.path / "sub/dir/d").write_bytes(b"d")
    (sandbox.path / "sub/dir/link").symlink_to("/etc/passwd")

    assert outputs(sandbox, task("a", "sub/c")) == {"a": b"a", "c": b"c"}
    assert outputs(sandbox, task("sub")) == {"sub/c": b"c", "sub/dir/d": b"d"}
    assert outputs(sandbox, task("sub/dir")) == {"dir/d": b"d"}
    # with a slash behind it: what is in it, without it
    assert outputs(sandbox, task("sub/")) == {"c": b"c", "dir/d": b"d"}
    assert outputs(sandbox, task("sub/dir/")) == {"d": b"d"}


def test_a_named_link_inside_the_scratch_directory_is_followed(sandbox: Sandbox) -> None:
    (sandbox.path / "v2").write_bytes(b"two")
    (sandbox.path / "latest").symlink_to("v2")

    assert outputs(sandbox, task("latest")) == {"latest": b"two"}


def test_a_missing_output_file_holds_the_job(sandbox: Sandbox) -> None:
    code, number, text = held(sandbox, task("there", "nowhere"))

    assert (code, number) == (12, 2)
    assert text == (
        f"Failed to send output file '{sandbox.path}/there': (errno=2) No such file or directory"
    )


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "../secret", "link", "up/secret", "x/../../secret"]
)
def test_nothing_outside_the_scratch_directory_is_ever_sent(
    sandbox: Sandbox, tmp_path: Path, name: str
) -> None:
    (tmp_path / "secret").write_bytes(b"broker password")
    (sandbox.path / "link").symlink_to(tmp_path / "secret")
    (sandbox.path / "up").symlink_to("..")
    (sandbox.path / "x").mkdir()

    code, number, text = held(sandbox, task(name))

    assert (code, number) == (12, 13)
    assert text == (
        f"Failed to send output file '{name}': (errno=13) it is outside the scratch directory"
    )


@pytest.mark.parametrize("name", ["..", ".", "sub/..", "./", "a/../.."])
def test_dots_are_no_output_files(sandbox: Sandbox, name: str) -> None:
    (sandbox.path / "sub").mkdir()

    code, _number, text = held(sandbox, task(name))

    assert code == 12
    assert "not the name of a file" in text


@pytest.mark.parametrize("kind", ["pipe", "link loop", "long name", "nul"])
def test_what_is_no_file_holds_the_job_and_blocks_nobody(sandbox: Sandbox, kind: str) -> None:
    path = sandbox.path / "out"
    if kind == "pipe":
        os.mkfifo(path)
    if kind == "link loop":
        path.symlink_to("out")
    name = {"long name": "x" * 300, "nul": "a\0b"}.get(kind, "out")

    code, _number, text = held(sandbox, task(name))

    assert code == 12
    assert text.startswith("Failed to send output file")


@pytest.mark.parametrize("asked", [None, ("big",)])
def test_too_much_output_is_not_even_read(sandbox: Sandbox, asked: tuple[str, ...] | None) -> None:
    with (sandbox.path / "big").open("wb") as big:
        big.truncate(2**40)  # a sparse terabyte

    code, number, text = held(sandbox, Task("x", output_files=asked, max_output=1000))
    assert (code, number) == (12, 27)
    assert text == (
        "Failed to send output file: (errno=27) 1099511627776 bytes of output; the limit is 1000"
    )
    assert held(sandbox, Task("x", output_files=asked, max_output=2**62))[1] == 27


def test_a_scratch_directory_that_is_gone_holds_the_job(sandbox: Sandbox) -> None:
    sandbox.path.rename(sandbox.path.with_name("elsewhere"))

    assert held(sandbox, TASK)[:2] == (12, 2)


def test_a_file_name_that_is_no_text_comes_back(sandbox: Sandbox) -> None:
    name = os.fsdecode(b"result-\xff\n")
    (sandbox.path / name).write_bytes(b"x")

    assert outputs(sandbox, TASK) == {name: b"x"}


def test_a_result_too_large_for_a_message_goes_without_its_files_and_is_held() -> None:
    from tests.thyme_fakes import submission
    from thyme.codec import decode
    from thyme.message import Finished, Usage

    job = submission()
    noise = os.urandom(LARGEST_STREAM)
    report = Finished(
        job.schedd, job.job, 1.0, 0, "w", "h", 0, None, Usage(), noise, noise,
        (SandboxFile("a", os.urandom(10 * 2**20)),), None,
    )  # fmt: skip

    sent = decode(encode_fitting(report))

    assert isinstance(sent, Finished)
    assert sent.hold is not None
    assert (sent.hold.code, sent.hold.subcode) == (12, 27)
    assert "the limit is 16777216" in sent.hold.text
    assert sent == replace(report, files=(), hold=sent.hold)


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
        [sys.executable, "-c", "import thyme.sandbox, thyme.faults, encodings.idna\n"
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
        "import os, sys; from pathlib import Path; from thyme.job import Task\n"
        "box = thyme.sandbox.Sandbox(Path(sys.argv[1])); box.unpack(Task('x'))\n"
        f"box.open_stream('_condor_stdout').write(b'said'); {deed}\n"
        "os.chdir('/')\n"
        "print(box.stream('_condor_stdout', 99), box.outputs(Task('x')))\n"
        "box.remove(); print(box.path.exists())\n",
        tmp_path,
    )

    first, second = printed.splitlines()
    assert first.startswith("b'said' (")
    assert second == "False"


def test_links_out_of_the_scratch_directory_are_removed_not_followed(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious/data").write_bytes(b"x")
    (sandbox.path / "link").symlink_to(tmp_path / "precious")

    sandbox.remove()

    assert not sandbox.path.exists()
    assert (tmp_path / "precious/data").read_bytes() == b"x"
