"""condor_submit's options, streams and warnings, to the byte."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.fake_submit_host import CWD, HEAD, SCRIPT, FakeSubmitHost
from vobox.commands.submit.options import USAGE, reads_stdin

ONE = "executable = agent.sh\nqueue 1"
THREE = "executable = agent.sh\nqueue 3\n"


def test_a_submit_prints_a_dot_a_job_and_one_sentence() -> None:
    answer = FakeSubmitHost().submit(THREE)

    assert answer.stdout == "Submitting job(s)...\n3 job(s) submitted to cluster 7.\n"
    assert (answer.stderr, answer.code) == ("", 0)


def test_a_description_on_stdin_is_reported_as_one_in_a_file() -> None:
    answer = FakeSubmitHost().run(stdin=ONE)

    assert answer.stdout == "Submitting job(s).\n1 job(s) submitted to cluster 7.\n"


@pytest.mark.parametrize("option", ["-terse", "--terse", "-ter", "-terse -terse"])
def test_terse_prints_the_range_of_ids_alone(option: str) -> None:
    assert FakeSubmitHost().submit(THREE, *option.split()).stdout == "7.0 - 7.2\n"
    assert FakeSubmitHost().submit(ONE, *option.split()).stdout == "7.0 - 7.0\n"


def test_verbose_prints_every_ad_and_no_sentence() -> None:
    answer = FakeSubmitHost().submit("executable = agent.sh\nqueue 2\n", "-verbose")

    head, first, second = answer.stdout.split("** Proc ")
    assert head == "Submitting job(s)\n"
    for text, number in ((first, 0), (second, 1)):
        title, *lines = text.split("\n")
        assert title == f"7.{number}:"
        assert lines[-3:] == ["", "", ""]
        names = [line.partition(" = ")[0] for line in lines[:-3]]
        assert names == sorted(names, key=str.lower)
        assert f"ProcId = {number}" in lines
    assert "submitted to cluster" not in answer.stdout


def test_a_dash_as_file_means_verbose_without_submitting_line() -> None:
    answer = FakeSubmitHost().run("-", stdin=ONE)

    assert answer.stdout.startswith("\n** Proc 7.0:\nArguments = ")
    assert "Submitting" not in answer.stdout
    assert FakeSubmitHost().run("-", "-terse", stdin=ONE).stdout == "7.0 - 7.0\n"


@pytest.mark.parametrize("argv", [("-queue", "2", "x", "in", "a", "b"), ("-a", "queue 2 x in a b")])
def test_the_queue_statement_may_come_from_the_command_line(argv: tuple[str, ...]) -> None:
    jobs = FakeSubmitHost().make_jobs("executable = agent.sh\narguments = $(x)\n", *argv)

    assert [job.task.arguments for job in jobs] == [("a",), ("a",), ("b",), ("b",)]


def test_everything_on_the_command_line_needs_no_description() -> None:
    host = FakeSubmitHost()

    assert not reads_stdin(["executable=agent.sh", "-q", "2"])
    assert host.run("executable=agent.sh", "-q", "2").code == 0
    assert len(host.target.submitted[0][1]) == 2


@pytest.mark.parametrize("name", ["x", "1x", "a.b", "MY.Foo"])
def test_a_name_on_the_command_line_is_one_of_a_description(name: str) -> None:
    host = FakeSubmitHost()
    answer = host.run("executable=agent.sh", f"{name} = 3", f"arguments=$({name})", "-queue", "1")
    assert answer.code == 0, answer
    assert host.target.submitted[-1][1][0].ad.text("Args") == "3"


@pytest.mark.parametrize(
    ("argv", "reads"),
    [([], True), (["-"], True), (["e.sub"], False), (["-terse"], True), (["-f", "e.sub"], True),
     (["-fi", "e.sub"], False), (["-help"], False), (["-zzz"], False), (["a=1"], True)],
)  # fmt: skip
def test_stdin_is_read_only_when_the_description_is_there(argv: list[str], reads: bool) -> None:
    # -f alone is too short for -file: usage
    assert reads_stdin(argv) == (reads and argv[:1] != ["-f"])


def test_the_batch_name_option_wins_over_the_description() -> None:
    job = FakeSubmitHost().make_job(
        "executable = agent.sh\nbatch_name = file\nqueue\n", "-batch-name", "my batch"
    )

    assert job.ad["JobBatchName"] == '"my batch"'


def test_the_id_of_a_batch_is_recorded() -> None:
    # a name may look like an assignment
    job = FakeSubmitHost().make_job(ONE, "-batch-id", "x y", "-batch-name", "k=v")

    assert (job.ad["JobBatchId"], job.ad["JobBatchName"]) == ('"x y"', '"k=v"')


def test_a_dry_run_to_stdout_submits_nothing_and_burns_no_id() -> None:
    host = FakeSubmitHost()
    answer = host.submit(THREE, "-dry-run", "-")

    assert answer.stdout.startswith("Dry-Run job(s)\nClusterId=1\nIn=")
    assert answer.stdout.endswith("\n3 job(s) dry-run to cluster 1.\n")
    assert host.target.clusters == 7
    assert not host.target.submitted


def test_a_dry_run_writes_the_ads_to_its_file() -> None:
    host = FakeSubmitHost()
    answer = host.submit(ONE, "-dry-run", "out.ads")

    assert answer.stdout == "Dry-Run job(s).\n1 job(s) dry-run to cluster 1.\n"
    assert host.files.files[f"{CWD}/out.ads"].startswith(b"\nClusterId=1\nIn=")


def test_a_dry_run_that_cannot_write_says_so() -> None:
    answer = FakeSubmitHost().submit(ONE, "-dry-run", "/root/out.ads")

    assert answer.code == 1
    assert (
        answer.stderr == "\nERROR: Failed to open file -dry-run output file (Permission denied)\n"
    )


@pytest.mark.parametrize("name", ["vobox1.example.org", "vobox1", "VOBOX1", "localhost"])
@pytest.mark.parametrize("option", ["-name", "-remote"])
def test_a_schedd_name_that_is_ours_is_taken(option: str, name: str) -> None:
    assert FakeSubmitHost().submit(ONE, option, name, "-pool", "ce.example.org:9619").code == 0


def test_capabilities_name_the_schedd_and_nothing_that_it_has_not() -> None:
    answer = FakeSubmitHost().run("-capabilities")

    assert (answer.code, answer.stdout, answer.stderr) == (0, "Schedd vobox1.example.org\n", "")


@pytest.mark.parametrize("option", ["-factory", "-single-cluster", "-disable", "-debug"])
def test_an_option_that_changes_nothing_here_is_taken(option: str) -> None:
    assert (
        FakeSubmitHost().submit(ONE, option).stdout.endswith("1 job(s) submitted to cluster 7.\n")
    )


@pytest.mark.parametrize("option", ["-help", "--help", "-h"])
def test_help_goes_to_stdout(option: str) -> None:
    answer = FakeSubmitHost().run(option)

    assert (answer.code, answer.stdout, answer.stderr) == (0, USAGE, "")


def test_a_script_of_windows_is_taken_when_asked_for() -> None:
    host = FakeSubmitHost({f"{CWD}/dos": b"#!/bin/sh\r\necho\r\n"})

    assert host.submit("executable = dos\nqueue\n", "-allow-crlf-script").code == 0


def test_a_misspelt_command_is_told_the_nearest_in_the_first_warnings() -> None:
    typos = "".join(f"argumnets = {n}\n" if n == 0 else f"argumnets{n} = 1\n" for n in range(21))
    warnings = FakeSubmitHost().submit(f"executable = agent.sh\n{typos}queue\n").stderr

    first, *_, last = warnings.splitlines()
    assert first == (
        "WARNING: the line 'argumnets9 = 1' was unused by condor_submit. Is it a typo? "
        "Did you mean 'arguments'?"
    )
    assert last.endswith("Is it a typo?")


@pytest.mark.parametrize(
    ("lines", "ignored"),
    [
        ("JOBSET.name = x\n", ""),
        ("JOBSET.name = x\nJOBSET.size = 2\n", "  Ignoring JOBSET.* attributes"),
    ],
)
def test_jobsets_are_ignored_with_a_warning(lines: str, ignored: str) -> None:
    answer = FakeSubmitHost().submit(f"executable = agent.sh\n{lines}queue 2\n")

    assert answer.code == 0
    assert answer.stderr == f"\nWARNING: schedd does not support jobsets.{ignored}\n"


def test_an_unused_assignment_is_a_warning_and_the_job_is_submitted() -> None:
    answer = FakeSubmitHost().submit(
        "executable = agent.sh\nFoo = a b\nDir = logs\noutput = $(Dir)/x\nqueue\n"
    )

    assert answer.code == 0
    assert answer.stderr == (
        "WARNING: the line 'Foo = a b' was unused by condor_submit. Is it a typo?\n"
    )
    assert (
        FakeSubmitHost().submit("executable = agent.sh\nFoo = a b\nqueue 2\n", "-unused").stderr
        == ""
    )


def test_machine_count_of_parsl_and_nextflow_only_warns() -> None:
    answer = FakeSubmitHost().submit("executable = agent.sh\nmachine_count = 1\nqueue\n")

    assert answer.code == 0
    assert "'machine_count = 1' was unused" in answer.stderr


def test_a_warning_of_the_description_is_printed() -> None:
    answer = FakeSubmitHost().submit(f"warning : careful\n{ONE}")

    assert (answer.code, answer.stderr) == (0, 'WARNING: Warning "e.sub", Line 1: careful\n')


@pytest.mark.parametrize(
    ("line", "who"),
    [
        ("notify_user = never", "never"),
        ("NotifyUser = False", "False"),
        ("notify_user = true", ""),
        ('+NotifyUser = "never"', ""),
        ("notification = never", ""),
    ],
)
def test_a_user_called_never_is_hardly_meant(line: str, who: str) -> None:
    # HTCondor 25.14.1 says this
    answer = FakeSubmitHost().submit(f"executable = agent.sh\n{line}\nqueue 2\n")

    assert answer.code == 0
    if not who:
        assert answer.stderr == ""
    else:
        assert answer.stderr == (
            f"WARNING: You used  notify_user={who}  in your submit file.\n"
            f'This means notification email will go to user "{who}@vobox1.example.org".\n'
            "This is probably not what you expect!\n"
            'If you do not want notification email, put "notification = never"\n'
            "into your submit file, instead.\n"
        )


def test_the_name_of_a_macro_may_be_made_of_macros() -> None:
    # HTCondor 25.14.1 does so
    lines = "x0 = $(ItemIndex)\nx1 = b\narguments = $(x$(Process)) $(y$(Step):no$(Process)) $(z"
    jobs = FakeSubmitHost().make_jobs(f"executable = agent.sh\n{lines}\nqueue 3\n")

    assert [job.ad["Args"] for job in jobs] == ['"0 no0 $(z"', '"b no1 $(z"', '"no2 $(z"']


@pytest.mark.parametrize(
    ("value", "arguments"),
    [
        ("$(a$(b:1)c)", "yes"),
        ("$(n$(b:1)c:d)", "d"),
        ("$(n:x y,z\\:/.$(k)_)", "x y,z\\\\:/.5_"),
        ("$(n:f(x-1)y)", "f(x-1)y"),
        ("$(n:--x)", "$(n:--x)"),
        ("$(k:x=1)", "$(k:x=1)"),
        ("$(n:$(m:1)=2)", "$(n:1=2)"),
        ("$ENV(HOME:'x')", "$ENV(HOME:'x')"),
        ("$(n/m)|$()|$(:x)", "||x"),
        ("$Fu(w) $Fw(w) $Fuw(w) $Fwu(w)", "p/q/r p\\\\q\\\\r p\\\\q\\\\r p/q/r"),
        ("$INT(k,%d-%%) $INT(k,%%%d) $REAL(k,%.1f%%) $STRING(k,%s%%x)", "5-% %5 5.0% 5%x"),
    ],
)
def test_what_is_a_macro_is_what_htcondor_takes_for_one(value: str, arguments: str) -> None:
    # what HTCondor 25.14.1 makes of each
    lines = f"a1c = yes\nk = 5\nw = p\\q/r\narguments = {value}\n"
    (job,) = FakeSubmitHost().make_jobs(f"executable = agent.sh\n{lines}\nqueue\n")

    assert job.ad["Args"] == f'"{arguments}"'


@pytest.mark.parametrize(
    ("lines", "unused"),
    [
        # what HTCondor 25.14.1 says of each, in its order
        ("n = 1\nn = $(n)1\nqueue", []),
        ("n = $(n)1\nqueue", ["the line 'n = 1'"]),
        ("n = 1\nn += 2\nqueue", []),
        ("n += 2\nqueue", ["the line 'n = 2'"]),
        ("x = 1\nqueue x in (a b)", ["the line 'x = '"]),
        (
            "b = 1\ny = 2\nZ = 3\nqueue x,c in (a b)",
            ["the line 'Z = 3'", "the line 'y = 2'", "the Queue variable 'x'",
             "the Queue variable 'c'", "the line 'b = 1'"],
        ),
    ],
)  # fmt: skip
def test_what_is_unused_is_said_in_the_order_of_names(lines: str, unused: list[str]) -> None:
    answer = FakeSubmitHost().submit(f"executable = agent.sh\n{lines}\n")

    end = " was unused by condor_submit. Is it a typo?\n"
    assert answer.stderr == "".join(f"WARNING: {what}{end}" for what in unused)


def test_what_a_composed_name_names_is_used() -> None:
    text = "x0 = a\nx1 = b\nx2 = c\narguments = $(x$(Process))\nqueue 2\n"
    answer = FakeSubmitHost().submit(f"executable = agent.sh\n{text}")

    assert "x0" not in answer.stderr and "x1" not in answer.stderr
    assert "the line 'x2 = c' was unused" in answer.stderr


OVERRIDDEN = (
    "WARNING: Use of MY.Requirements or +Requirements  overrides requirements. "
    "You should remove one of these statements from your submit file.\n"
)
NICE_IN_A_GROUP = "WARNING: nice_user conflicts with accounting_group. nice_user will be ignored\n"


@pytest.mark.parametrize(
    ("lines", "warning"),
    [
        ("requirements = Cpus > 0\n+Requirements = Cpus > 1", OVERRIDDEN),
        ("requirements = Memory > 0\nMY.Requirements = Cpus > 1", OVERRIDDEN),
        ("requirements = a b\n+Requirements = Cpus > 1", OVERRIDDEN),
        ("+Requirements = Cpus > 1", ""),
        ("requirements = Cpus > 0\n+Requirements =", ""),
        ("nice_user = true\naccounting_group = a.b", NICE_IN_A_GROUP),
        ("nice_user = false\naccounting_group = a.b", ""),
        ("nice_user = true\naccounting_group =", ""),
    ],
)
def test_what_a_line_overrides_is_told(lines: str, warning: str) -> None:
    # HTCondor 25.14.1 says this, the second without an end of line
    answer = FakeSubmitHost().submit(f"executable = agent.sh\n{lines}\nqueue 2\n")

    assert (answer.code, answer.stderr) == (0, warning)


@pytest.mark.parametrize("line", ["+Requirements =", "-Requirements =", "MY.Requirements ="])
def test_requirements_without_a_value_of_their_own_are_made(line: str) -> None:
    # HTCondor 25.14.1 does this with Requirements alone
    (plain,) = FakeSubmitHost().make_jobs("executable = agent.sh\nqueue\n")
    (job,) = FakeSubmitHost().make_jobs(f"executable = agent.sh\n{line}\n+Rank =\nqueue\n")

    assert job.ad["Requirements"] == plain.ad["Requirements"]
    assert job.ad["Rank"] == "undefined"


def test_a_lease_too_short_is_lengthened_with_a_warning() -> None:
    host = FakeSubmitHost()
    answer = host.submit("executable = agent.sh\njob_lease_duration = 5\nqueue 2\n")

    assert answer.stderr == (
        "WARNING: JobLeaseDuration less than 20 seconds is not allowed, using 20 instead\n"
    )
    assert [job.ad["JobLeaseDuration"] for job in host.target.submitted[0][1]] == ["20", "20"]


def test_the_executable_is_read_once_for_all_jobs() -> None:
    host = FakeSubmitHost()
    jobs = host.make_jobs("executable = agent.sh\nqueue 100\n")

    assert host.files.read_paths.count(f"{CWD}/agent.sh") == 1
    assert all(job.task.files[0].data == SCRIPT for job in jobs)


@pytest.mark.parametrize(
    "lines",
    ["if $(DEBUG)\nendif", "if defined DEBUG\nendif", "if false\nelif $(DEBUG)\nendif",
     "warning : $(DEBUG)", "include ifexist : $(DEBUG).inc"],
)  # fmt: skip
def test_a_macro_that_another_line_uses_is_no_typo(lines: str) -> None:
    answer = FakeSubmitHost().submit(f"DEBUG = 1\n{HEAD}{lines}\nqueue\n")
    assert answer.code == 0
    assert "typo" not in answer.stderr


def test_a_client_hears_from_the_schedd_while_its_jobs_are_made() -> None:
    words = []
    for number in (1, 3):
        host = FakeSubmitHost()
        host.submit(f"{HEAD}queue {number}\n")
        words.append(host.caller.words)
    assert words[1] == words[0] + 2


def test_jobs_ask_for_pilots_of_the_submit_host_s_architecture(tmp_path: Path) -> None:
    (tmp_path / "job.sub").write_text("executable = agent.sh\narguments = $(ARCH)\nqueue\n")
    program = (
        "import os\n"
        "given = os.uname()\n"
        "os.uname = lambda: os.uname_result((*given[:4], 'aarch64'))\n"
        "from tests.support.fake_submit_host import FakeSubmitHost\n"
        "from vobox.client import version\n"
        f"text = open({str(tmp_path / 'job.sub')!r}).read()\n"
        "ad = FakeSubmitHost().make_jobs(text)[0].ad\n"
        "print(version.ARCH, ad['Requirements'].partition(' &&')[0], ad['Args'])\n"
    )
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)

    assert shown.stderr == ""
    assert shown.stdout == 'aarch64 (TARGET.Arch == "aarch64") "aarch64"\n'


def test_the_submit_hosts_distribution_is_known_to_descriptions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def submit(os_release: str) -> str:
        module = "vobox.commands.submit.condor_submit"
        monkeypatch.setattr(f"{module}.read_os_release", lambda: os_release)
        text = "arguments = a$(OpSysVer) $(OPSYSMAJORVER:none) $(OPSYSANDVER)"
        return FakeSubmitHost().make_job(f"{HEAD}{text}\nqueue\n").ad.text("Args")

    assert submit("ID=debian\nNAME=Debian\nVERSION_ID=12\n") == "a1200 12 Debian12"
    assert submit('ID=rocky\nNAME="Rocky Linux"\nVERSION_ID="9.4"\n') == "a904 9 Rocky9"
    assert submit("") == "a none LINUX"
