"""The reference page of the commands is made from what they parse by, and names them all."""

from tests.support.command_socket import ROOT, list_entry_points
from vobox.commands import editable_attributes, reference_page, tail
from vobox.rpc import connection_limit
from vobox.supervisor import links

PAGE = ROOT / "docs/reference/commands.md"


def test_the_page_is_up_to_date() -> None:
    made = reference_page.build_page()
    assert PAGE.read_text() == made, f"run: python -m vobox.commands.reference_page > {PAGE}"


def test_every_command_that_is_installed_has_a_section_and_is_offered_to_a_ce() -> None:
    commands = {name: to for name, to in list_entry_points().items() if name.startswith("condor_")}
    assert commands.keys() == reference_page._COMMANDS.keys()
    for name, target in commands.items():
        assert target == f"{links.list_commands()[name]}:main"


def test_the_figures_of_the_page_are_those_of_the_code() -> None:
    text = reference_page.build_page()
    assert f"At most {connection_limit.MAX_CONNECTIONS} commands" in text
    assert (
        f"is below {connection_limit.MAX_CONNECTIONS * connection_limit.FILES_PER_CONNECTION};"
        in text
    )
    assert f"{tail.MAX_BYTES} bytes of each" in text and tail.MOST == 1024 * 1024


def test_no_attribute_is_refused_twice() -> None:
    names = (
        (editable_attributes.IMMUTABLE + editable_attributes.KEPT + editable_attributes.SENT)
        .lower()
        .split()
    )
    assert len(names) == len(set(names))
