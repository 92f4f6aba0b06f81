"""The compiled wheels of the images on CC7 need no symbol that its C library (2.17) lacks."""

import configparser
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
CC7 = (2, 17)
#: The image that can be built on CC7, and the extra that it installs.
EXTRAS = {"worker": "worker", "vobox": "demo_ce"}


def find_newest_glibc(content: bytes) -> tuple[int, int]:
    """Return the newest version of the C library that an ELF file asks for; (0, 0) for none."""
    found = re.findall(rb"GLIBC_(\d+)\.(\d+)", content)
    return max(((int(one), int(two)) for one, two in found), default=(0, 0))


@pytest.mark.parametrize("image", EXTRAS)
def test_the_wheels_of_the_image_run_with_the_c_library_of_cc7(image: str, tmp_path: Path) -> None:
    assert f"dependencies {EXTRAS[image]}\n" in (ROOT / f"images/{image}/Dockerfile").read_text()
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    wanted = setup["options.extras_require"][EXTRAS[image]].split()
    done = subprocess.run(
        [sys.executable, "-m", "pip", "download", "-q", "--only-binary", ":all:", "--platform",
         "manylinux2014_x86_64", "--python-version", "3.11", "-d", str(tmp_path), "-c",
         str(ROOT / "images/constraints.txt"), *wanted],
        capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip
    if "onnection" in done.stderr or "NewConnectionError" in done.stderr:
        pytest.skip("no package index can be reached")
    assert done.returncode == 0, done.stderr

    wheels = list(tmp_path.glob("*.whl"))
    assert len(wheels) >= len(wanted)
    newest = {}
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            for name in archive.namelist():
                if re.search(r"\.so(\.\d+)*$", name):
                    newest[f"{wheel.name}: {name}"] = find_newest_glibc(archive.read(name))
    assert {name: version for name, version in newest.items() if version > CC7} == {}
    if image == "vobox":
        assert any(version > (0, 0) for version in newest.values()), "cryptography is compiled"


def test_a_library_for_a_newer_system_is_recognized() -> None:
    import cryptography.hazmat.bindings._rust as compiled

    # what is installed here is for this system: pip takes the newest that it can
    found = find_newest_glibc(Path(str(compiled.__file__)).read_bytes())
    assert found > (2, 0)
