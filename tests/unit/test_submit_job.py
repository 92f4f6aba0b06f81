"""What of a description the worker gets: the task, the files, the environment, the hold."""

from __future__ import annotations

import base64
import json

import pytest

from tests.submit_fakes import CWD, NOW, SCRIPT, Host, make_proxy
from thyme.codec import decode, encode
from thyme.job import JobId, SandboxFile
from thyme.message import Submit

HEAD = "executable = agent.sh\n"


def job_of(text: str, files: dict[str, bytes] | None = None):
    return Host(files).job(f"{HEAD}{text}\nqueue\n")


def test_the_executable_travels_as_htcondors_starter_names_it() -> None:
    task = job_of("").task

    assert task.executable == "condor_exec.exe"
    assert task.files == (SandboxFile("condor_exec.exe", SCRIPT, 0o755),)
    assert task.directory == ""


def test_an_executable_of_the_node_does_not_travel_and_is_not_looked_for() -> None:
    job = Host().job("executable = /opt/tool\ntransfer_executable = false\nqueue\n")

    assert (job.task.executable, job.task.files) == ("/opt/tool", ())
    assert job.ad["TransferExecutable"] == "false"


def test_a_relative_executable_of_the_node_is_in_the_scratch() -> None:
    text = (
        "executable = ./run.sh\ntransfer_executable = false\ntransfer_input_files = run.sh\nqueue\n"
    )
    task = Host({f"{CWD}/run.sh": b"x"}).job(text).task

    assert task.executable == "run.sh"
    assert [file.name for file in task.files] == ["run.sh"]


def test_an_executable_outside_the_scratch_is_refused() -> None:
    text = "executable = ../run.sh\ntransfer_executable = false\nqueue\n"

    assert "outside the job's directory" in Host().submit(text).stderr


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("arguments = a  b\tc", ("a", "b", "c")),
        ("arguments = -c exit\\ 3", ("-c", "exit\\", "3")),
        ('arguments = say \\"hi\\"', ("say", '"hi"')),
        ("arguments = \"-c 'exit 3' it''s \"\"x\"\" ''\"", ("-c", "exit 3", "its", '"x"', "")),
        ("arguments = $(Cluster).$(Process)", ("7.0",)),
        ("", ()),
    ],
)
def test_arguments_are_the_words_that_htcondor_would_give(
    line: str, words: tuple[str, ...]
) -> None:
    assert job_of(line).task.arguments == words


@pytest.mark.parametrize(
    ("lines", "variables"),
    [
        ('environment = A=1;B=x y; C="q"', {"A": "1", "B": "x y", "C": '"q"'}),
        ("environment = \"A=1 B='x y' C=it''s\"", {"A": "1", "B": "x y", "C": "its"}),
        ("environment=CONDOR_ID=$(Cluster).$(Process);N=", {"CONDOR_ID": "7.0", "N": ""}),
        ("getenv = H*\nenvironment = A=1", {"A": "1", "HOME": "/home/alice"}),
        ("getenv = true\nenvironment = HOME=/x", {"HOME": "/x", "PATH": "/bin"}),
        ("env = A=1;B=2", {"A": "1", "B": "2"}),
        ("", {}),
    ],
)
def test_the_environment_is_what_the_description_asks_for_and_no_more(
    lines: str, variables: dict[str, str]
) -> None:
    assert job_of(lines).task.environment == variables


def test_getenv_leaves_out_condors_own_and_what_is_not_utf8() -> None:
    host = Host()
    host.env = {"_CONDOR_X": "1", "BAD": "\udcff", "GOOD": "é"}

    assert host.job(f"{HEAD}getenv = true\nqueue\n").task.environment == {"GOOD": "é"}


def test_a_proxy_travels_readable_by_its_owner_alone() -> None:
    proxy = make_proxy(generations=2)
    host = Host({"/tmp/x509up_u1000": proxy})
    job = host.job(f"{HEAD}use_x509userproxy = true\nenvironment = X509_USER_PROXY=other\nqueue\n")

    assert SandboxFile("x509up_u1000", proxy, 0o600) in job.task.files
    assert job.task.environment == {"X509_USER_PROXY": "x509up_u1000"}
    assert job.task.scratch_env == ("X509_USER_PROXY",)
    assert job.ad["x509userproxy"] == '"/tmp/x509up_u1000"'
    assert job.ad["x509UserProxySubject"] == '"/C=CH/O=Example/CN=Alice Agent"'
    assert job.ad["x509UserProxyExpiration"] == str(NOW + 12 * 3600)


def test_the_clients_x509_user_proxy_names_the_proxy_and_the_description_wins() -> None:
    host = Host({"/grid/p1": make_proxy(), f"{CWD}/p2": make_proxy()})
    host.env["X509_USER_PROXY"] = "/grid/p1"

    assert (
        host.job(f"{HEAD}use_x509userproxy = true\nqueue\n").ad.text("x509userproxy") == "/grid/p1"
    )
    assert host.job(f"{HEAD}x509userproxy = p2\nqueue\n").ad.text("x509userproxy") == f"{CWD}/p2"
    assert "x509userproxy" not in host.job(f"{HEAD}use_x509userproxy = false\nqueue\n").ad


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
    answer = Host({f"{CWD}/p": content}).submit(f"{HEAD}x509userproxy = p\nqueue\n")

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
    task = job_of("transfer_input_files = in/one, /data/two, dir, flat/, ", files).task

    assert {file.name: file.data for file in task.files[1:]} == {
        "one": b"1",
        "two": b"2",
        "dir/a": b"a",
        "dir/sub/b": b"b",
        "c": b"c",
    }


def test_relative_paths_are_kept_when_asked_for() -> None:
    text = "transfer_input_files = in/one\npreserve_relative_paths = true"
    task = job_of(text, {f"{CWD}/in/one": b"1"}).task

    assert task.files[1].name == "in/one"


def test_input_is_looked_for_in_the_initial_directory() -> None:
    files = {"/run/7/input": b"i", "/run/7/in.txt": b"t"}
    text = "initialdir = /run/$(Cluster)\ninput = in.txt\ntransfer_input_files = input\nlog = l"
    job = job_of(text, files)

    assert job.task.stdin == "in.txt"
    assert {file.name for file in job.task.files} == {"condor_exec.exe", "input", "in.txt"}
    assert job.ad.text("UserLog") == "/run/7/l"


@pytest.mark.parametrize("text", ["transfer_input_files = nope", "input = nope"])
def test_a_missing_input_file_holds_the_job_and_is_no_submit_error(text: str) -> None:
    job = job_of(text)

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
    host = Host({f"{CWD}/secret": b"x"})
    host.files.unreadable.add(f"{CWD}/secret")
    job = host.job(f"{HEAD}transfer_input_files = secret\nqueue\n")

    assert (job.ad["HoldReasonCode"], job.ad["HoldReasonSubCode"]) == ("13", "13")


def test_a_job_asked_to_be_held_is_held_without_a_subcode() -> None:
    job = job_of("hold = true")

    assert job.on_hold
    assert job.ad["HoldReasonCode"] == "15"
    assert job.ad.text("HoldReason") == "submitted on hold at user's request"
    assert "HoldReasonSubCode" not in job.ad


def test_files_larger_than_a_message_are_refused_unread() -> None:
    host = Host({f"{CWD}/big": b"\0" * (16 * 1024 * 1024 + 1)})
    answer = host.submit(f"{HEAD}transfer_input_files = big\nqueue\n")

    assert answer.code == 1
    assert "big has 16777217 bytes, a job can carry 16777216" in answer.stderr
    assert f"{CWD}/big" not in host.files.read_paths


def test_files_that_are_too_much_together_are_refused() -> None:
    host = Host({f"{CWD}/f{n}": b"\0" * (6 * 1024 * 1024) for n in range(3)})
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
def test_the_output_files_are_all_none_or_those_named(
    line: str, names: tuple[str, ...] | None
) -> None:
    assert job_of(line).task.output_files == names


def test_without_transfer_the_job_runs_in_its_initial_directory() -> None:
    text = "should_transfer_files = NO\ninitialdir = /shared\ninput = in.txt\noutput = o"
    task = job_of(text, {"/shared/in.txt": b"x"}).task

    assert task.directory == "/shared"
    assert task.executable == f"{CWD}/agent.sh"
    assert task.stdin == "/shared/in.txt"
    assert (task.files, task.output_files) == ((), ())


@pytest.mark.parametrize("mode", ["", "should_transfer_files = IF_NEEDED"])
def test_if_needed_means_a_sandbox_since_pilots_share_no_disk(mode: str) -> None:
    assert job_of(mode).task.directory == ""


@pytest.mark.parametrize(
    ("lines", "merged"),
    [("output = x\nerror = x", True), ("output = x\nerror = y", False), ("", False)],
)
def test_output_and_error_in_one_file_are_one_stream(lines: str, merged: bool) -> None:
    assert job_of(lines).task.merge_stderr is merged


@pytest.mark.parametrize(
    ("lines", "number", "name"),
    [
        ("", 15, ""),
        ("kill_sig = SIGINT", 2, "SIGINT"),
        ("kill_sig = 9", 9, "SIGKILL"),
        ('+KillSig = "SIGUSR1"', 10, "SIGUSR1"),
        ("universe = grid\ngrid_resource = batch x", 15, "SIGTERM"),
    ],
)
def test_the_kill_signal_is_the_ads(lines: str, number: int, name: str) -> None:
    job = job_of(lines)

    assert (job.task.kill_signal, job.ad.text("KillSig")) == (number, name)


def test_the_grace_before_sigkill_is_kill_sig_timeout() -> None:
    assert job_of("kill_sig_timeout = 30").task.kill_grace == 30.0


@pytest.mark.parametrize(
    ("line", "lease", "attribute"),
    [
        ("", 0.0, "2400"),
        ("job_lease_duration = 7200", 7200.0, "7200"),
        ("job_lease_duration = 60 * 60", 3600.0, "60 * 60"),
        ("+JobLeaseDuration = 100", 100.0, "100"),
    ],
)
def test_the_lease_is_the_schedds_unless_the_description_sets_one(
    line: str, lease: float, attribute: str
) -> None:
    job = job_of(line)

    assert (job.task.lease, job.ad["JobLeaseDuration"]) == (lease, attribute)


def test_a_grid_job_has_its_grid_status_at_once() -> None:
    job = job_of("universe = grid\ngrid_resource = condor ce.cern.ch ce.cern.ch:9619")

    assert job.ad["JobUniverse"] == "9"
    assert job.ad.text("GridResource") == "condor ce.cern.ch ce.cern.ch:9619"
    assert job.ad.text("GridJobStatus") == "IDLE"
    assert job.ad.text("GridJobId") == "condor ce.cern.ch ce.cern.ch:9619 7.0"


def test_a_default_of_a_machine_attribute_is_filled_in() -> None:
    job = job_of("arguments = $$(OpSysVer:9) $$(x)$$\n".replace("$$(x)$$", "b"))

    assert job.task.arguments == ("9", "b")
    assert job.ad["Args"] == '"$$(OpSysVer:9) b"'


def test_a_machine_attribute_without_default_is_refused() -> None:
    answer = Host().submit(f"{HEAD}arguments = $$(Machine)\nqueue\n")

    assert answer.code == 1
    assert "$$(Machine) is an attribute of the machine, which pilots do not have" in answer.stderr


def test_a_shell_line_runs_under_sh() -> None:
    job = Host({"/bin/sh": b"x"}).job("shell = echo a b; exit 3\nqueue\n")

    assert job.task.executable == "/bin/sh"
    assert job.task.arguments == ("-c", "echo a b; exit 3")


def test_nobody_passes_for_another_by_a_custom_attribute() -> None:
    answer = Host().submit(f'{HEAD}+Owner = "root"\nqueue\n')

    assert answer.stderr == "\nERROR: +Owner: the schedd sets this attribute itself\n"


def test_the_ad_says_whose_job_it_is_and_where_it_was_submitted() -> None:
    ad = job_of("").ad

    assert ad.text("Owner") == "alice"
    assert ad.text("User") == "alice@vobox1.example.org"
    assert ad.text("GlobalJobId") == f"vobox1.example.org#7.0#{NOW}"
    assert ad.text("JobSubmitFile") == "e.sub"


@pytest.mark.parametrize(
    "command",
    ["output", "log", "batch_name", "description", "arguments", "environment", "notify_user"],
)
def test_every_ad_parses_whatever_was_typed(command: str) -> None:
    typed = "A=a\\b'c'd;E=\\\\[x]$"
    ad = job_of(f"{command} = {typed}").ad

    assert "a\\b" in str(ad.classad()).replace("\\\\", "\\")


def test_a_job_passes_through_a_message() -> None:
    job = job_of(
        "transfer_input_files = d\narguments = é\nenvironment = A=é\ngetenv = true",
        {f"{CWD}/d/x": bytes(range(256))},
    )
    ad = dict(job.ad.items())
    sent = Submit("vobox1", JobId(7, 0), float(NOW), "alien_jobs", 1000, 1000, 0, ad, job.task)

    assert decode(encode(sent)) == sent


@pytest.mark.parametrize(
    ("line", "job", "execute"),
    [
        ("", 0.0, 0.0),
        ("allowed_job_duration = 3600", 3600.0, 0.0),
        ("allowed_execute_duration = 60 * 2", 0.0, 120.0),
        ("+AllowedJobDuration = 5", 5.0, 0.0),
        ("allowed_job_duration = 0", 1.0, 0.0),
        ("allowed_job_duration = -7", 1.0, 0.0),
        ("allowed_job_duration = Other + 1", 0.0, 0.0),
    ],
)
def test_the_limits_of_a_runs_duration_are_the_tasks(line: str, job: float, execute: float) -> None:
    task = job_of(line).task

    assert (task.allowed_job_duration, task.allowed_execute_duration) == (job, execute)


def token(expires: float | None) -> bytes:
    claims = {"sub": "alice"} if expires is None else {"exp": expires}
    parts = [json.dumps(each).encode() for each in ({"alg": "none"}, claims)]
    return b".".join([*(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts), b"sig"])


@pytest.mark.parametrize("expires", [NOW + 60.0, None])
def test_a_token_travels_readable_by_its_owner_alone(expires: float | None) -> None:
    host = Host({f"{CWD}/tok/en": token(expires)})
    job = host.job(f"{HEAD}use_scitokens = true\nscitokens_file = tok/en\nqueue\n")

    assert SandboxFile("en", token(expires), 0o600) in job.task.files
    assert job.task.environment == {"BEARER_TOKEN_FILE": "en"}
    assert job.task.scratch_env == ("BEARER_TOKEN_FILE",)
    assert job.ad.text("ScitokensFile") == f"{CWD}/tok/en"


def test_a_token_and_a_proxy_may_travel_together() -> None:
    host = Host({f"{CWD}/token": token(None), f"{CWD}/p": make_proxy()})
    host.env["BEARER_TOKEN_FILE"] = f"{CWD}/token"
    task = host.job(f"{HEAD}use_scitokens = true\nx509userproxy = p\nqueue\n").task

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
    host = Host({} if content is None else {f"{CWD}/token": content})
    answer = host.submit(f"{HEAD}scitokens_file = token\nqueue\n")

    assert answer.code == 1
    assert words in answer.stderr
    assert token(NOW).decode() not in answer.stderr


def test_no_input_file_takes_the_place_of_the_proxy() -> None:
    proxy = make_proxy()
    host = Host({f"{CWD}/p": proxy, f"{CWD}/d/p": b"other"})
    task = host.job(f"{HEAD}x509userproxy = p\ntransfer_input_files = d/p\nqueue\n").task

    assert [file for file in task.files if file.name == "p"] == [SandboxFile("p", proxy, 0o600)]


def test_more_input_than_the_job_allows_holds_it() -> None:
    files = {f"{CWD}/big": b"x" * (1024 * 1024)}
    text = "transfer_input_files = big\nmax_transfer_input_mb = "
    job = job_of(f"{text}1", files)

    assert job.on_hold
    assert (job.ad["HoldReasonCode"], job.ad["HoldReasonSubCode"]) == ("32", "0")
    assert job.ad.text("HoldReason").endswith(
        f"{1024 * 1024 + len(SCRIPT)} bytes of input are more than max_transfer_input_mb = 1 allows"
    )
    assert not job_of(f"{text}2", files).on_hold
    assert not job_of(f"{text}-1", files).on_hold


def test_a_job_may_limit_its_output() -> None:
    assert job_of("max_transfer_output_mb = 3").task.max_output == 3 * 1024 * 1024
    assert job_of("max_transfer_output_mb = -1").task.max_output == job_of("").task.max_output


@pytest.mark.parametrize("line", ["transfer_output_remaps = \"a=http://x/y\"",
                                  '+TransferOutputRemaps = "b=c;a=gsiftp://x/y"'])  # fmt: skip
def test_output_goes_to_no_url(line: str) -> None:
    answer = Host().submit(f"{HEAD}{line}\nqueue\n")

    assert answer.code == 1
    assert "output is stored by URL nowhere here; store it from within the job" in answer.stderr


def test_a_spooled_jobs_ad_says_what_htcondors_says_once_its_input_is_spooled() -> None:
    host = Host({f"{CWD}/in": b"x"})
    text = f"{HEAD}transfer_input_files = in\noutput = out\nqueue\n"
    ad = host.job(text, "-spool").ad

    assert ad["JobStatus"] == "1"
    assert ad["StageInStart"] == ad["StageInFinish"] == str(NOW)
    assert ad["LastHoldReasonCode"] == "16"
    assert (ad.text("Cmd"), ad.text("SUBMIT_Cmd")) == ("agent.sh", f"{CWD}/agent.sh")
    assert ad.text("Iwd") == ad.text("SUBMIT_Iwd") == CWD
    assert ad["LeaveJobInQueue"] == (
        "JobStatus == 4 && (CompletionDate =?= undefined || CompletionDate == 0 || "
        "((time() - CompletionDate) < 864000))"
    )
    assert "StageInStart" not in host.job(text).ad


def test_a_spooled_job_stays_for_as_long_as_its_description_says() -> None:
    host = Host()
    ad = host.job(f"{HEAD}leave_in_queue = false\nqueue\n", "-remote", "vobox1").ad

    assert ad["LeaveJobInQueue"] == "false"


def test_the_reasons_of_policies_are_recorded_where_they_are_read() -> None:
    ad = job_of('periodic_remove_reason = "a"\nperiodic_release_reason = strcat("b", Owner)').ad

    assert ad["PeriodicRemoveReason"] == '"a"'
    assert ad["PeriodicReleaseReason"] == 'strcat("b",Owner)'
