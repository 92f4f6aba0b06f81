"""The distribution's name, which must not fetch the Python 2 version of 2017 from PyPI."""

import configparser
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from manual.programs import list_completions, list_pages

ROOT = Path(__file__).parents[3]
NAME = "plancton-grid"
#: pip with the bare name, as a requirement or with extras: it would install version 0.6.
OLD_PACKAGE = re.compile(r"pip3? install (?:[^\n`]*[\s'\"])?plancton(?![-_/\w.])")


def list_files() -> list[Path]:
    """Return the repository's files."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split("\0")
    return [ROOT / name for name in listed if name]


def list_texts() -> list[Path]:
    """Return every file of the repository that could tell somebody, or a host, what to install."""
    kinds = {".md", ".py", ".sh", ".yml", ".yaml", ".j2", ".cfg", ".toml", ""}
    return [path for path in list_files() if path.suffix in kinds and path != Path(__file__)]


def test_the_name_is_not_that_of_the_old_package() -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    assert setup["metadata"]["name"] == NAME


def test_nothing_tells_anybody_to_install_the_old_package() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for path in list_texts()
        if path.is_file()
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines()
        if OLD_PACKAGE.search(line) and "Do not run" not in line
    ]
    assert found == []


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("pip install 'plancton[prometheus]'", True),
        ("pip install plancton", True),
        ("pip install -U plancton==1.0", True),
        ("pip install plancton-grid", False),
        ("pip install build/wheel/plancton_grid-1.0.whl", False),
        ("pip install /opt/plancton/x.whl", False),
    ],
)
def test_the_old_package_is_recognized(line: str, wrong: bool) -> None:
    assert bool(OLD_PACKAGE.search(line)) is wrong


def test_the_page_says_which_extras_there_are() -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    page = (ROOT / "docs/install.md").read_text()
    assert set(re.findall(r"^\| `(\w+)` \|", page, re.M)) == (
        set(setup["options.extras_require"]) - {"dev"}
    )
    scripts = setup["options.entry_points"]["console_scripts"].strip().splitlines()
    programs = {line.split(" = ")[0] for line in scripts}
    named = set(re.findall(r"`([\w-]+)`", page))
    assert {each for each in programs if not each.startswith("condor_")} <= named


def test_the_wheel_has_the_name_that_the_page_says(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    for path in list_files():
        if path.is_file():
            (tree / path.relative_to(ROOT)).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, tree / path.relative_to(ROOT))
    subprocess.run(
        [sys.executable, "-m", "pip", "-q", "wheel", "--no-deps", "--no-build-isolation",
         "-w", str(tmp_path), str(tree)],
        capture_output=True, check=True, timeout=240,
    )  # fmt: skip

    (wheel,) = tmp_path.glob("plancton_grid-*-py3-none-any.whl")
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = [name for name in archive.namelist() if name.endswith("/METADATA")]
        assert f"\nName: {NAME}\n" in archive.read(metadata).decode()
        installed = {name.partition(".data/data/")[2]: name for name in archive.namelist()}
        for name, text in list_pages().items():
            assert archive.read(installed[f"share/man/man1/{name}"]).decode() == text
        for name, text in list_completions().items():
            place = installed[f"share/bash-completion/completions/{name}"]
            assert archive.read(place).decode() == text
