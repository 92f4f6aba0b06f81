"""Which files of a scratch directory come back, and why one that does not."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.fake_schedd import submission
from tests.support.scratch_directory import filled
from thyme.protocol.codec import decode
from thyme.protocol.events import Finished, Usage
from thyme.protocol.job import LARGEST_STREAM, JobId, SandboxFile, Task
from thyme.worker.reports import encode_within_limit
from thyme.worker.sandbox import Sandbox

TASK = Task("condor_exec.exe")


def task(*names: str, **changes: object) -> Task:
    return Task("condor_exec.exe", output_files=names, **changes)  # type: ignore[arg-type]


def outputs(sandbox: Sandbox, of: Task) -> dict[str, bytes]:
    files, hold = sandbox.collect_outputs(of)
    assert hold is None, hold
    return {file.name: file.data for file in files if not file.is_directory}


def held(sandbox: Sandbox, of: Task) -> tuple[int, int, str]:
    files, hold = sandbox.collect_outputs(of)
    assert files == ()
    assert hold is not None
    return hold.code, hold.subcode, hold.text


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
    files, hold = sandbox.collect_outputs(proxied)

    assert hold is None
    assert [(f.name, f.data, f.mode) for f in files] == [
        ("changed", b"after!", 0o644),
        ("link", b"\x00result", 0o750),
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
        f"2 total failures: first failure: reading from file {sandbox.path}/there: "
        "(errno 2) No such file or directory"
    )


def test_what_is_there_is_sent_although_another_output_is_missing(sandbox: Sandbox) -> None:
    (sandbox.path / "a").write_bytes(b"a")
    (sandbox.path / "z").write_bytes(b"z")

    files, hold = sandbox.collect_outputs(task("a", "nowhere", "z"))

    assert [(file.name, file.data) for file in files] == [("a", b"a"), ("z", b"z")]
    assert hold is not None and (hold.code, hold.subcode) == (12, 2)
    assert "/nowhere: (errno 2)" in hold.text


def test_directories_below_a_named_one_are_sent_with_their_modes(sandbox: Sandbox) -> None:
    (sandbox.path / "out/empty/inner").mkdir(parents=True)
    (sandbox.path / "out/empty").chmod(0o750)
    (sandbox.path / "out/file").write_bytes(b"f")
    (sandbox.path / "bare").mkdir()

    files, hold = sandbox.collect_outputs(task("out", "bare"))

    assert hold is None
    assert [(file.name, file.is_directory) for file in files] == [
        ("bare", True), ("out", True), ("out/empty", True), ("out/empty/inner", True),
        ("out/file", False),
    ]  # fmt: skip
    assert files[2].mode == 0o750
    assert [file.name for file in sandbox.collect_outputs(task("out/"))[0]] == [
        "empty", "empty/inner", "file",
    ]  # fmt: skip


def test_a_core_file_gets_htcondors_name_and_no_link_is_taken_for_one(sandbox: Sandbox) -> None:
    (sandbox.path / "core.77").symlink_to("/etc/passwd")
    assert sandbox.rename_core_file(77, JobId(5, 0)) == ""
    (sandbox.path / "core").write_bytes(b"dump")
    assert sandbox.rename_core_file(77, JobId(5, 0)) == "core.5.0"
    assert outputs(sandbox, task("core.5.0")) == {"core.5.0": b"dump"}


def test_links_to_files_of_the_directory_are_sent_as_files_and_no_others(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_bytes(b"broker password")
    (sandbox.path / "out").mkdir()
    (sandbox.path / "file").write_bytes(b"f")
    for where in (sandbox.path, sandbox.path / "out"):
        (where / "inside").symlink_to(sandbox.path / "file")
        (where / "outside").symlink_to(tmp_path / "secret")
        (where / "directory").symlink_to(sandbox.path / "out")
        (where / "broken").symlink_to("nowhere")
        (where / "loop").symlink_to("loop")

    assert outputs(sandbox, TASK) == {"file": b"f", "inside": b"f"}
    assert outputs(sandbox, task("out")) == {"out/inside": b"f"}


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
        f"1 total failures: first failure: reading from file {name}: "
        "(errno 13) it is outside the scratch directory"
    )


@pytest.mark.parametrize("name", ["..", ".", "sub/..", "./", "a/../.."])
def test_dots_are_no_output_files(sandbox: Sandbox, name: str) -> None:
    (sandbox.path / "sub").mkdir()

    code, _number, text = held(sandbox, task(name))

    assert code == 12
    assert "not the name of a file" in text


@pytest.mark.parametrize("kind", ["pipe", "link loop", "long name", "nul"])
def test_an_output_that_is_not_a_file_holds_the_job_and_does_not_block(
    sandbox: Sandbox, kind: str
) -> None:
    path = sandbox.path / "out"
    if kind == "pipe":
        os.mkfifo(path)
    if kind == "link loop":
        path.symlink_to("out")
    name = {"long name": "x" * 300, "nul": "a\0b"}.get(kind, "out")

    code, _number, text = held(sandbox, task(name))

    assert code == 12
    assert text.startswith("1 total failures: first failure: ")


def test_a_chain_of_links_longer_than_the_kernel_follows_holds_nobody_up(sandbox: Sandbox) -> None:
    (sandbox.path / "link0").write_bytes(b"x")
    for number in range(1, 2000):
        (sandbox.path / f"link{number}").symlink_to(f"link{number - 1}")

    assert set(outputs(sandbox, TASK)) == {f"link{number}" for number in range(41)}
    assert held(sandbox, task("link1999"))[:2] == (12, 40)


@pytest.mark.parametrize("asked", [None, ("big",)])
def test_too_much_output_is_not_even_read(sandbox: Sandbox, asked: tuple[str, ...] | None) -> None:
    with (sandbox.path / "big").open("wb") as big:
        big.truncate(2**40)  # a sparse terabyte

    code, number, text = held(sandbox, Task("x", output_files=asked, max_output=1000))
    assert (code, number) == (33, 0)
    assert text == "1099511627776 bytes of output; max_transfer_output_mb allows 1000"
    assert held(sandbox, Task("x", output_files=asked, max_output=2**62))[:2] == (12, 27)


def test_a_scratch_directory_that_is_gone_holds_the_job(sandbox: Sandbox) -> None:
    sandbox.path.rename(sandbox.path.with_name("elsewhere"))

    assert held(sandbox, TASK)[:2] == (12, 2)


@pytest.mark.parametrize("of", [TASK, task("secret")], ids=["what is new", "what is named"])
def test_nothing_comes_back_of_a_directory_that_the_job_linked_in_its_place(
    sandbox: Sandbox, tmp_path: Path, of: Task
) -> None:
    other = tmp_path / "other"
    other.mkdir(mode=0o755)
    (other / "secret").write_text("text")
    sandbox.path.rename(sandbox.path.with_name("elsewhere"))
    sandbox.path.symlink_to(other)

    assert held(sandbox, of)[:2] == (12, 20)
    assert other.stat().st_mode & 0o777 == 0o755

    sandbox.remove()
    assert (other / "secret").read_text() == "text"


def test_a_file_name_that_is_no_text_comes_back(sandbox: Sandbox) -> None:
    name = os.fsdecode(b"result-\xff\n")
    (sandbox.path / name).write_bytes(b"x")

    assert outputs(sandbox, TASK) == {name: b"x"}


def test_a_result_too_large_for_a_message_goes_without_its_files_and_is_held() -> None:
    job = submission()
    noise = os.urandom(LARGEST_STREAM)
    report = Finished(
        job.schedd, job.job, 1.0, 0, "w", "h", 0, None, Usage(), noise, noise,
        (SandboxFile("a", os.urandom(10 * 2**20)),), None, life="a1",
    )  # fmt: skip

    sent = decode(encode_within_limit(report))

    assert isinstance(sent, Finished)
    assert sent.hold is not None
    assert (sent.hold.code, sent.hold.subcode) == (12, 27)
    assert "the limit is 16777216" in sent.hold.text
    assert sent == replace(report, files=(), hold=sent.hold)
