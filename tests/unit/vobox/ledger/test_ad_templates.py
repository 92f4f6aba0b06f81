"""Ads that are stored as a difference from one like them say what they said."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vobox.classad.ad import Ad
from vobox.ledger.ad_templates import NewTemplates, Templates
from vobox.ledger.schema import open_ledger

FIRST = {"Owner": '"games"', "Cmd": '"/bin/true"', "ProcId": "0", "Rank": "0.0", "Args": '""'}

#: Few, so that many are alike; two are one name in two cases.
NAMES = st.sampled_from(["Owner", "owner", "Cmd", "ProcId", "PROCID", "A", "B", "C"])
TEXTS = st.sampled_from(['"games"', '"ops"', "0", "1", "undefined", "caf\xe9"])
ADS = st.dictionaries(NAMES, TEXTS, max_size=8)


@pytest.fixture
def db(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    made = open_ledger(tmp_path / "ledger.db")
    yield made
    made.close()


def said(ad: Ad) -> list[tuple[str, str]]:
    return list(ad.pairs())


@settings(max_examples=300, deadline=None)
@given(ads=st.lists(ADS, min_size=1, max_size=6))
def test_an_ad_says_the_same_however_it_is_made_and_read(ads: list[dict[str, str]]) -> None:
    db = sqlite3.connect(":memory:")
    db.executescript(
        "CREATE TABLE templates(id INTEGER PRIMARY KEY AUTOINCREMENT, ad TEXT);"
        "CREATE TABLE shapes(id INTEGER PRIMARY KEY AUTOINCREMENT, template INTEGER, names TEXT);"
    )
    templates = NewTemplates(db)
    for texts in ads:
        ad, alone = templates.ad_of(texts), Ad(texts)
        assert dict(ad) == dict(alone)

        row = templates.row(ad)

        assert dict(ad) == dict(Templates(db).ad(*row)) == dict(alone)
    db.close()


def test_a_new_ad_like_the_last_one_holds_only_what_differs(db: sqlite3.Connection) -> None:
    templates = NewTemplates(db)
    templates.number(Ad(FIRST))

    ad = templates.ad_of({**FIRST, "ProcId": "1"})

    assert ad.difference() == {"ProcId": "1"}
    assert said(ad) == list({**FIRST, "ProcId": "1"}.items())
    assert db.execute("SELECT count(*) FROM templates").fetchone() == (1,)


@pytest.mark.parametrize(
    "other",
    [
        {**FIRST, "Owner": '"ops"'},  # another's
        {**FIRST, "More": "1"},
        {name.upper(): text for name, text in FIRST.items()},  # spelled in another way
        {"Owner": '"games"', "Cmd": "1", "ProcId": "2", "Rank": "3", "Args": '""'},  # mostly new
    ],
)
def test_an_ad_that_is_not_like_it_holds_all_of_it(
    db: sqlite3.Connection, other: dict[str, str]
) -> None:
    templates = NewTemplates(db)
    templates.number(Ad(FIRST))

    ad = templates.ad_of(other)

    assert not ad.template and said(ad) == list(other.items())


def test_after_a_transaction_that_was_undone_nothing_hangs_on_its_template(
    db: sqlite3.Connection,
) -> None:
    templates = NewTemplates(db)
    db.execute("BEGIN")
    templates.number(Ad(FIRST))
    db.execute("ROLLBACK")

    templates.forget()

    assert not templates.ad_of(FIRST).template
