"""Commands and options that the pages name are those of the programs."""

import re
from pathlib import Path

import pytest

from commandline.parser import list_commands, list_words
from manual.programs import PARSERS

ROOT = Path(__file__).parents[3]
PAGES = [
    page
    for page in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("*/README.md"))
    if page.name != "CHANGELOG.md"  # it also names what is no more
]
#: In code, a program and the words after it.
NAMED = re.compile(rf"(?<![\w/.-])({'|'.join(PARSERS)})((?: +[^\s`|;&#)]+)*)")


def list_code(page: str) -> list[str]:
    """Return the pieces of a page that are code: blocks, and words between backticks."""
    blocks = re.findall(r"^```\w*\n(.*?)^```$|^((?: {4}.*\n)+)", page, re.M | re.S)
    text = re.sub(r"^```\w*\n.*?^```$", "", page, flags=re.M | re.S)
    spans = re.findall(r"`([^`]+)`", text)
    joined = ["".join(block).replace("\\\n", " ") for block in blocks]
    return [*(line for block in joined for line in block.splitlines()), *spans]


def find_unknown_words(code: str) -> list[str]:
    """Return the commands and long options in ``code`` that their program does not have."""
    unknown = []
    for program, rest in NAMED.findall(code):
        parser, words = PARSERS[program](), rest.split()
        commands = list_commands(parser)
        known = list_words(parser)
        named = [word for word in words if re.fullmatch(r"[a-z][a-z-]+", word)]
        if commands and named:
            if named[0] not in commands:
                unknown.append(f"{program} {named[0]}")
                continue
            known += list_words(commands[named[0]])
        options = [word.partition("=")[0] for word in words if word.startswith("--")]
        unknown += [f"{program} {word}" for word in options if word not in known]
    return unknown


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_and_option_of_a_page_exists(page: Path) -> None:
    found = [word for code in list_code(page.read_text()) for word in find_unknown_words(code)]
    assert found == []


def test_an_unknown_command_and_an_unknown_option_are_found() -> None:
    text = (
        "`planctonctl stop --nwo` `thyme-admin --json lists`\n\n"
        "```sh\nthyme-worker \\\n  --url x --colour\n```\n\n    planctonctl --user strat\n"
    )
    found = [word for code in list_code(text) for word in find_unknown_words(code)]
    assert sorted(found) == [
        "planctonctl --nwo", "planctonctl strat", "thyme-admin lists", "thyme-worker --colour",
    ]  # fmt: skip
