"""The settings of a VO box and their errors; the program runs on old Pythons."""

import ast
import os
import pwd
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from vobox.supervisor import ce, cli, links
from vobox.supervisor.settings import VARIABLES, BadSettings, read_settings

ROOT = Path(__file__).parents[4]
FILES = sorted([*(ROOT / "vobox/supervisor").glob("*.py"), *(ROOT / "hostfiles").glob("*.py")])


def read(uid: int = 1000, **environment: str):
    return read_settings(environment, uid, "/usr/bin/python3")


def wrong(uid: int = 1000, **environment: str) -> list[str]:
    with pytest.raises(BadSettings) as caught:
        read(uid, **environment)
    return str(caught.value).splitlines()


def test_ce_is_required() -> None:
    assert wrong() == ["CE is not set: set it to one of alien, jalien, demo, none"]
    assert wrong(CE="alice") == ["CE is 'alice': set it to one of alien, jalien, demo, none"]


def test_all_errors_are_reported_at_once() -> None:
    assert wrong(CE="none", CE_GRACE="soon", CE_CHECK="-1", X509_USER_CERT="/c") == [
        "X509_USER_CERT and X509_USER_KEY go together; only one is set",
        "CE_CHECK is '-1': give a number from 0 on",
        "CE_GRACE is 'soon': give a number from 0 on",
    ]


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"CE": "none", "VOBOX_DIR": "own"}, "VOBOX_DIR is 'own': give an absolute path"),
        (
            {"CE": "none", "VOBOX_PYTHON": "/no/such/python3"},
            "VOBOX_PYTHON is '/no/such/python3': there is no such program here",
        ),
        (
            {"CE": "none", "X509_USER_PROXY": "~/p"},
            "X509_USER_PROXY is '~/p': give an absolute path",
        ),
        ({"CE": "jalien"}, "X509_USER_PROXY is not set: jobs of the jalien CE carry that proxy"),
        (
            {"CE": "none", "PROXY_RENEW": "x"},
            "PROXY_RENEW is set, X509_USER_PROXY is not: which proxy?",
        ),
        (
            {"CE": "none", "PROXY_RENEW": "voms", "X509_USER_PROXY": "/p"},
            "PROXY_RENEW=voms needs X509_USER_CERT and X509_USER_KEY",
        ),
        (
            {"CE": "none", "CE_COMMAND": "a", "CE_START": "b", "CE_STATUS": "c", "CE_STOP": "d"},
            "CE_COMMAND and CE_START are both set: a CE is started in one way",
        ),
        (
            {"CE": "none", "CE_START": "b", "CE_STATUS": "c"},
            "CE_START, CE_STATUS and CE_STOP go together; CE_STOP is the odd one",
        ),
        (
            {"CE": "none", "CE_USER": "nobody-of-that-name"},
            "CE_USER is 'nobody-of-that-name': there is no such user here",
        ),
        (
            {"CE": "none", "CE_USER": "root"},
            "CE_USER is 'root': only root can run a CE as another user",
        ),
    ],
)
def test_an_error_is_one_line(environment: dict[str, str], said: str) -> None:
    assert wrong(**environment) == [said]


def test_root_has_to_name_the_user_of_a_grid_ce() -> None:
    assert wrong(0, CE="alien", X509_USER_PROXY="/p") == [
        "CE_USER is not set: as root, name the user of the alien CE"
    ]
    assert read(0, CE="alien", X509_USER_PROXY="/p", CE_USER="nobody").user.name == "nobody"
    assert read(0, CE="none").user.uid == 0


def test_wrong_settings_end_the_program_with_6(capsys, monkeypatch) -> None:
    monkeypatch.setattr(os, "environ", {"CE": "x"})
    assert cli.main(["run"]) == 6
    assert capsys.readouterr().err == (
        "thyme-vobox: CE is 'x': set it to one of alien, jalien, demo, none\n"
    )
    assert cli.main(["walk"]) == 6
    assert capsys.readouterr().err.startswith("thyme-vobox: unknown arguments: walk\n")


def test_a_directory_that_cannot_be_used_ends_it_with_5(capsys, monkeypatch, tmp_path) -> None:
    (tmp_path / "file").touch()
    directory = str(tmp_path / "file" / "box")
    monkeypatch.setattr(os, "environ", {"CE": "none", "VOBOX_DIR": directory})
    assert cli.main([]) == 5
    assert capsys.readouterr().err == (
        f"thyme-vobox: VOBOX_DIR={directory} cannot be used: Not a directory\n"
    )


# --- how each CE is started -----------------------------------------------------------------


def test_alien_runs_in_the_background_by_its_own_program() -> None:
    made = ce.find_recipe(read(CE="alien", X509_USER_PROXY="/p", ALIEN_ROOT="/opt/alien"))
    assert made.start == "/opt/alien/bin/alien StartMonitor && /opt/alien/bin/alien StartCE"
    assert made.status == "/opt/alien/bin/alien StatusCE"
    assert made.stop == "/opt/alien/bin/alien StopCE; /opt/alien/bin/alien StopMonitor"


def test_jaliens_package_cannot_push_the_condor_commands_aside(tmp_path: Path) -> None:
    home, package, commands = (tmp_path / name for name in ("home", "package", "commands"))
    (home / ".alien/config").mkdir(parents=True)
    (home / ".alien/config/CE.env").write_text("export FROM_CE_ENV=yes\n")
    for place, name, text in (
        (package, "alienv", f"echo \"export ASKED='$*' PATH={package}:$PATH\""),
        (package, "jalien", 'echo "$1 $ASKED $FROM_CE_ENV"; condor_submit'),
        (package, "condor_submit", "echo the package's"),
        (commands, "condor_submit", "echo ours"),
    ):
        place.mkdir(exist_ok=True)
        (place / name).write_text(f"#!/bin/sh\n{text}\n")
        (place / name).chmod(0o755)
    made = ce.find_recipe(read(CE="jalien", X509_USER_PROXY="/p", JALIEN_VERSION="1.9"))
    assert made.status == "", "it runs in the foreground"
    done = subprocess.run(
        ["/bin/bash", "-c", made.start.replace(ce.ALIENV, str(package / "alienv"))],
        env={"HOME": str(home), "PATH": "/usr/bin:/bin", "THYME_COMMANDS": str(commands)},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.stdout == "alien.site.ComputingElement printenv JAliEn/1.9 yes\nours\n", done


def test_a_command_of_the_site_replaces_the_ces_own() -> None:
    made = ce.find_recipe(read(CE="jalien", X509_USER_PROXY="/p", CE_COMMAND="./my-ce"))
    assert made == ce.Recipe("./my-ce")


@pytest.mark.parametrize(
    ("environment", "there", "said"),
    [
        ({"CE": "jalien"}, [], "mount /cvmfs into this container (there is no /cvmfs)"),
        ({"CE": "jalien"}, ["/cvmfs"], "(alice.cern.ch is not mounted)"),
        ({"CE": "alien"}, [], "there is no alien on PATH: set ALIEN_ROOT to AliEn's directory"),
        (
            {"CE": "alien", "ALIEN_ROOT": "/x"},
            [],
            "/x/bin/alien is not there: ALIEN_ROOT has to be AliEn's directory, "
            "and there is no /cvmfs here",
        ),
        (
            {"CE": "demo"},
            [],
            "there is no plancton-demo-ce on PATH: it comes with the VO box's package",
        ),
    ],
)
def test_missing_software_of_a_ce_is_named(environment, there, said) -> None:
    mine = read(X509_USER_PROXY="/p", **environment)
    assert ce.find_lacking(mine, there.__contains__, lambda _: False).endswith(said)


def test_an_installed_ce_lacks_nothing() -> None:
    for kind in ("alien", "jalien", "demo", "none"):
        mine = read(CE=kind, X509_USER_PROXY="/p")
        assert ce.find_lacking(mine, lambda _: True, lambda _: True) == ""


# --- the condor commands --------------------------------------------------------------------


def test_the_commands_are_written_and_nothing_else_is_touched(tmp_path: Path) -> None:
    (tmp_path / "condor_of_long_ago").touch()
    (tmp_path / "somebodys-program").touch()
    names = links.write_commands(str(tmp_path), sys.executable)
    assert {"condor_submit", "condor_q", "condor_rm", "condor_version"} <= set(names)
    assert {path.name for path in tmp_path.iterdir()} == {*names, "somebodys-program"}
    # a CE's own Python settings do not reach them
    done = subprocess.run(
        [tmp_path / "condor_version"], capture_output=True, text=True, timeout=60, check=False,
        env={"PYTHONHOME": "/nowhere", "PYTHONPATH": "/nowhere"},
    )  # fmt: skip
    assert done.returncode == 0, done
    assert done.stdout.startswith("$CondorVersion: ")


# --- old Pythons ----------------------------------------------------------------------------


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_it_needs_only_the_standard_library_of_python_3_6(path: Path) -> None:
    tree = ast.parse(path.read_text(), feature_version=(3, 6))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level <= 1, "it imports nothing from above vobox.supervisor"
            ours = node.level or str(node.module).startswith(("vobox.client.", "hostfiles."))
            names = [] if ours else [str(node.module)]
        else:
            continue
        for name in names:
            assert name.partition(".")[0] in sys.stdlib_module_names, name
            assert name != "__future__", "annotations came with 3.7"


def test_the_folders_that_the_how_to_page_names_are_enough(tmp_path: Path) -> None:
    page = (ROOT / "docs/howto-vobox.md").read_text()
    named = re.findall(r"`(\w+)/`", page.partition("the folders ")[2].partition(".")[0])
    for name in named:
        (tmp_path / name).symlink_to(ROOT / name)

    done = subprocess.run(
        [sys.executable, "-S", "-m", "vobox.supervisor", "health"], cwd=tmp_path, text=True,
        env={"CE": "none", "VOBOX_DIR": str(tmp_path / "own")}, capture_output=True, check=False,
    )  # fmt: skip

    told = "thyme-vobox does not run, or runs with another VOBOX_DIR\n"
    assert (done.stdout, done.stderr) == (told, ""), named


def old_pythons() -> list[str]:
    found = (
        shutil.which("python3.6"),
        *Path(pwd.getpwuid(os.getuid()).pw_dir).glob(".pyenv/versions/3.6.*/bin/python3.6"),
    )
    return [str(one) for one in found if one and not str(one).endswith("shims/python3.6")]


def test_python_3_6_runs_it() -> None:
    pythons = old_pythons()
    if not pythons:
        pytest.skip("there is no Python 3.6 here")
    done = subprocess.run(
        [pythons[0], "-m", "vobox.supervisor", "settings"], cwd=ROOT, capture_output=True,
        text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done
    assert [line.split()[0] for line in done.stdout.splitlines()] == [v.name for v in VARIABLES]


def test_the_howto_shows_the_settings_as_they_are() -> None:
    page = (ROOT / "docs/howto-vobox.md").read_text()
    rows = [
        f"| `{one.name}` | {f'`{one.default}`' if one.default else ''} | {one.meaning} |"
        for one in VARIABLES
    ]
    assert "\n".join(rows) in page
    for code in (0, 3, 4, 5, 6):
        assert f"\n| {code} | " in page
        assert f"\n  {code}  " in cli.USAGE
