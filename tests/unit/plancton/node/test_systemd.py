"""Asking systemd to keep a slice's property, by a systemctl that writes down what it was asked."""

from pathlib import Path

import pytest

from plancton.node import systemd


@pytest.fixture
def systemctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the program's file; it runs the shell commands in ``does``, if that is there."""
    program = tmp_path / "systemctl"
    program.write_text(f'#!/bin/sh\necho "$*" >> {tmp_path}/asked\n. {tmp_path}/does\n')
    program.chmod(0o755)
    (tmp_path / "does").write_text("")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return program


def test_a_property_is_set_until_the_next_boot(systemctl: Path) -> None:
    assert systemd.set_property("plancton.slice", "CPUWeight=idle") == ""
    asked = (systemctl.parent / "asked").read_text()
    assert asked == "--no-ask-password set-property --runtime plancton.slice CPUWeight=idle\n"


def test_why_systemd_refuses_is_one_line(systemctl: Path) -> None:
    (systemctl.parent / "does").write_text("echo hint >&2; echo Access denied >&2; exit 1\n")
    assert systemd.set_property("plancton.slice", "MemoryMax=7") == (
        "systemd will undo MemoryMax=7 of plancton.slice at its next daemon-reload: Access denied"
    )


def test_a_systemd_that_does_not_answer_is_given_up(
    systemctl: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(systemd, "_PATIENCE", 0.05)
    (systemctl.parent / "does").write_text("exec sleep 60\n")
    assert systemd.set_property("a.slice", "MemoryMax=7").endswith(": no answer within 0 s")


def test_where_systemd_does_not_run_there_is_nobody_to_ask(systemctl: Path, tmp_path: Path) -> None:
    assert systemd.find_property_setter(tmp_path / "nothing") is None
    assert systemd.find_property_setter(tmp_path) is systemd.set_property


def test_without_systemctl_there_is_nobody_to_ask(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert systemd.find_property_setter(tmp_path) is None
