"""Links and paths in the documentation lead to something that exists."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("images/**/*.md"),
        *ROOT.glob("ansible/**/*.md"),
    ]
)
#: A word in backticks that begins with one of these folders is a path of the repository.
FOLDERS = (
    "ansible|commandline|compose|demo|demo_ce|deploy|docs|examples|grafana|hostfiles|images|joblanes|"
    "manual|plancton|telemetry|tests|thyme|vobox"
)
PATHS = re.compile(rf"`((?:{FOLDERS})/[\w./*-]*)`")
LINKS = re.compile(r"\]\(([^)\s]+)\)")


def list_anchors(page: str) -> set[str]:
    """List the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def find_dead_references(text: str, folder: Path) -> list[str]:
    """List the relative links (from ``folder``) and paths in ``text`` that lead nowhere."""
    dead = []
    for link in (link for link in LINKS.findall(text) if "://" not in link):
        path, _, anchor = link.partition("#")
        target = folder / path
        if not target.exists() or (
            anchor and anchor not in list_anchors(target.read_text("utf-8") if path else text)
        ):
            dead.append(link)
    # `plancton/worker-el9` is the name of an image, whose Dockerfile lies in images/worker
    places = {
        path: re.sub(r"^plancton/(\w+).*", r"images/\1", path) for path in PATHS.findall(text)
    }
    return dead + [
        path for path, image in places.items() if not any([*ROOT.glob(path), *ROOT.glob(image)])
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_and_path_of_a_page_exists(page: Path) -> None:
    assert find_dead_references(page.read_text(encoding="utf-8"), page.parent) == []


def test_a_dead_link_and_a_dead_path_are_found() -> None:
    text = (
        "# Here it is\n[a](README.md#what-is-here) [b](README.md#gone) [c](gone.md)"
        " [d](#here-it-is) `thyme/broker/` `vobox/gone.py` `tests/contract/test_*.py`"
    )
    assert find_dead_references(text, ROOT) == ["README.md#gone", "gone.md", "vobox/gone.py"]


def test_the_index_lists_each_page_once() -> None:
    text = (ROOT / "docs/README.md").read_text()
    listed = re.findall(r"^\* \[[^]]+\]\(([\w./-]+)\)", text, re.MULTILINE)
    pages = {str(page.relative_to(ROOT / "docs")) for page in ROOT.glob("docs/**/*.md")}
    decisions = {page for page in pages if re.match(r"decisions/\d", page)}  # in an index there
    assert sorted(listed) == sorted(pages - decisions - {"README.md"})
