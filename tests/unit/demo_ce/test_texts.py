"""The dialects write, byte by byte, what the CEs they stand for write.

The expected texts were printed by the submit routines of alien-git/alien
themselves (Perl), run with the site and agent below; JAliEn's was put
together by hand from its Java.
"""

from dataclasses import replace

import pytest

from demo_ce.dialects import DIALECTS
from demo_ce.site import Site, Submission, format_custom_attributes
from vobox.classad.ad import parse

ROUTED = Site(
    cluster_monitor="vobox.example.org:8084",
    log_dir="/var/ce/log",
    date="2017-11-22",
    pid=4242,
)
TO_A_CE = replace(ROUTED, router=False, grid_resource="condor ce.example.org ce.example.org:9619")
LOCAL = replace(ROUTED, router=False)
AGENT = Submission(7, "/var/ce/tmp/agent.startup.7")

ALIEN = """\
cmd = /var/ce/tmp/agent.startup.7
output = /var/ce/log/2017-11-22/jobagent_4242.6.out
error  = /var/ce/log/2017-11-22/jobagent_4242.6.err
log = /var/ce/log/2017-11-22/jobagent_4242.6.log
@WHERE@+TransferOutput = ""
periodic_hold = \\
  JobStatus == 1 && ( \\
    GridJobStatus =?= undefined && CurrentTime - EnteredCurrentStatus > 1800 \\
  ) || \\
  JobStatus <= 2 && ( \\
    CurrentTime - EnteredCurrentStatus > 172800 \\
  )

periodic_remove = \\
  CurrentTime - QDate > 259200

use_x509userproxy = true
environment = "ALIEN_CM_AS_LDAP_PROXY='vobox.example.org:8084' ALIEN_JOBAGENT_ID='4242.6'"
queue 1
"""

OLD_HEAD = """\
cmd = /var/ce/tmp/agent.startup.7
output = /var/ce/log/2017-11-22/jobagent_4242.6.out
error = /var/ce/log/2017-11-22/jobagent_4242.6.err
log = /var/ce/log/2017-11-22/jobagent_4242.6.log
"""
OLD_TAIL = (
    "use_x509userproxy = true\n"
    "environment=\"ALIEN_CM_AS_LDAP_PROXY='vobox.example.org:8084' "
    "ALIEN_ALICE_CM_AS_LDAP_PROXY='vobox.example.org:8084' ALIEN_JOBAGENT_ID='4242.6'\"\n"
    "queue 1"
)

CONDOR_PM = """\
executable = /var/ce/tmp/agent.startup.7
arguments =\N{SPACE}
@WHERE@
output = /var/ce/log/2017-11-22/AliEn.JobAgent.4242.6.out
error  = /var/ce/log/2017-11-22/AliEn.JobAgent.4242.6.err
log    = /var/ce/log/2017-11-22/AliEn.JobAgent.4242.6.log
environment=CONDOR_ID=$(Cluster).$(Process);ALIEN_CM_AS_LDAP_PROXY=vobox.example.org:8084;\
ALIEN_JOBAGENT_ID=4242.6;ALIEN_ALICE_CM_AS_LDAP_PROXY=vobox.example.org:8084
queue
"""

JALIEN = """\
cmd = /var/ce/tmp/agent.startup.7
output = /var/ce/log/2017-11-22/jobagent_4242_6.out
error = /var/ce/log/2017-11-22/jobagent_4242_6.err
log = /var/ce/log/2017-11-22/jobagent_4242_6.log
+TransferOutput = ""
periodic_hold = @HOLD@(JobStatus <= 2 && CurrentTime - EnteredCurrentStatus > 172800)
periodic_remove = CurrentTime - QDate > 259200
@WHERE@use_x509userproxy = true
environment = "ALIEN_CM_AS_LDAP_PROXY='vobox.example.org:8084'"
queue 1

"""
JALIEN_GRID_HOLD = (
    "(JobStatus == 1 && GridJobStatus =?= undefined "
    "&& CurrentTime - EnteredCurrentStatus > 1800) || "
)

GRID = "universe = grid\ngrid_resource = condor ce.example.org ce.example.org:9619\n"


def text(dialect: str, site: Site) -> str:
    return DIALECTS[dialect].build_description(AGENT, site)


@pytest.mark.parametrize(
    ("site", "where"),
    [
        (
            ROUTED,
            "universe = vanilla\n+WantJobRouter = True\njob_lease_duration = 7200\n"
            "ShouldTransferFiles = YES\n",
        ),
        (TO_A_CE, GRID),
        (LOCAL, ""),
    ],
)
def test_alien_writes_what_the_current_alien_writes(site, where):
    assert text("alien", site) == ALIEN.replace("@WHERE@", where)


OLD_CE = (
    OLD_HEAD + 'universe = grid\n\t+TransferOutput = ""\n'
    "\t#periodic_remove = (RemoteWallClockTime > 48*3600 ) || "
    "(JobStatus==5 && (CurrentTime - EnteredCurrentStatus) > 5*3600 ) \n"
    "\tperiodic_remove = (CurrentTime - QDate) > 7*24*3600\n"
    "grid_resource = condor ce.example.org ce.example.org:9619\n"
)


@pytest.mark.parametrize(
    ("dialect", "site", "wanted"),
    [
        (
            "alien-stdin",
            ROUTED,
            OLD_HEAD + "universe = vanilla\n\t+WantJobRouter=True\n\tjob_lease_duration = 7200\n"
            "\tshould_transfer_files = YES\n"
            "\tperiodic_remove = (CurrentTime - QDate > 7*24*3600)\n" + OLD_TAIL,
        ),
        ("alien-stdin", TO_A_CE, OLD_CE + OLD_TAIL),
        (
            "alien-v2-19",
            ROUTED,
            OLD_HEAD + "universe = vanilla\n\t+WantJobRouter=True\n\tjob_lease_duration = 7200\n"
            '\tShouldTransferFiles = YES\n\t+TransferOutput = ""\n'
            "\tperiodic_remove = (CurrentTime - QDate > 7*24*3600)\n" + OLD_TAIL,
        ),
        ("alien-v2-19", TO_A_CE, OLD_CE + OLD_TAIL),
    ],
)
def test_the_older_aliens_texts_are_those_of_its_htcondor_pm(dialect, site, wanted):
    assert text(dialect, site) == wanted


def test_the_newline_that_the_older_alien_forgot_is_needed():
    policy = next(line for line in text("alien-stdin", ROUTED).split("\n") if "_remove" in line)
    expression = policy.partition("=")[2].strip()

    parse(expression)
    with pytest.raises(Exception, match="parse"):
        parse(expression + "use_x509userproxy = true")


@pytest.mark.parametrize(("site", "where"), [(ROUTED, ""), (TO_A_CE, GRID), (LOCAL, "")])
@pytest.mark.parametrize("dialect", ["condor-pm", "condor-pm-v2-19"])
def test_condor_pm_writes_what_the_first_alien_back_end_writes(dialect, site, where):
    assert text(dialect, site) == CONDOR_PM.replace("@WHERE@", where)


@pytest.mark.parametrize(
    ("site", "hold", "where"),
    [
        (
            ROUTED,
            JALIEN_GRID_HOLD,
            "universe = vanilla\njob_lease_duration = 7200\nShouldTransferFiles = YES\n"
            "+WantJobRouter = True\n",
        ),
        (TO_A_CE, JALIEN_GRID_HOLD, GRID),
        (
            LOCAL,
            "",
            "universe = vanilla\njob_lease_duration = 7200\nShouldTransferFiles = YES\n",
        ),
    ],
)
def test_jalien_writes_what_jalien_writes(site, hold, where):
    assert text("jalien", site) == JALIEN.replace("@HOLD@", hold).replace("@WHERE@", where)


def test_a_description_file_is_named_by_the_time_as_its_ce_names_it():
    assert DIALECTS["alien"].name_submit_file(1_511_366_400.9) == "htc-submit.23615100.jdl"
    assert DIALECTS["jalien"].name_submit_file(1_511_366_400.5) == "htc-submit.23061621.jdl"


@pytest.mark.parametrize("dialect", ["alien", "jalien"])
def test_a_sites_custom_attributes_come_before_the_queue_statement(dialect):
    custom = format_custom_attributes(
        "# a comment\n// another\n\n+Slow = True\nrank = \\  \n  Mips\n"
    )

    assert (
        text(dialect, replace(ROUTED, custom=custom))
        .rstrip("\n")
        .endswith(
            "\n#\n# custom attributes start\n#\n\n"
            "+Slow = True\nrank = \\\n  Mips\n"
            "\n#\n# custom attributes end\n#\n\n"
            "queue 1"
        )
    )
