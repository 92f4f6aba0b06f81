"""What containers use that are outside the pilots' control group: the engine is asked."""

import re
from pathlib import Path

import pytest

from plancton.engine.docker import listing
from plancton.engine.docker.usage import UsageReader, parse_stats
from plancton.errors import EngineUnavailable
from plancton.node.cgroup import PilotGroup
from tests.support.container_listing import list_container
from tests.support.few_threads import NO_THREAD, refuse_threads


def test_statistics_that_say_nothing_are_unknown() -> None:
    assert parse_stats({"cpu_stats": {"cpu_usage": {"total_usage": 0}}}) is None
    told = {"cpu_stats": {"cpu_usage": {"total_usage": 5e9}}, "memory_stats": {"usage": 7}}
    used = parse_stats(told)
    assert used is not None
    assert (used.cpu_seconds, used.memory_bytes) == (5.0, 7)


def test_what_ended_containers_have_used_counts_on_and_they_are_forgotten(tmp_path: Path) -> None:
    reader = UsageReader(lambda _id: {"cpu_stats": {"cpu_usage": {"total_usage": 2e9}}})
    group = PilotGroup(tmp_path, "/plancton", "cgroupfs")  # there is none
    for number in range(1, 101):
        rows = listing.parse_list([list_container("running") | {"Id": f"c{number}"}])
        assert reader.read(group, "/plancton", rows).cpu_seconds == 2.0 * number
        assert reader.read(group, "/plancton", rows).cpu_seconds == 2.0 * number
    assert len(reader._strays) == 1


def test_a_node_that_gives_no_thread_to_ask_with_makes_the_use_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = UsageReader(lambda _id: {"cpu_stats": {"cpu_usage": {"total_usage": 2e9}}})
    group = PilotGroup(tmp_path, "/plancton", "cgroupfs")  # there is none
    rows = listing.parse_list([list_container("running")])
    with monkeypatch.context() as patch:
        refuse_threads(patch)
        with pytest.raises(EngineUnavailable, match=re.escape(NO_THREAD)):
            reader.read(group, "/plancton", rows)
    assert reader.read(group, "/plancton", rows).cpu_seconds == 2.0
