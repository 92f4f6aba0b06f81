"""The package step, as far as it can be checked without CC7 and EL9."""

import configparser
import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
IMAGES = ROOT / "images"
LISTS = IMAGES / "packages"
IMAGES_OF = {"worker", "vobox", "schedd", "plancton", "all"}
#: Where a package of each list may come from; each is a section of the repository file beside it,
#: or the base's own.
SOURCES = {
    "cc7": {"base", "updates", "extras", "epel", "wlcg"},
    "el9": {"baseos", "appstream", "crb", "epel", "wlcg"},
    "debian": {"main"},
}
SHARED = ("worker", "vobox")


def entries(distribution: str) -> list[list[str]]:
    lines = (LISTS / f"{distribution}.list").read_text().splitlines()
    return [line.split() for line in lines if line and not line.startswith("#")]


def repositories(name: str) -> configparser.ConfigParser:
    found = configparser.ConfigParser(interpolation=None)
    found.read_string((LISTS / name).read_text())
    return found


@pytest.mark.parametrize("distribution", SOURCES)
def test_each_package_is_named_once_with_its_source(distribution: str) -> None:
    found = entries(distribution)

    assert all(len(entry) == 3 for entry in found)
    assert {entry[0] for entry in found} <= IMAGES_OF
    assert {entry[2] for entry in found} <= SOURCES[distribution]
    assert all(re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9+._-]+", entry[1]) for entry in found)
    assert len({(entry[0], entry[1]) for entry in found}) == len(found)
    assert ["all", "ca-certificates"] in [entry[:2] for entry in found]


@pytest.mark.parametrize("distribution", ["cc7", "el9"])
def test_a_worker_of_the_grid_has_hep_oslibs(distribution: str) -> None:
    done = subprocess.run(
        ["sh", IMAGES / "packages.sh", "list", "worker", distribution],
        capture_output=True, text=True, check=True,
    )  # fmt: skip

    assert {"HEP_OSlibs", "ca-certificates"} <= set(done.stdout.split())
    assert "voms-clients-cpp" not in done.stdout


def test_cc7_takes_everything_from_the_archives_and_checks_who_signed_it() -> None:
    found = repositories("cc7.conf")

    assert found["main"]["reposdir"] == "/dev/null"  # the base's name servers that are gone
    assert found["main"]["gpgcheck"] == "1"
    sections = set(found.sections()) - {"main"}
    assert {entry[2] for entry in entries("cc7")} <= sections == SOURCES["cc7"]
    for name in ("base", "updates", "extras"):
        part = "os" if name == "base" else name
        url = f"http://vault.centos.org/7.9.2009/{part}/$basearch/"
        assert found[name]["baseurl"] == url
        # plain http is enough: the key is in the base image
        assert found[name]["gpgkey"] == "file:///etc/pki/rpm-gpg/RPM-GPG-KEY-CentOS-7"
    for name in ("epel", "wlcg"):
        assert found[name]["baseurl"].startswith("https://")
        assert found[name]["gpgkey"].startswith("https://")


def test_el9_checks_who_signed_what_it_adds() -> None:
    found = repositories("el9.repo")

    assert set(found.sections()) == {"epel", "wlcg"}
    for name in found.sections():
        assert found[name]["gpgcheck"] == "1"
        assert found[name]["baseurl"].startswith("https://")
        assert found[name]["gpgkey"].startswith("https://")


@pytest.mark.parametrize(
    ("system", "command"),
    [
        ("ID=centos\nVERSION_ID=7\n", "yum -y -c HERE/yum.conf install ca-certificates HEP_OSlibs"),
        ("ID=almalinux\nVERSION_ID=9.6\n", "dnf -y --setopt=install_weak_deps=False"),
        ("ID=rocky\nVERSION_ID=9.5\n", "dnf -y --setopt=install_weak_deps=False"),
        ("ID=debian\nVERSION_ID=12\n", "apt-get install -y -q --no-install-recommends"),
    ],
)
def test_each_distribution_uses_its_own_package_manager(
    tmp_path: Path, system: str, command: str
) -> None:
    """The script's own text, with the places it writes to moved and managers that only note."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "os-release").write_text(system)
    (tmp_path / "bundle").touch()
    for name in ("yum", "dnf", "apt-get", "rm"):
        tool = tmp_path / "bin" / name
        tool.write_text(f'#!/bin/sh\necho "{name} $*" >> {tmp_path}/done\n')
        tool.chmod(0o755)
    for file in LISTS.iterdir():
        (tmp_path / file.name).write_text(file.read_text())
    text = (IMAGES / "packages.sh").read_text()
    for old, new in (
        ("/etc/os-release", "os-release"), ("/etc/yum.repos.d/thyme.repo", "thyme.repo"),
        ("/etc/ssl/certs/ca-certificates.crt", "bundle"), ("/opt/thyme/ca.pem", "ca.pem"),
        ("/etc/pki/tls/certs/ca-bundle.crt", "no-bundle"),
    ):  # fmt: skip
        assert old in text
        text = text.replace(old, f"{tmp_path}/{new}")
    (tmp_path / "packages.sh").write_text(text)
    mirrors = {"VAULT_URL": "http://mirror.example.org/c", "WLCG_URL": "https://mirror/wlcg"}

    subprocess.run(
        ["sh", tmp_path / "packages.sh", "worker"], check=True,
        env={"PATH": f"{tmp_path}/bin:{os.environ['PATH']}", **mirrors},
    )  # fmt: skip

    done = (tmp_path / "done").read_text()
    assert command.replace("HERE", str(tmp_path)) in done
    assert (tmp_path / "ca.pem").readlink() == tmp_path / "bundle"
    if "centos" in system:
        made = (tmp_path / "yum.conf").read_text()
        assert "baseurl=http://mirror.example.org/c/7.9.2009/os/$basearch/" in made
        assert "vault.centos.org" not in made
    if "dnf" in command:
        assert "baseurl=https://mirror/wlcg/el9/$basearch/" in (tmp_path / "thyme.repo").read_text()


def test_an_unknown_distribution_is_refused(tmp_path: Path) -> None:
    (tmp_path / "os-release").write_text("ID=arch\nVERSION_ID=1\n")
    text = (IMAGES / "packages.sh").read_text().replace("/etc/os-release", f"{tmp_path}/os-release")
    (tmp_path / "packages.sh").write_text(text)

    done = subprocess.run(
        ["sh", tmp_path / "packages.sh", "worker"], capture_output=True, text=True, check=False
    )

    assert done.returncode == 1
    assert done.stderr == ("packages.sh: arch 1 is not known here: add a list and a branch\n")


def test_an_image_that_there_is_not_is_named_before_anything_is_built() -> None:
    done = subprocess.run(
        [IMAGES / "build.sh", "vobox", "worker"], capture_output=True, text=True, check=False
    )

    assert done.returncode == 2
    assert done.stderr == (
        "build.sh: there is no image worker; there are: "
        "worker-cc7 worker-el9 vobox plancton schedd influxdb\n"
    )


def test_all_that_goes_into_an_image_is_pinned() -> None:
    base = re.compile(r"(?:^ARG (?:BASE|PYTHON_BASE)=|BASE_WORKER_EL9:=)([^\s}]+)", re.MULTILINE)
    for file in (IMAGES / "build.sh", *IMAGES.glob("*/Dockerfile")):
        bases = base.findall(file.read_text())
        assert bases, file
        for one in bases:
            assert re.fullmatch(r"[a-z.]+/[a-z0-9_/]+:[0-9][\w.-]+", one), one
    for name in ("constraints.txt", "tools/requirements.txt"):
        lines = [line for line in (IMAGES / name).read_text().splitlines() if line[:1] != "#"]
        assert lines
        assert [line for line in lines if not re.fullmatch(r"[\w.-]+==[\w.]+", line)] == []


def test_the_images_that_share_a_python_build_it_in_the_same_way() -> None:
    """Word by word, so that it is built once; what is installed into it may differ."""
    stages = {
        (IMAGES / name / "Dockerfile")
        .read_text()
        .split("FROM ")[1]
        .split("RUN sh /tools/install")[0]
        for name in SHARED
    }

    assert len(stages) == 1
