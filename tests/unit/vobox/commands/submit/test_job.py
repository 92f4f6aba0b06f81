"""What of a description the worker gets: the task, the environment, the limits, the ad."""

import pytest

from tests.support.fake_submit_host import CWD, HEAD, NOW, SCRIPT, FakeSubmitHost, make_job
from thyme.protocol.codec import decode, encode
from thyme.protocol.events import Submit
from thyme.protocol.job import JobId, SandboxFile


def test_the_executable_travels_under_its_own_name() -> None:
    task = make_job("").task

    assert task.executable == "agent.sh"
    assert task.files == (SandboxFile("agent.sh", SCRIPT, 0o755),)
    assert task.directory == ""


def test_an_input_file_does_not_take_the_executables_place() -> None:
    task = make_job("transfer_input_files = other/agent.sh", {f"{CWD}/other/agent.sh": b"x"}).task

    assert task.files == (SandboxFile("agent.sh", SCRIPT, 0o755),)


def test_an_executable_of_the_node_does_not_travel_and_is_not_looked_for() -> None:
    job = FakeSubmitHost().make_job("executable = /opt/tool\ntransfer_executable = false\nqueue\n")

    assert (job.task.executable, job.task.files) == ("/opt/tool", ())
    assert job.ad["TransferExecutable"] == "false"


def test_a_relative_executable_of_the_node_is_in_the_scratch() -> None:
    text = (
        "executable = ./run.sh\ntransfer_executable = false\ntransfer_input_files = run.sh\nqueue\n"
    )
    task = FakeSubmitHost({f"{CWD}/run.sh": b"x"}).make_job(text).task

    assert task.executable == "run.sh"
    assert [file.name for file in task.files] == ["run.sh"]


def test_an_executable_outside_the_scratch_is_refused() -> None:
    text = "executable = ../run.sh\ntransfer_executable = false\nqueue\n"

    assert "outside the job's directory" in FakeSubmitHost().submit(text).stderr


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
    assert make_job(line).task.arguments == words


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
    assert make_job(lines).task.environment == variables


def test_getenv_leaves_out_shell_functions_and_values_of_several_lines() -> None:
    host = FakeSubmitHost()
    host.env = {"GOOD": "x", "BASH_FUNC_f%%": "() {  echo x\n}", "G": "() { :; }", "L": "a\nb"}
    for selection in ("true", "GOOD, L, G, BASH*"):
        job = host.make_job(f"{HEAD}getenv = {selection}\nqueue\n")
        assert job.task.environment == {"GOOD": "x"}


def test_getenv_leaves_out_condors_own_and_what_is_not_utf8() -> None:
    host = FakeSubmitHost()
    host.env = {"_CONDOR_X": "1", "BAD": "\udcff", "GOOD": "é"}

    assert host.make_job(f"{HEAD}getenv = true\nqueue\n").task.environment == {"GOOD": "é"}


def test_a_job_asked_to_be_held_is_held_without_a_subcode() -> None:
    job = make_job("hold = true")

    assert job.on_hold
    assert job.ad["HoldReasonCode"] == "15"
    assert job.ad.text("HoldReason") == "submitted on hold at user's request"
    assert "HoldReasonSubCode" not in job.ad


def test_without_transfer_the_job_runs_in_its_initial_directory() -> None:
    text = "should_transfer_files = NO\ninitialdir = /shared\ninput = in.txt\noutput = o"
    task = make_job(text, {"/shared/in.txt": b"x"}).task

    assert task.directory == "/shared"
    assert task.executable == f"{CWD}/agent.sh"
    assert task.stdin == "/shared/in.txt"
    assert (task.files, task.output_files) == ((), ())


@pytest.mark.parametrize(
    ("lines", "merged"),
    [("output = x\nerror = x", True), ("output = x\nerror = y", False), ("", False)],
)
def test_output_and_error_in_one_file_are_one_stream(lines: str, merged: bool) -> None:
    assert make_job(lines).task.merge_stderr is merged


@pytest.mark.parametrize(
    ("lines", "number", "name"),
    [
        ("", 15, ""),
        ("kill_sig = SIGINT", 2, "SIGINT"),
        ("kill_sig = 9", 9, "SIGKILL"),
        ("kill_sig = 009", 9, "SIGKILL"),
        ("kill_sig = 9x", 9, "SIGKILL"),
        ("kill_sig = +15 y", 15, "SIGTERM"),
        ('+KillSig = "SIGUSR1"', 10, "SIGUSR1"),
        ("universe = grid\ngrid_resource = batch x", 15, "SIGTERM"),
    ],
)
def test_the_kill_signal_is_the_ads(lines: str, number: int, name: str) -> None:
    job = make_job(lines)

    assert (job.task.kill_signal, job.ad.text("KillSig")) == (number, name)


def test_remove_kill_sig_ends_a_job_instead_of_kill_sig() -> None:
    # HTCondor 25.14.1: a trap of SIGUSR1 ends a job that is removed, held or vacated
    job = make_job("kill_sig = SIGINT\nremove_kill_sig = 10\nhold_kill_sig = SIGHUP")
    names = ("KillSig", "RemoveKillSig", "HoldKillSig")
    assert [job.ad.text(name) for name in names] == ["SIGINT", "SIGUSR1", "SIGHUP"]
    assert job.task.kill_signal == 10


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30", 30), ("10 s", 10), ("1+2", 1), ("1.9", 1), ("-5", 0), ("2147483647", 2**31 - 1)],
)
def test_the_grace_before_sigkill_is_kill_sig_timeout(text: str, seconds: int) -> None:
    # what HTCondor 25.14.1 makes of each, but that -5 stays in its ad
    assert make_job(f"kill_sig_timeout = {text}").task.kill_grace == seconds


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
    job = make_job(line)

    assert (job.task.lease, job.ad["JobLeaseDuration"]) == (lease, attribute)


def test_a_grid_job_has_its_grid_status_at_once() -> None:
    job = make_job("universe = grid\ngrid_resource = condor ce.cern.ch ce.cern.ch:9619")

    assert job.ad["JobUniverse"] == "9"
    assert job.ad.text("GridResource") == "condor ce.cern.ch ce.cern.ch:9619"
    assert job.ad.text("GridJobStatus") == "IDLE"
    assert job.ad.text("GridJobId") == "condor ce.cern.ch ce.cern.ch:9619 7.0"


def test_what_a_batch_system_is_told_is_recorded_for_grid_jobs_alone() -> None:
    # as HTCondor 25.14.1
    lines = "batch_queue = q\nbatch_runtime = 60*2\nbatch_extra_submit_args = -x y\narc_rte = A"
    job = make_job(f"universe = grid\ngrid_resource = batch slurm\n{lines}")
    names = ("BatchQueue", "BatchRuntime", "BatchExtraSubmitArgs", "ArcRte")

    assert [job.ad[name] for name in names] == ['"q"', "60 * 2", '"-x y"', '"A"']
    assert not any(name in make_job(lines).ad for name in names)


@pytest.mark.parametrize(
    ("line", "attribute", "value"),
    [
        ("request_memory = 5,", "RequestMemory", "5"),
        ("request_disk = 1 G ,", "RequestDisk", "1048576"),
    ],
)
def test_a_comma_may_follow_a_requested_size(line: str, attribute: str, value: str) -> None:
    assert make_job(line).ad[attribute] == value  # as HTCondor 25.14.1


@pytest.mark.parametrize(
    ("line", "clause", "asks"),
    [
        ("request_cpus = 1", "TARGET.Cpus", False),
        ("request_cpus = 0.5", "TARGET.Cpus", False),
        ("request_cpus = (1)", "TARGET.Cpus", False),
        ("request_cpus = 1+0", "TARGET.Cpus", True),
        ("request_cpus = ifthenelse(isUndefined(x),1,RequestCpus+2)", "TARGET.Cpus", True),
        ("request_memory = 1", "TARGET.Memory", False),
        ("request_memory = 0 + 1", "TARGET.Memory", True),
        ("request_disk = 0", "TARGET.Disk", False),
        ("request_disk = 0 * 5", "TARGET.Disk", True),
    ],
)
def test_a_request_is_asked_of_the_machine_unless_it_is_written_as_next_to_nothing(
    line: str, clause: str, asks: bool
) -> None:
    # as HTCondor 25.14.1
    assert (clause in make_job(line).ad["Requirements"]) is asks


def test_an_empty_list_of_limits_is_none() -> None:
    assert "ConcurrencyLimits" not in make_job("concurrency_limits = , ").ad  # as HTCondor


@pytest.mark.parametrize("line", ["request_memory = 1G, 2G", "request_disk = 5,x"])
def test_a_second_size_to_try_is_refused(line: str) -> None:
    answer = FakeSubmitHost().submit(f"{HEAD}{line}\nqueue\n")

    assert answer.code == 1
    assert f"{line}: a job is not run again with more memory or disk; give" in answer.stderr


def test_a_default_of_a_machine_attribute_is_filled_in() -> None:
    job = make_job("arguments = $$(OpSysVer:9) $$(x)$$\n".replace("$$(x)$$", "b"))

    assert job.task.arguments == ("9", "b")
    assert job.ad["Args"] == '"$$(OpSysVer:9) b"'


def test_a_machine_attribute_without_default_is_refused() -> None:
    answer = FakeSubmitHost().submit(f"{HEAD}arguments = $$(Mips)\nqueue\n")

    assert answer.code == 1
    assert "$$(Mips) is an attribute of the machine, which pilots do not know" in answer.stderr


def test_what_pilots_know_of_their_machine_is_left_to_them() -> None:
    job = make_job(
        "arguments = $$(CondorScratchDir)/x $$(opsys:WINDOWS)\nenvironment = N=$$(Cpus)\n"
    )

    assert job.task.arguments == ("$$(CondorScratchDir)/x", "$$(opsys:WINDOWS)")
    assert job.task.environment == {"N": "$$(Cpus)"}


def test_a_shell_line_runs_under_sh() -> None:
    job = FakeSubmitHost({"/bin/sh": b"x"}).make_job("shell = echo a b; exit 3\nqueue\n")

    assert job.task.executable == "/bin/sh"
    assert job.task.arguments == ("-c", "echo a b; exit 3")


@pytest.mark.parametrize("value", ["undefined", '"alice"', "UNDEFINED"])
def test_an_owner_that_is_the_submitter_may_be_given(value: str) -> None:
    # glideinWMS, jobsub and grid-control write it
    assert make_job(f"+Owner = {value}").ad["Owner"] == '"alice"'


def test_an_attribute_name_that_no_reader_takes_is_refused() -> None:
    answer = FakeSubmitHost().submit(f"{HEAD}+Foo.Bar = 1\nqueue\n")
    assert (answer.code, answer.stderr) == (1, "ERROR: +Foo.Bar: illegal attribute name\n")


def test_the_ad_says_whose_job_it_is_and_where_it_was_submitted() -> None:
    ad = make_job("").ad

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
    ad = make_job(f"{command} = {typed}").ad

    assert "a\\b" in str(ad.classad()).replace("\\\\", "\\")


def test_a_job_passes_through_a_message() -> None:
    job = make_job(
        "transfer_input_files = d\narguments = é\nenvironment = A=é\ngetenv = true",
        {f"{CWD}/d/x": bytes(range(256))},
    )
    ad = dict(job.ad.items())
    sent = Submit(
        "vobox1", JobId(7, 0), float(NOW), "alien_jobs", 1000, 1000, 0, ad, job.task, life="a1"
    )

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
    task = make_job(line).task

    assert (task.allowed_job_duration, task.allowed_execute_duration) == (job, execute)


def test_a_spooled_jobs_ad_says_what_htcondors_says_once_its_input_is_spooled() -> None:
    host = FakeSubmitHost({f"{CWD}/in": b"x"})
    text = f"{HEAD}transfer_input_files = in\noutput = out\nqueue\n"
    ad = host.make_job(text, "-spool").ad

    assert ad["JobStatus"] == "1"
    assert ad["StageInStart"] == ad["StageInFinish"] == str(NOW)
    assert ad["LastHoldReasonCode"] == "16"
    assert (ad.text("Cmd"), ad.text("SUBMIT_Cmd")) == ("agent.sh", f"{CWD}/agent.sh")
    assert ad.text("Iwd") == ad.text("SUBMIT_Iwd") == CWD
    assert ad["LeaveJobInQueue"] == (
        "JobStatus == 4 && (CompletionDate =?= undefined || CompletionDate == 0 || "
        "((time() - CompletionDate) < 864000))"
    )
    assert "StageInStart" not in host.make_job(text).ad


def test_a_spooled_job_stays_for_as_long_as_its_description_says() -> None:
    host = FakeSubmitHost()
    ad = host.make_job(f"{HEAD}leave_in_queue = false\nqueue\n", "-remote", "vobox1").ad

    assert ad["LeaveJobInQueue"] == "false"
