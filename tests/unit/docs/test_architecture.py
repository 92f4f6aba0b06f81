"""The picture of the layers in the architecture page is that of the import rules."""

from itertools import zip_longest
from pathlib import Path

from tests.unit.test_import_rules import LAYERS

PAGE = Path(__file__).parents[3] / "docs" / "architecture.md"
#: Characters of a column.
WIDTH = 30


def draw_layers() -> str:
    """Draw the packages side by side, each with its highest layer first."""
    columns = [[package, *(" " + "  ".join(names) for names in reversed(layers))]
               for package, layers in LAYERS.items()]  # fmt: skip
    rows = zip_longest(*columns, fillvalue="")
    return "".join("".join(cell.ljust(WIDTH) for cell in row).rstrip() + "\n" for row in rows)


def test_the_page_shows_the_layers_of_the_import_rules() -> None:
    assert draw_layers() in PAGE.read_text(encoding="utf-8"), f"write:\n{draw_layers()}"
