"""The demo CE counts agents as the real CEs do, and submits by their rule."""

import pytest

from demo_ce.counting import CommandResult, Counts, Query, count_agents
from demo_ce.decide import Limits, count_free_slots, count_to_submit
from demo_ce.dialects import DIALECTS
from demo_ce.environment import clean_environment
from demo_ce.site import Site

SITE = Site("vobox:8084", "/log", "2017-11-22", 1)
LOCAL = Site("vobox:8084", "/log", "2017-11-22", 1, router=False)


class FakeSite:
    """Answers commands by their text; remembers what was asked."""

    def __init__(self, **answers: tuple[str, int | None]) -> None:
        self._answers = answers
        self.is_requested: list[str] = []

    def __call__(self, query: Query) -> CommandResult:
        self.is_requested.append(query.command)
        key = next(
            name
            for name, words in (
                ("totals", "-totals"),
                ("both", "totalRunningJobs totalIdleJobs"),
                ("idle", "totalIdleJobs"),
                ("running", "totalRunningJobs"),
                ("idle_lines", '"JobStatus==1" | wc -l'),
                ("all_lines", '"JobStatus==1 || JobStatus==2" | wc -l'),
                ("listed", "-const"),
                ("plain", "condor_q"),
            )
            if words in query.command
        )
        output, code = self._answers[key]
        return CommandResult(output.splitlines(keepends=True), code)


def ask(dialect: str, site: FakeSite, where: Site = SITE) -> Counts:
    return count_agents(DIALECTS[dialect].build_queries("games", where), site)


def test_alien_asks_the_schedd_and_adds_running_and_idle():
    site = FakeSite(both=("3 4\n", 0), idle=("4\n", 0))

    assert ask("alien", site) == Counts(queued=4, active=7)
    assert site.is_requested == [
        "condor_status -schedd -af totalIdleJobs",
        "condor_status -schedd -af totalRunningJobs totalIdleJobs",
    ]


def test_alien_uses_the_last_line_with_numbers():
    site = FakeSite(both=("a warning of 1 2 sorts\n3 4\nbye\n", 0), idle=("7 warnings\n4\n", 0))

    assert ask("alien", site) == Counts(queued=4, active=7)


@pytest.mark.parametrize(
    ("output", "code"), [("3 4\n", 1), ("", 0), ("undefined\n", 0), ("", None)]
)
def test_alien_takes_no_number_and_a_failure_for_unknown(output, code):
    site = FakeSite(both=(output, code), idle=(output, code))

    assert ask("alien", site) == Counts(None, None)


TOTALS = (
    "Total for all users: 9 jobs; 0 completed, 1 removed, 4 idle, 3 running, 1 held, 0 suspended\n"
)


def test_the_older_alien_reads_the_last_line_of_the_totals():
    site = FakeSite(totals=(TOTALS, 0))

    assert ask("alien-stdin", site) == Counts(queued=5, active=3)
    assert set(site.is_requested) == {"condor_q games -totals | tail -n 1"}


def test_a_user_name_cannot_break_out_of_the_command():
    (first, *_) = DIALECTS["alien-stdin"].build_queries("x; reboot", SITE)

    assert first.command == "condor_q 'x; reboot' -totals | tail -n 1"


def test_the_older_alien_checks_condor_q_if_nothing_runs():
    idle = TOTALS.replace("3 running", "0 running")
    healthy = FakeSite(totals=(idle, 0), plain=("", 0))
    dead = FakeSite(totals=(idle, 0), plain=("", 1))

    assert ask("condor-pm", healthy) == Counts(queued=5, active=0)
    assert healthy.is_requested[-1] == "condor_q"
    assert ask("condor-pm", dead) == Counts(None, None)


def test_alien_v2_19_asks_the_schedd_for_each_number():
    site = FakeSite(running=("3\n", 0), idle=("4\n", 0))

    assert ask("alien-v2-19", site) == Counts(queued=4, active=3)
    assert site.is_requested == [
        "condor_status -schedd -af totalIdleJobs",
        "condor_status -schedd -af totalRunningJobs",
    ]
    # an exit code, and an answer without a number, are unknown to it
    failed = FakeSite(running=("3\n", 1), idle=("undefined\n", 0))
    assert ask("alien-v2-19", failed) == Counts(None, None)


def test_condor_pm_v2_19_counts_lines_and_checks_condor_q_if_there_are_none():
    site = FakeSite(idle_lines=("4\n", 0), all_lines=("7\n", 0))

    assert ask("condor-pm-v2-19", site) == Counts(queued=4, active=7)
    assert site.is_requested == [
        'condor_q -format "%s\\n" OWNER -constraint "JobStatus==1" | wc -l',
        'condor_q -format "%s\\n" OWNER -constraint "JobStatus==1 || JobStatus==2" | wc -l',
    ]
    # `wc` prints a number whatever happens to condor_q
    nothing = {"idle_lines": ("0\n", 0), "all_lines": ("0\n", 0)}
    assert ask("condor-pm-v2-19", FakeSite(**nothing, plain=("", 0))) == Counts(0, 0)
    assert ask("condor-pm-v2-19", FakeSite(**nothing, plain=("", 1))) == Counts(None, None)


def test_an_empty_last_line_of_the_totals_is_unknown_and_not_zero():
    site = FakeSite(totals=("\n", 0), plain=("", 0))

    assert ask("alien-stdin", site) == Counts(None, None)


def test_jalien_counts_the_lines_by_status():
    site = FakeSite(listed=("1 undefined\n2 undefined\n1 condor ce ce:9619\n", 0))

    assert ask("jalien", site) == Counts(queued=2, active=3)
    assert site.is_requested == ["condor_q -const 'JobStatus < 3' -af JobStatus GridResource"]


def test_jalien_with_a_local_pool_queries_a_literal():
    site = FakeSite(listed=("1 local_pool\n2 local_pool\n", 0))

    assert ask("jalien", site, LOCAL) == Counts(queued=1, active=2)
    assert "-af JobStatus -format local_pool GridResource" in site.is_requested[0]


def test_jalien_skips_what_is_merged_in_from_stderr():
    site = FakeSite(listed=("\nWARNING: 2 minutes old\n1 undefined\n", 0))

    assert ask("jalien", site) == Counts(queued=1, active=1)


def test_jalien_takes_no_jobs_for_none_and_a_failure_for_unknown():
    assert ask("jalien", FakeSite(listed=("", 0))) == Counts(0, 0)
    assert ask("jalien", FakeSite(listed=("", 1))) == Counts(None, None)


@pytest.mark.parametrize(
    ("queued", "active", "free"),
    [
        (0, 0, 5),  # an empty site: the queue's limit
        (5, 9, 0),  # a full queue
        (1, 19, 1),  # a full site
        (9, 30, 0),  # over both limits
        (None, 0, 0),
        (0, None, 0),
    ],
)
def test_free_slots_are_what_both_limits_leave(queued, active, free):
    assert count_free_slots(Limits(max_queued=5, max_running=20), Counts(queued, active)) == free


@pytest.mark.parametrize(("submitted", "now"), [(0, 5), (22, 2), (24, 0)])
def test_no_more_agents_than_wanted_are_submitted(submitted, now):
    assert count_to_submit(Limits(5, 20), Counts(0, 0), submitted, 24) == now


def environment(**more: str) -> dict[str, str]:
    return {"PATH": "/usr/bin", "HOME": "/home/alice", **more}


def test_the_ce_cleans_its_environment_as_alien_does():
    cleaned = clean_environment(
        environment(
            ALIEN_ROOT="/opt/alien",
            PATH="/opt/alien/bin:/usr/bin:/opt/alien/api/bin",
            LD_LIBRARY_PATH="/opt/alien/lib:/usr/local/lib",
            GLOBUS_LOCATION="/opt/globus",
            MYPROXY_LOCATION="x",
            X509_CERT_DIR="/etc/grid-security",
            X509_USER_PROXY="/tmp/x509up_u0",
        )
    )

    assert cleaned == environment(
        ALIEN_ROOT="/opt/alien",
        PATH="/usr/bin:",
        LD_LIBRARY_PATH="/usr/local/lib",
        X509_USER_PROXY="/tmp/x509up_u0",
    )


def test_without_alien_the_path_stays_whole():
    assert clean_environment(environment()) == environment()
