"""Our commands give HTCondor's recorded answers, or what the page of differences says."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.differential.__main__ import format_scenarios, record_answer
from tests.differential.normalise import Names, normalise
from tests.differential.scenarios import (
    PAGE,
    Comparison,
    Reply,
    read_expected,
    read_scenarios,
    run_scenario,
)
from tests.setup.needs import needs
from tests.support.process_site import PROGRAMS
from tests.support.schedd_process import LiveSchedd
from tests.support.services.rabbitmq import RabbitServer
from tests.support.waiting import wait_until

SCENARIOS = read_scenarios()
EACH = pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario["case"])
#: What depends on broker and worker: the scenarios in which jobs run.
EACH_RUN = pytest.mark.parametrize(
    "scenario",
    [scenario for scenario in SCENARIOS if scenario.get("runs")],
    ids=lambda scenario: scenario["case"],
)
#: A user without rights of its own, known on every machine.
NOBODY = 65534


@pytest.fixture(scope="module")
def sqlite_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveSchedd]:
    yield from _serve(LiveSchedd(tmp_path_factory.mktemp("d")))


@pytest.fixture(
    scope="module",
    params=["unprivileged-worker", pytest.param("root-worker", marks=pytest.mark.root)],
)
@needs("rabbitmq")
def rabbitmq_site(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    rabbitmq_server: RabbitServer,
) -> Iterator[LiveSchedd]:
    """Return a site whose worker runs jobs as itself, without rights, or is root and does not."""
    url = rabbitmq_server.vhost().url
    site = LiveSchedd(tmp_path_factory.mktemp("d"), url=url)
    with tempfile.TemporaryDirectory(dir="/var/tmp") as work:  # a place that every user can enter
        Path(work).chmod(0o1777)
        if os.geteuid():
            yield from _serve(site)
        elif request.param == "root-worker":
            yield from _serve(site, "--workdir", work, "--user", "nobody")
        else:
            mine = {"THYME_URL_FILE": "", "THYME_URL": url}  # the file is root's
            yield from _serve(site, "--workdir", work, uid=NOBODY, **mine)


def _serve(
    site: LiveSchedd, *options: str, uid: int | None = None, **variables: str
) -> Iterator[LiveSchedd]:
    # a machine that is busy for some seconds must not lose a job
    site.options = ["--lease", "60", "--policy-interval", "0.2"]
    site.start()
    site.worker("--timeout", "600", "--max-jobs", "0", *options, uid=uid, **variables)
    yield site
    site.close()


def check_scenario(scenario: dict[str, Any], site: LiveSchedd, place: Path) -> None:
    # between the end of a job and its next announcement a worker is no slot
    wait_until(
        lambda: site.run("condor_status", "-avail", "-af", "Name").stdout,
        "the worker, which may be ending the former scenario's job",
        state=site.said,
    )
    env = {
        "PATH": f"{PROGRAMS}:/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "THYME_SCHEDD_SOCKET": str(site.socket),
    }
    for compared in run_scenario(scenario, place, env):
        assert compared.got == compared.expected, (compared.run, site.said()[-2000:])


@EACH
def test_a_scenario_answers_as_htcondor(
    scenario: dict[str, Any], sqlite_site: LiveSchedd, tmp_path: Path
) -> None:
    check_scenario(scenario, sqlite_site, tmp_path)


@EACH_RUN
def test_a_scenario_answers_as_htcondor_over_rabbitmq_whoever_the_worker_is(
    scenario: dict[str, Any], rabbitmq_site: LiveSchedd, tmp_path: Path
) -> None:
    check_scenario(scenario, rabbitmq_site, tmp_path)


def test_each_documented_difference_is_one_and_is_on_the_page() -> None:
    page = PAGE.read_text()
    for scenario in SCENARIOS:
        for step in scenario["steps"]:
            assert ("ours" in step) == ("documented" in step), step
            if "documented" in step:
                assert step["documented"] in page, step
                expected = read_expected(step)
                assert any(getattr(expected, k) != v for k, v in step["ours"].items()), step


def test_ids_times_addresses_and_names_are_replaced_and_nothing_else() -> None:
    text = (
        "7 jobs, cluster 7; 007.003.000 11/22 13:25:01 <10.0.0.1:9618?x> (by user me) 17.0 me@h.org"
        " /home/me men /tmp/p7/x h.org h.organ\n   7.0   me      sleep\n"
    )
    assert normalise(text, [7], Names("me", "h.org", "/tmp/p7")) == (
        "7 jobs, cluster C1; C1.003.000 TIME <ADDRESS> (by user USER) 17.0 USER@HOST"
        " /home/me men PLACE/x HOST h.organ\nC1.0 USER sleep\n"
    )


def test_a_time_is_replaced_whatever_the_date_and_how_many_blanks_a_step_leaves() -> None:
    for row in ("me a  3/9  08:07 _", "me a 12/1  08:07 _", "me a 12/31 08:07 _"):
        assert normalise(row, [], Names("me")) == "USER a TIME _"
    for squeezed in ("me a 3/9 08:07 _", "me a 12/1 08:07 _", "me a 12/31 08:07 _"):
        assert normalise(squeezed, [], Names("me")) == "USER a TIME _"


def test_recording_writes_what_was_answered_and_keeps_the_head() -> None:
    step = {"run": "x", "stdout": "old", "stderr": "old"}
    got = Reply(1, "new\n", "")
    record_answer(step, Comparison("x", Reply(0, "", ""), got, got, ""))
    assert step == {"run": "x", "stdout": "new\n", "code": 1}
    text = format_scenarios([{"case": "c", "steps": [step]}], "# head\n\n- old\n")
    assert text.startswith("# head\n\n- case: c\n")
    assert yaml.safe_load(text) == [{"case": "c", "steps": [step]}]
