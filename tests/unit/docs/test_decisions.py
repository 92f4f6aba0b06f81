"""The decision pages are complete and listed in their index."""

import re
from pathlib import Path

DECISIONS = Path(__file__).parents[3] / "docs" / "decisions"
INDEX = DECISIONS / "README.md"
PAGES = sorted(page for page in DECISIONS.glob("*.md") if page != INDEX)
FORM = re.compile(
    r"# \d{3}: .+\n\n- Date: \d{4}-\d\d-\d\d\n- Status: (accepted|(partly )?superseded by .+)\n"
    r"\n## Context\n.+\n## Decision\n.+\n## Consequences\n.+",
    re.DOTALL,
)


def test_a_decision_has_date_status_and_all_its_parts() -> None:
    assert PAGES
    assert [page.name for page in PAGES if not FORM.fullmatch(page.read_text())] == []


def test_every_decision_is_listed_once_by_its_title() -> None:
    listed = re.findall(r"^- \[(\d{3}) (.+)\]\((.+)\)$", INDEX.read_text("utf-8"), re.MULTILINE)
    titles = [page.read_text(encoding="utf-8").partition("\n")[0] for page in PAGES]
    assert sorted(f"# {number}: {title}" for number, title, _ in listed) == sorted(titles)
    assert sorted(name for _, _, name in listed) == [page.name for page in PAGES]
    assert all(name.startswith(number) for number, _, name in listed)
