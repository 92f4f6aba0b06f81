"""The command line of thyme-schedd."""

from pathlib import Path

import pytest

from vobox.server.cli import parser


def test_the_schedd_answers_where_the_commands_look(monkeypatch: pytest.MonkeyPatch) -> None:
    def socket(*more: str) -> Path:
        found: Path = parser().parse_args(["--spool", "/spool", *more]).socket
        return found

    monkeypatch.delenv("THYME_SCHEDD_SOCKET", raising=False)
    assert socket() == Path("/run/thyme/schedd.sock")
    monkeypatch.setenv("THYME_SCHEDD_SOCKET", "/home/you/site/schedd.sock")
    assert socket() == Path("/home/you/site/schedd.sock")
    assert socket("--socket", "/elsewhere") == Path("/elsewhere")
