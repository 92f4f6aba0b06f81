"""The tables of the reference pages are those of the code."""

import re

import pytest

from tests.support.command_socket import list_entry_points
from tests.support.reference_pages import OPTIONS, PAGES, PLACE
from vobox.commands import editable_attributes, tail
from vobox.rpc import connection_limit
from vobox.supervisor import links

COMMANDS = (PLACE / "commands.md").read_text()


@pytest.mark.parametrize("name", PAGES)
def test_a_reference_page_is_up_to_date(name: str) -> None:
    page = (PLACE / name).read_text()
    # every other row is gone, and the options are of yesterday
    stale = re.sub(r"^\| `.*\n(\| `.*\n)", r"\1", page, flags=re.MULTILINE)
    stale = re.sub("^Honoured: .*$", "Honoured: `-old`.", stale, flags=re.MULTILINE)
    assert stale != page

    for text in (page, stale):
        assert PAGES[name](text) == page, "run: python -m tests.support.reference_pages"


def test_every_command_that_is_installed_has_a_section_and_is_offered_to_a_ce() -> None:
    commands = {name: to for name, to in list_entry_points().items() if name.startswith("condor_")}
    assert commands.keys() == OPTIONS.keys()
    assert set(re.findall(r"^## (condor_\w+)$", COMMANDS, re.MULTILINE)) == commands.keys()
    for name, target in commands.items():
        assert target == f"{links.list_commands()[name]}:main"


def test_the_figures_of_the_page_are_those_of_the_code() -> None:
    files = connection_limit.MAX_CONNECTIONS * connection_limit.FILES_PER_CONNECTION
    assert f"At most {connection_limit.MAX_CONNECTIONS} commands" in COMMANDS
    assert f"is below {files};" in COMMANDS
    assert f"{tail.MAX_BYTES} bytes of each" in COMMANDS and tail.MOST == 1024 * 1024


def test_no_attribute_is_refused_twice() -> None:
    refused = (editable_attributes.IMMUTABLE, editable_attributes.KEPT, editable_attributes.SENT)
    names = " ".join(refused).lower().split()
    assert len(names) == len(set(names))
