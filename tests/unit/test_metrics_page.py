"""The reference page of series is made from the code, and the number of series is bounded."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from telemetry import page

ROOT = Path(__file__).parents[2]
MODULES = ["plancton.node_series"]


def test_the_page_is_what_the_code_declares() -> None:
    written = (ROOT / "docs/reference/metrics.md").read_text(encoding="utf-8")
    assert page.of_modules(MODULES) == written, (
        f"run: python -m telemetry.page {' '.join(MODULES)} --write docs/reference/metrics.md"
    )


def test_no_two_series_and_no_two_fields_have_one_name() -> None:
    names = []
    for module in MODULES:
        for series in importlib.import_module(module).ALL:
            names.append(series.name)
            fields = [field.name for field in series.fields]
            assert len(set(fields)) == len(fields) > 0, series.name
    assert len(set(names)) == len(names)


def test_the_page_can_be_printed_and_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert page.main(MODULES) == 0
    printed = capsys.readouterr().out
    assert page.main([*MODULES, "--write", str(tmp_path / "page")]) == 0
    assert (tmp_path / "page").read_text() == printed
    assert "### `plancton_pilots`" in printed


@pytest.mark.parametrize("words", [[], ["--write"], ["plancton.node_series", "--write"]])
def test_a_wrong_call_of_the_generator_is_told(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert page.main(words) == 2
    assert capsys.readouterr().err.startswith("usage: python -m telemetry.page")
