"""The decision pages are complete and listed in their index."""

import re
from datetime import date
from pathlib import Path

import pytest

DECISIONS = Path(__file__).parents[3] / "docs" / "decisions"
INDEX = DECISIONS / "README.md"
PAGES = sorted(page for page in DECISIONS.glob("*.md") if page != INDEX)
#: The only statuses; a superseded page names the page or file that replaced it.
STATUS = re.compile(r"accepted|superseded by .+|partly superseded by .+")


def find_faults(page: str) -> list[str]:
    """List what is missing or wrong in the text of one decision page."""
    faults = []
    lines = page.splitlines()
    if not lines or not re.fullmatch(r"# \d{3}: .+", lines[0]):
        faults.append("the first line is not '# NNN: title'")
    fields = dict(re.findall(r"^- (Date|Status): (.+)$", page, re.MULTILINE))
    try:
        date.fromisoformat(fields.get("Date", ""))
    except ValueError:
        faults.append("no date")
    if not STATUS.fullmatch(fields.get("Status", "")):
        faults.append("no status")
    headings = re.findall(r"^## (.+)$", page, re.MULTILINE)
    if headings != ["Context", "Decision", "Consequences"]:
        faults.append(f"its parts are {headings}")
    return faults


def test_there_are_decisions() -> None:
    assert PAGES


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_decision_has_date_status_and_all_its_parts(page: Path) -> None:
    assert find_faults(page.read_text(encoding="utf-8")) == []


def test_every_decision_is_listed_once_by_its_title() -> None:
    listed = re.findall(r"^- \[(\d{3}) (.+)\]\((.+)\)$", INDEX.read_text("utf-8"), re.MULTILINE)
    titles = [page.read_text(encoding="utf-8").partition("\n")[0] for page in PAGES]
    assert sorted(f"# {number}: {title}" for number, title, _ in listed) == sorted(titles)
    assert sorted(name for _, _, name in listed) == [page.name for page in PAGES]
    assert all(name.startswith(number) for number, _, name in listed)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (("# 001: ", "# "), "the first line is not '# NNN: title'"),
        (("- Date: 2026-11-22\n", ""), "no date"),
        (("Status: accepted", "Status: maybe"), "no status"),
        (("## Context", "## Story"), "its parts are ['Story', 'Decision', 'Consequences']"),
    ],
)
def test_a_page_that_lacks_a_part_is_found(change: tuple[str, str], fault: str) -> None:
    good = (
        "# 001: A title\n\n- Date: 2026-11-22\n- Status: accepted\n\n"
        "## Context\n\nx\n\n## Decision\n\nx\n\n## Consequences\n\nx\n"
    )
    assert find_faults(good) == []
    assert find_faults(good.replace(*change)) == [fault]
