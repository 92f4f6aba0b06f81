"""The contract of the submit commands (its section 1.9): honoured, recorded or refused."""

from __future__ import annotations

import pytest

from tests.support.fake_submit_host import CWD, FakeSubmitHost
from vobox.commands.submit.commands_table import SUBMIT_COMMANDS, Support

H, R, X = Support.HONOURED, Support.RECORDED, Support.REFUSED
VERDICTS = {name: row.support for row in SUBMIT_COMMANDS for name in row.names}

#: The commands of each row, and what may become of them.
CONTRACT: list[tuple[str, tuple[Support, ...]]] = [
    ("executable cmd arguments args", (H,)),
    ("universe grid_resource", (H,)),
    ("docker_image container_image", (H, X)),
    ("input output error", (H,)),
    ("stream_output stream_error", (H, R)),
    ("log", (H,)),
    ("log_xml", (H, R, X)),
    ("initialdir iwd", (H,)),
    ("should_transfer_files when_to_transfer_output transfer_executable transfer_input_files "
     "transfer_output_files transfer_output_remaps", (H,)),
    ("environment getenv", (H,)),
    ("use_x509userproxy x509userproxy", (H,)),
    ("delegate_job_gsi_credentials_lifetime", (H, R)),
    ("use_oauth_services use_scitokens scitokens_file", (H, X)),
    ("request_cpus request_memory request_disk request_gpus", (H, R)),
    ("requirements rank", (H, R)),
    ("periodic_hold periodic_remove periodic_release periodic_hold_reason periodic_hold_subcode "
     "periodic_remove_reason periodic_release_reason", (H,)),
    ("on_exit_hold on_exit_hold_reason on_exit_hold_subcode on_exit_remove max_retries "
     "success_exit_code retry_until", (H,)),
    ("leave_in_queue kill_sig hold", (H,)),
    ("job_lease_duration", (H, R)),
    ("remove_kill_sig", (H, R)),
    ("keep_claim_idle want_graceful_removal job_max_vacate_time", (R,)),
    ("allowed_execute_duration allowed_job_duration", (H, X)),
    ("priority", (H, R)),
    ("notification notify_user email_attributes", (H, R)),
    ("batch_name description", (H, R)),
    ("accounting_group accounting_group_user concurrency_limits nice_user", (H, R)),
    ("copy_to_spool run_as_owner load_profile coresize image_size skip_filechecks", (H, R)),
    ("max_materialize max_idle", (R, X)),
]  # fmt: skip


@pytest.mark.parametrize(("names", "allowed"), CONTRACT, ids=[names for names, _ in CONTRACT])
def test_a_command_becomes_what_the_contract_says(names: str, allowed: tuple[Support, ...]) -> None:
    assert {name: VERDICTS[name] for name in names.split() if VERDICTS[name] not in allowed} == {}


@pytest.mark.parametrize(
    "lines",
    [
        "universe = local", "universe = 7", "universe = docker\ndocker_image = debian",
        "universe = container\ncontainer_image = x.sif", "universe = java", "universe = parallel",
        "universe = vm", "universe = standard", "universe = foo", "universe = grid",
        "universe = grid\ngrid_resource = gt2 ce", "container_image = x.sif",
        "use_x509userproxy = true", "scitokens_file = nope", "requirements = (",
        "notification = sometimes", "use_oauth_services = a",
    ],
)  # fmt: skip
def test_what_would_change_what_runs_is_refused_with_an_error_line(lines: str) -> None:
    host = FakeSubmitHost()
    answer = host.submit(f"executable = agent.sh\n{lines}\nqueue\n")

    assert answer.code == 1
    assert "ERROR: " in answer.stderr
    assert not host.target.submitted


@pytest.mark.parametrize(
    ("line", "attribute", "kept"),
    [
        ("+WantJobRouter = True", "WantJobRouter", "true"),
        ("+WantExternalCloud = True", "WantExternalCloud", "true"),
        ('+ProjectName = "x"', "ProjectName", '"x"'),
        ("+projectname = ", "projectname", "undefined"),
        ("+MaxRuntime = 60 * 60", "MaxRuntime", "60 * 60"),
        ('+JobFlavour = "espresso"', "JobFlavour", '"espresso"'),
        ('+AccountingGroup = "g.u"', "AccountingGroup", '"g.u"'),
        ('MY.JobId = "$(ClusterId).$(ProcId)"', "JobId", '"7.0"'),
    ],
)
def test_any_custom_attribute_comes_back(line: str, attribute: str, kept: str) -> None:
    assert (
        FakeSubmitHost().make_job(f"executable = agent.sh\n{line}\nqueue\n").ad[attribute] == kept
    )


def test_no_spelling_of_a_command_in_an_ad_gets_round_its_refusal() -> None:
    host = FakeSubmitHost({f"{CWD}/x": b"x"})
    for line in ('+Cmd = "/x"', "+JobUniverse = 7", '+Owner = "root"', '+Environment = "A=1"',
                 '+TransferInput = "x"', '+x509userproxy = "/x"', "+JobStatus = 4"):  # fmt: skip
        assert host.submit(f"executable = agent.sh\n{line}\nqueue\n").code == 1, line
