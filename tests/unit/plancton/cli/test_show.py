"""The status as lines and a table, and the same with CPU use."""

from typing import Any

import pytest
from rich.console import Console

from plancton.cli.show import _print_row
from plancton.cli.table import format_lines, render_view

GB = 1_000_000_000


def pilot(name: str, **values: Any) -> dict[str, Any]:
    known = {"state": "running", "age": 3700.0, "pid": 7, "cpu_seconds": 61.5, "image": ""}
    return {"name": name, "memory_bytes": 2 * GB, **known, **values}


def document(*pilots: dict[str, Any], **values: Any) -> dict[str, Any]:
    known: dict[str, Any] = {
        "version": 1,
        "looked": 1000.0,
        "daemon": {"pid": 5, "started": 0.0, "running": True},
        "mode": "active",
        "summary": "Starting none. max_docks allows 2 pilots.",
        "engine": {"name": "docker", "problem": "", "problems": [], "isolation": ""},
        "image": None,
        "protection": None,
        "host": {"owner_cpus": 1.25, "ncpus": 8, "pilots_cpus": None, "mem_available": 3 * GB},
        "window": {"phase": "open", "next_change": None, "text": "Any time."},
        "capacity": {"start": 2, "keep": 2},
        "pilots": list(pilots),
        "config": {"problem": ""},
    }
    return known | values


def shown(now: dict[str, Any], before: dict[str, Any] | None = None) -> str:
    console = Console(width=120, record=True, force_terminal=False)
    with console.capture() as caught:
        console.print(render_view(now, before))
    return caught.get()


def test_each_pilot_is_a_row_with_its_image_age_cpu_memory_and_state() -> None:
    told = shown(document(pilot("plancton-worker-aaaaaa", image="sha256:0123456789abcdef")))
    (heading,) = (line for line in told.splitlines() if line.startswith(" pilot"))
    assert heading.split() == ["pilot", "state", "image", "age", "CPU", "time", "memory"]
    (row,) = (line for line in told.splitlines() if "aaaaaa" in line)
    assert row.split() == [
        "plancton-worker-aaaaaa", "running", "0123456789ab", "1", "h", "01", "min",
        "61.5", "s", "2.00", "GB",
    ]  # fmt: skip


def test_a_pilot_that_somebody_paused_is_shown_as_such() -> None:
    row = shown(document(pilot("p", detail="paused"))).splitlines()[-1]
    assert row.split()[:3] == ["p", "running,", "paused"]


def test_processes_have_no_column_for_images() -> None:
    assert "image" not in shown(document(pilot("p")))


def test_what_is_not_known_is_a_dash_and_never_a_zero() -> None:
    told = shown(document(pilot("p", age=None, cpu_seconds=None, memory_bytes=None)))
    (row,) = (line for line in told.splitlines() if line.startswith(" p "))
    assert row.split() == ["p", "running", "-", "-", "-"]
    assert "pilots: - CPUs" in told


def test_with_the_document_before_cpu_use_is_shown_in_percent() -> None:
    before = document(pilot("old", cpu_seconds=60.0), looked=1000.0)
    now = document(pilot("old", cpu_seconds=63.0), pilot("new", cpu_seconds=1.0), looked=1002.0)
    told = shown(now, before)
    rows = {line.split()[0]: line.split() for line in told.splitlines() if " running " in line}
    assert rows["old"][-4:-2] == ["150", "%"]
    assert rows["new"][-3] == "-", "of it nothing was known before"


def test_two_documents_of_one_look_tell_no_use() -> None:
    same = document(pilot("p"), looked=1000.0)
    (row,) = (line for line in shown(same, same).splitlines() if line.startswith(" p "))
    assert row.split()[-3] == "-"


def test_everything_that_is_wrong_has_a_line() -> None:
    told = format_lines(
        document(
            engine={
                "name": "docker",
                "place": "unix:///var/run/docker.sock",
                "problem": "refused",
                "problems": ["the engine does not answer: refused", "x: device busy", "no port"],
                "isolation": "none",
            },
            window={"phase": "closed", "next_change": 5.0, "text": "Closed until then."},
            image={"wanted": "b:2", "name": "b:1", "digest": "sha256:abc", "pulling": "3 of 4 MB",
                   "problem": "no such host"},
            protection={"text": "The host refuses."},
            config={"problem": "config.yaml:1: no; no port"},
        )
    )  # fmt: skip
    assert told[3:] == [
        "Window: Closed until then.",
        "Image: b:1 abc; pulling b:2: 3 of 4 MB; the last pull failed: no such host",
        "Protection: The host refuses.",
        "Engine: see `systemctl status docker`, and `docker_host` in the configuration",
        "Problem: x: device busy",
        "Note: none",
        "Configuration: config.yaml:1: no; no port",
    ]


def test_podman_that_does_not_answer_is_looked_for_by_its_own_unit() -> None:
    engine = {
        "name": "docker",
        "place": "unix:///run/podman/podman.sock",
        "problem": "refused",
        "problems": [],
        "isolation": "",
    }
    told = format_lines(document(engine=engine))
    assert (
        "Engine: see `systemctl status podman.socket`, and `docker_host` in the configuration"
        in told
    )


def test_an_open_window_without_an_end_needs_no_line() -> None:
    assert not any(line.startswith("Window") for line in format_lines(document()))


def test_pilots_that_are_not_known_are_not_none() -> None:
    told = shown(document(pilots=None))
    assert "Pilots: not known" in told


def test_a_clock_that_was_set_back_gives_no_negative_time() -> None:
    ahead = {"pid": 5, "started": 9e9, "running": True}
    assert "Daemon: pid 5, up 0.0 s, active" in shown(document(daemon=ahead))


def test_one_pilot_is_one_pilot() -> None:
    assert "Capacity: 1 pilot. " in shown(document(capacity={"start": 1, "keep": 1}))


def test_on_a_terminal_a_long_rule_stays_in_its_column(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    text = "CPU allows 1 pilot: 2 CPUs, 1.00 used by the owner, 0 in reserve, 1 a pilot."
    _print_row("cpu", "1 more", text)
    assert capsys.readouterr().out.count("\n") == 1, "a pipe gets one line a rule"
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    _print_row("cpu", "1 more", text)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 60
    assert [line[:25].strip() for line in lines] == ["cpu          1 more", "", ""]
    assert " ".join(line[25:].strip() for line in lines) == text


def test_on_a_terminal_a_long_fact_is_broken_between_words_and_indented(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    facts = document(config={"problem": "/etc/plancton/" + "x" * 70 + ": it cannot be read"})
    assert shown(facts).splitlines()[-3:] == [
        "Configuration:",
        "  /etc/plancton/" + "x" * 70 + ":",
        "  it cannot be read",
    ]
