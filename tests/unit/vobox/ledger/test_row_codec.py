"""The text of a ledger's row gives back what was written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vobox.ledger.row_codec import read, written

#: What may stand between values, in their place or before them, and what SQLite cannot keep.
ODD = st.text(alphabet=st.sampled_from('\x1e\x1f\0[]"a, \ud800é'), max_size=6)


@given(st.lists(st.one_of(st.none(), ODD, st.text(max_size=20)), max_size=6))
def test_any_values_are_read_as_they_were_written(values: list[str | None]) -> None:
    text = written(values)

    assert read(text) == values
    text.encode("utf-8")  # or no database would take it
    assert "\0" not in text


@pytest.mark.parametrize("values", [[], [""], [None], ["", None], ["\x1e"], ["[1"], ["a\x1fb"]])
def test_what_could_be_taken_for_another_row_is_not(values: list[str | None]) -> None:
    assert read(written(values)) == values


def test_usual_values_are_not_written_as_json() -> None:
    assert written(["1", '"slot1@n1"', None]) == '1\x1f"slot1@n1"\x1f\x1e'
