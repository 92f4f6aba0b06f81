"""The reference page of the commands is made from what they parse by, and names them all."""

from __future__ import annotations

from tests.command_socket import ROOT, entry_points
from vobox import gate
from vobox.tools import commands_page, editable, tail

PAGE = ROOT / "docs/reference/commands.md"


def test_the_page_is_up_to_date() -> None:
    made = commands_page.page()
    assert PAGE.read_text() == made, f"run: python -m vobox.tools.commands_page > {PAGE}"


def test_every_command_that_is_installed_has_a_section_and_a_thin_program() -> None:
    commands = {name: to for name, to in entry_points().items() if name.startswith("condor_")}
    assert commands.keys() == commands_page._COMMANDS.keys()
    for name, target in commands.items():
        assert target == f"vobox.{name}:main"
        assert (ROOT / "vobox" / f"{name}.py").exists()


def test_the_figures_of_the_page_are_those_of_the_code() -> None:
    text = commands_page.page()
    assert f"At most {gate.MOST} commands" in text
    assert f"is below {gate.MOST * gate.FILES};" in text
    assert f"{tail.MAX_BYTES} bytes of each" in text and tail.MOST == 1024 * 1024


def test_no_attribute_is_refused_twice() -> None:
    names = (editable.IMMUTABLE + editable.KEPT + editable.SENT).lower().split()
    assert len(names) == len(set(names))
