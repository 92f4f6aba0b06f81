"""Machine/Job Features: the files of HSF-TN-2016-02, with values worked out by hand."""

import io
import tarfile

import pytest

from plancton.config.model import Config
from plancton.engine.docker.container_body import EngineFacts, build_body, pack_features
from plancton.engine.job_features import make_end_features, make_features, make_variables
from plancton.engine.pilot_spec import PilotSpec, make_spec
from plancton.model import Expectation, ToldPilot
from tests.support.fake_node import FACTS

CONFIG = Config(max_docks=6, cpus_per_dock=2.0, max_dock_mem=4_000_000_000, drain_lead=1800.0)


def told(
    config: Config = CONFIG, life: float | None = 7200.0, closes: float | None = 1_700_010_000.0
) -> dict[str, str]:
    return make_features(config, FACTS, "p1", wall=1_700_000_000.7, life=life, closes=closes)


def test_each_fact_is_a_file_with_one_value() -> None:
    assert told() == {
        "machinefeatures/total_cpu": "8\n",
        "machinefeatures/shutdowntime": "1700010000\n",
        "machinefeatures/grace_secs": "1800\n",
        "jobfeatures/allocated_cpu": "2\n",
        "jobfeatures/job_id": "p1\n",
        "jobfeatures/jobstart_secs": "1700000000\n",
        "jobfeatures/max_rss_bytes": "4000000000\n",
        "jobfeatures/max_swap_bytes": "0\n",
        "jobfeatures/wall_limit_secs": "7200\n",
        "jobfeatures/cpu_limit_secs": "14400\n",
        "jobfeatures/shutdowntime_job": "1700007200\n",
        "life": "1700007200\n",
    }


def test_what_is_not_known_has_no_file() -> None:
    assert set(told(life=None, closes=None)) == {
        "machinefeatures/total_cpu", "jobfeatures/allocated_cpu", "jobfeatures/job_id",
        "jobfeatures/jobstart_secs", "jobfeatures/max_rss_bytes", "jobfeatures/max_swap_bytes",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("closes", "unclosed", "end", "first"),
    [
        (1_700_010_000.0, None, "1700010000\n", "1700010000\n"),
        (1_700_010_000.0, 7200.0, "1700010000\n", "1700007200\n"),
        (1_700_001_000.0, 7200.0, "1700001000\n", "1700001000\n"),
        (None, 7200.0, None, "1700007200\n"),
        (None, None, None, None),
    ],
)
def test_of_a_node_that_closes_at_another_time_the_first_end_is_told_and_no_file_of_none(
    closes: float | None, unclosed: float | None, end: str | None, first: str | None
) -> None:
    of_node = {
        "machinefeatures/shutdowntime": end,
        "machinefeatures/grace_secs": None if end is None else "1800\n",
    }
    # what it is told first is shorter: until the node would have closed
    told = ToldPilot("p1", Expectation(60.0, "until the node closes", unclosed), 1_700_000_000.7)
    assert make_end_features(CONFIG, closes, told) == {
        **of_node,
        "jobfeatures/shutdowntime_job": first,
        "life": first,
    }
    assert make_end_features(CONFIG, closes, None) == of_node


def test_in_an_archive_a_file_that_is_to_go_is_a_link_to_nothing() -> None:
    with tarfile.open(fileobj=io.BytesIO(pack_features({"life": None}))) as archive:
        member = archive.getmember("plancton-pilot/life")
        assert (member.issym(), member.linkname) == (True, ".none")


def test_numbers_of_cpus_are_whole_and_at_least_one() -> None:
    half = told(Config(max_docks=3, cpus_per_dock=0.5))
    assert half["machinefeatures/total_cpu"] == "1\n"
    assert half["jobfeatures/allocated_cpu"] == "1\n"
    assert half["jobfeatures/cpu_limit_secs"] == "3600\n"


def test_a_variable_that_the_configuration_sets_stays() -> None:
    assert make_variables("/d", {"JOBFEATURES": "/mine"}) == {
        "MACHINEFEATURES": "/d/machinefeatures",
        "PLANCTON_LIFE": "/d/life",
    }


def spec(**values: object) -> PilotSpec:
    return make_spec(Config.model_validate(values), FACTS, "plancton-worker-abc123", told())


def environment(one: PilotSpec) -> list[str]:
    body = build_body(one, image="i", digest="d", facts=EngineFacts(), cgroup_parent="/p")
    found: list[str] = body["Env"]
    return found


def test_a_container_gets_the_files_readable_by_all_and_the_variables() -> None:
    one = spec(environment={"A": "b"})
    assert environment(one) == [
        "MACHINEFEATURES=/plancton-pilot/machinefeatures",
        "JOBFEATURES=/plancton-pilot/jobfeatures",
        "PLANCTON_LIFE=/plancton-pilot/life",
        "A=b",
    ]
    with tarfile.open(fileobj=io.BytesIO(pack_features(one.features))) as archive:
        assert {member.name: member.mode for member in archive if member.isdir()} == {
            "plancton-pilot": 0o755,
            "plancton-pilot/jobfeatures": 0o755,
            "plancton-pilot/machinefeatures": 0o755,
        }
        assert all(member.mode == 0o644 for member in archive if member.isfile())
        file = archive.extractfile("plancton-pilot/jobfeatures/wall_limit_secs")
        assert file is not None
        assert file.read() == b"7200\n"


@pytest.mark.parametrize("one", [spec(read_only=True), make_spec(Config(), FACTS, "x" * 22)])
def test_a_read_only_container_and_one_that_is_told_nothing_get_no_variables(
    one: PilotSpec,
) -> None:
    assert environment(one) == []
