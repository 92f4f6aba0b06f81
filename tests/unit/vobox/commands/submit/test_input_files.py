"""The files of a job: credentials, input and output, and what is too much."""

import base64
import json

import pytest

from tests.support.fake_submit_host import (
    CWD,
    HEAD,
    NOW,
    SCRIPT,
    FakeSubmitHost,
    make_job,
    make_proxy,
)
from thyme.protocol.job import SandboxFile
from vobox.commands.submit import input_files


def test_a_proxy_travels_readable_by_its_owner_alone() -> None:
    proxy = make_proxy(generations=2)
    host = FakeSubmitHost({"/tmp/x509up_u1000": proxy})
    job = host.make_job(
        f"{HEAD}use_x509userproxy = true\nenvironment = X509_USER_PROXY=other\nqueue\n"
    )

    assert SandboxFile("x509up_u1000", proxy, 0o600) in job.task.files
    assert job.task.environment == {"X509_USER_PROXY": "x509up_u1000"}
    assert job.task.scratch_env == ("X509_USER_PROXY",)
    assert job.ad["x509userproxy"] == '"/tmp/x509up_u1000"'
    assert job.ad["x509UserProxySubject"] == '"/C=CH/O=Example/CN=Alice Agent"'
    assert job.ad["x509UserProxyExpiration"] == str(NOW + 12 * 3600)


def test_the_clients_x509_user_proxy_names_the_proxy_and_the_description_wins() -> None:
    host = FakeSubmitHost({"/grid/p1": make_proxy(), f"{CWD}/p2": make_proxy()})
    host.env["X509_USER_PROXY"] = "/grid/p1"

    assert (
        host.make_job(f"{HEAD}use_x509userproxy = true\nqueue\n").ad.text("x509userproxy")
        == "/grid/p1"
    )
    assert (
        host.make_job(f"{HEAD}x509userproxy = p2\nqueue\n").ad.text("x509userproxy") == f"{CWD}/p2"
    )
    assert "x509userproxy" not in host.make_job(f"{HEAD}use_x509userproxy = false\nqueue\n").ad


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"no certificate\n", "unable to read proxy file"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "unable to read"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n", "unable to read"),
        (make_proxy(hours=-1), "proxy has expired"),
    ],
)
def test_a_proxy_that_cannot_be_used_is_refused(content: bytes, words: str) -> None:
    answer = FakeSubmitHost({f"{CWD}/p": content}).submit(f"{HEAD}x509userproxy = p\nqueue\n")

    assert answer.code == 1
    assert answer.stderr.startswith(f"ERROR: {words}")


def test_input_files_travel_by_their_base_names_directories_with_theirs() -> None:
    files = {
        f"{CWD}/in/one": b"1",
        "/data/two": b"2",
        f"{CWD}/dir/a": b"a",
        f"{CWD}/dir/sub/b": b"b",
        f"{CWD}/flat/c": b"c",
    }
    task = make_job("transfer_input_files = in/one, /data/two, dir, flat/, ", files).task

    assert {file.name: file.data for file in task.files[1:]} == {
        "one": b"1",
        "two": b"2",
        "dir/a": b"a",
        "dir/sub/b": b"b",
        "c": b"c",
    }


def test_relative_paths_are_kept_when_asked_for() -> None:
    text = "transfer_input_files = in/one\npreserve_relative_paths = true"
    task = make_job(text, {f"{CWD}/in/one": b"1"}).task

    assert task.files[1].name == "in/one"


def test_input_is_looked_for_in_the_initial_directory() -> None:
    files = {"/run/7/input": b"i", "/run/7/in.txt": b"t"}
    text = "initialdir = /run/$(Cluster)\ninput = in.txt\ntransfer_input_files = input\nlog = l"
    job = make_job(text, files)

    assert job.task.stdin == "in.txt"
    assert {file.name for file in job.task.files} == {"agent.sh", "input", "in.txt"}
    assert job.ad.text("UserLog") == "/run/7/l"


@pytest.mark.parametrize("text", ["transfer_input_files = nope", "input = nope"])
def test_a_missing_input_file_holds_the_job_and_is_no_submit_error(text: str) -> None:
    job = make_job(text)

    assert job.on_hold
    assert (job.ad["JobStatus"], job.ad["HoldReasonCode"], job.ad["HoldReasonSubCode"]) == (
        "5",
        "13",
        "2",
    )
    assert job.ad.text("HoldReason").endswith(
        f"reading from file {CWD}/nope: (errno 2) No such file or directory"
    )


def test_an_unreadable_input_file_holds_the_job_with_its_errno() -> None:
    host = FakeSubmitHost({f"{CWD}/secret": b"x"})
    host.files.unreadable.add(f"{CWD}/secret")
    job = host.make_job(f"{HEAD}transfer_input_files = secret\nqueue\n")

    assert (job.ad["HoldReasonCode"], job.ad["HoldReasonSubCode"]) == ("13", "13")


def test_files_larger_than_a_message_are_refused_unread() -> None:
    host = FakeSubmitHost({f"{CWD}/big": b"\0" * (16 * 1024 * 1024 + 1)})
    answer = host.submit(f"{HEAD}transfer_input_files = big\nqueue\n")

    assert answer.code == 1
    assert "big has 16777217 bytes, a job can carry 16777216" in answer.stderr
    assert f"{CWD}/big" not in host.files.read_paths


def test_files_of_all_jobs_that_are_too_much_together_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(input_files, "MAX_INPUT", 1000 + len(SCRIPT))
    host = FakeSubmitHost({f"{CWD}/f": b"\0" * 300})
    text = f"{HEAD}transfer_input_files = $(name)\nqueue name in (f, ./f, ././f)\n"

    assert len(host.make_jobs(text)) == 3
    answer = host.submit(text.replace("././f", "././f, ./././f"))

    assert answer.code == 1
    assert (
        f"the files of this submit have more than {1000 + len(SCRIPT)} bytes with " in answer.stderr
    )


def test_files_that_are_too_much_together_are_refused() -> None:
    host = FakeSubmitHost({f"{CWD}/f{n}": b"\0" * (6 * 1024 * 1024) for n in range(3)})
    answer = host.submit(f"{HEAD}transfer_input_files = f0, f1, f2\nqueue\n")

    assert answer.code == 1
    assert "the job's files have 18874" in answer.stderr


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("", None),
        ("transfer_output_files = ", None),
        ('transfer_output_files = ""', ()),
        ('+TransferOutput = ""', ()),
        ('+TransferOutput = "a, b"', ("a", "b")),
        ("transfer_output_files = a, dir/b,", ("a", "dir/b")),
    ],
)
def test_the_output_files_are_all_none_or_the_named_ones(
    line: str, names: tuple[str, ...] | None
) -> None:
    assert make_job(line).task.output_files == names


def token(expires: float | None) -> bytes:
    claims = {"sub": "alice"} if expires is None else {"exp": expires}
    parts = [json.dumps(each).encode() for each in ({"alg": "none"}, claims)]
    return b".".join([*(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts), b"sig"])


@pytest.mark.parametrize("expires", [NOW + 60.0, 10**400, None])
def test_a_token_travels_readable_by_its_owner_alone(expires: float | None) -> None:
    host = FakeSubmitHost({f"{CWD}/tok/en": token(expires)})
    job = host.make_job(f"{HEAD}use_scitokens = true\nscitokens_file = tok/en\nqueue\n")

    assert SandboxFile("en", token(expires), 0o600) in job.task.files
    assert job.task.environment == {"BEARER_TOKEN_FILE": "en"}
    assert job.task.scratch_env == ("BEARER_TOKEN_FILE",)
    assert job.ad.text("ScitokensFile") == f"{CWD}/tok/en"


def test_a_token_and_a_proxy_may_travel_together() -> None:
    host = FakeSubmitHost({f"{CWD}/token": token(None), f"{CWD}/p": make_proxy()})
    host.env["BEARER_TOKEN_FILE"] = f"{CWD}/token"
    task = host.make_job(f"{HEAD}use_scitokens = true\nx509userproxy = p\nqueue\n").task

    assert task.scratch_env == ("X509_USER_PROXY", "BEARER_TOKEN_FILE")
    assert {file.name: file.mode for file in task.files[1:]} == {"p": 0o600, "token": 0o600}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (token(NOW), "has expired; get a new one"),
        (None, f"unable to read token file {CWD}/token: No such file or directory"),
    ],
)
def test_a_token_that_cannot_be_used_is_refused(content: bytes | None, words: str) -> None:
    host = FakeSubmitHost({} if content is None else {f"{CWD}/token": content})
    answer = host.submit(f"{HEAD}scitokens_file = token\nqueue\n")

    assert answer.code == 1
    assert words in answer.stderr
    assert token(NOW).decode() not in answer.stderr


def test_no_input_file_takes_the_place_of_the_proxy() -> None:
    proxy = make_proxy()
    host = FakeSubmitHost({f"{CWD}/p": proxy, f"{CWD}/d/p": b"other"})
    task = host.make_job(f"{HEAD}x509userproxy = p\ntransfer_input_files = d/p\nqueue\n").task

    assert [file for file in task.files if file.name == "p"] == [SandboxFile("p", proxy, 0o600)]


def test_more_input_than_the_job_allows_holds_it() -> None:
    files = {f"{CWD}/big": b"x" * (1024 * 1024)}
    text = "transfer_input_files = big\nmax_transfer_input_mb = "
    job = make_job(f"{text}1", files)

    assert job.on_hold
    assert (job.ad["HoldReasonCode"], job.ad["HoldReasonSubCode"]) == ("32", "0")
    assert job.ad["TransferInputSizeMB"] == "2"
    assert job.ad.text("HoldReason") == (
        "TransferInputSizeMB (2) is greater than MAX_TRANSFER_INPUT_MB (1) at submit time"
    )
    assert not make_job(f"{text}2", files).on_hold
    assert not make_job(f"{text}-1", files).on_hold


@pytest.mark.parametrize(("size", "kib"), [(100, "1"), (1000, "2"), (1025, "3")])
def test_what_travels_is_measured_all_together(size: int, kib: str) -> None:
    # HTCondor rounds each file up: 2, 2 and 4
    files = {f"{CWD}/{name}": b"x" * size for name in "ab"}
    assert make_job("transfer_input_files = a, b", files).ad["DiskUsage_RAW"] == kib


def test_a_job_may_limit_its_output() -> None:
    assert make_job("max_transfer_output_mb = 3").task.max_output == 3 * 1024 * 1024
    assert make_job("max_transfer_output_mb = -1").task.max_output == make_job("").task.max_output


@pytest.mark.parametrize("line", ["transfer_output_remaps = \"a=http://x/y\"",
                                  '+TransferOutputRemaps = "b=c;a=gsiftp://x/y"'])  # fmt: skip
def test_output_goes_to_no_url(line: str) -> None:
    answer = FakeSubmitHost().submit(f"{HEAD}{line}\nqueue\n")

    assert answer.code == 1
    assert "output is stored by URL nowhere here; store it from within the job" in answer.stderr
