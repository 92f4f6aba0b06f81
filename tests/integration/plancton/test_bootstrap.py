"""plancton-bootstrap with real git repositories on this disk."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from plancton.errors import BadUsage, ExitCode
from plancton.install import bootstrap
from plancton.install.boot_unit import Machine
from plancton.install.bootstrap import GitSource


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    path = tmp_path / "repo"
    path.mkdir()
    git(path, "init", "--quiet", "--initial-branch=main")
    commit(path, "engine: process\n")
    return path


def git(path: Path, *words: str) -> None:
    identity = {f"GIT_{who}_{what}": "a@b" for who in ("AUTHOR", "COMMITTER") for what in
                ("NAME", "EMAIL")}  # fmt: skip
    environment = {**os.environ, **identity, "GIT_CONFIG_GLOBAL": "/dev/null"}
    subprocess.run(["git", "-C", str(path), *words], check=True, env=environment)


def commit(path: Path, text: str) -> None:
    (path / "config.yaml").write_text(text)
    git(path, "add", "config.yaml")
    git(path, "commit", "--quiet", "--message=x")


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("user/repo", GitSource("https://github.com/user/repo", None)),
        ("user/repo:to-infn/dev", GitSource("https://github.com/user/repo", "to-infn/dev")),
        ("https://host/x.git", GitSource("https://host/x.git", None)),
        ("git@host:x/y.git", GitSource("git@host:x/y.git", None)),
        ("/srv/conf.git", GitSource("/srv/conf.git", None)),
    ],
)
def test_a_source_is_short_for_github_or_any_url(text: str, source: GitSource) -> None:
    assert GitSource.parse(text) == source


@pytest.mark.parametrize("text", ["user", "", "--upload-pack=x", "ext::sh -c id", "a b/c"])
def test_what_is_no_source_is_refused(text: str) -> None:
    with pytest.raises(BadUsage):
        GitSource.parse(text)


class Node:
    """The places of a machine, and commands that note what they are asked to do."""

    def __init__(self, directory: Path) -> None:
        self.confdir = directory / "etc" / "plancton"
        self.noted = directory / "noted"
        self.commands = directory / "bin"
        self.commands.mkdir()
        self.machine = Machine(systemd=directory / "run-systemd", units=directory / "units")
        self.command("systemctl", f'echo "systemctl $*" >> {self.noted}')
        self.crontab = directory / "crontab"
        self.command(
            "crontab",
            f'case "$1" in\n'
            f'-l) test -e {self.crontab} && cat {self.crontab} || {{ echo "no crontab for you" >&2;'
            f" exit 1; }} ;;\n-) cat > {self.crontab} ;;\nesac",
        )

    def command(self, name: str, text: str) -> None:
        path = self.commands / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)

    def run(self, *words: str) -> int:
        return bootstrap.main([*words, f"--confdir={self.confdir}"], self.machine)


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Node:
    made = Node(tmp_path)
    monkeypatch.setenv("PATH", f"{made.commands}:{os.environ['PATH']}")
    return made


def test_a_good_configuration_is_installed(
    repository: Path, node: Node, capsys: pytest.CaptureFixture[str]
) -> None:
    assert node.run(str(repository)) == 0
    assert (node.confdir / "config.yaml").read_text() == "engine: process\n"
    assert f"installed {node.confdir} from {repository}\n" in capsys.readouterr().out
    assert [path.name for path in node.confdir.parent.iterdir()] == ["plancton"]
    assert node.confdir.stat().st_mode & 0o777 == 0o750


def test_a_branch_is_taken_when_named(repository: Path, node: Node) -> None:
    git(repository, "switch", "--quiet", "--create", "other")
    commit(repository, "engine: process\nmax_docks: 9\n")
    git(repository, "switch", "--quiet", "main")
    assert node.run(str(repository), "--branch=other") == 0
    assert "max_docks: 9" in (node.confdir / "config.yaml").read_text()


def test_a_bad_configuration_is_not_installed_and_nothing_starts_at_boot(
    repository: Path, node: Node, capsys: pytest.CaptureFixture[str]
) -> None:
    commit(repository, "max_dokcs: 3\n")
    assert node.run(str(repository)) == ExitCode.CONFIG
    assert capsys.readouterr().err == (
        "plancton-bootstrap: the repository's config.yaml:1: unknown key 'max_dokcs'; "
        "did you mean 'max_docks'?\n"
    )
    assert list(node.confdir.parent.iterdir()) == []
    assert not node.crontab.exists()


def test_another_configuration_is_not_overwritten(
    repository: Path, node: Node, capsys: pytest.CaptureFixture[str]
) -> None:
    node.confdir.mkdir(parents=True)
    (node.confdir / "config.yaml").write_text("mine")
    assert node.run(str(repository)) == ExitCode.FAILED
    assert "move it away first" in capsys.readouterr().err
    assert (node.confdir / "config.yaml").read_text() == "mine"


@pytest.mark.parametrize("what", ["a file", "a link to nowhere"])
def test_what_is_no_directory_is_not_replaced(
    repository: Path, node: Node, capsys: pytest.CaptureFixture[str], what: str
) -> None:
    node.confdir.parent.mkdir()
    if what == "a file":
        node.confdir.touch()
    else:
        node.confdir.symlink_to("/nowhere")
    assert node.run(str(repository)) == ExitCode.FAILED
    assert f"plancton-bootstrap: {node.confdir}: cannot be used: N" in capsys.readouterr().err
    assert [path.name for path in node.confdir.parent.iterdir()] == ["plancton"]


def test_done_again_it_takes_over_what_the_repository_has_now(repository: Path, node: Node) -> None:
    assert node.run(str(repository)) == 0
    commit(repository, "engine: process\nmax_docks: 9\n")
    assert node.run(str(repository)) == 0
    assert "max_docks: 9" in (node.confdir / "config.yaml").read_text()
    assert [path.name for path in node.confdir.parent.iterdir()] == ["plancton"]


def test_done_again_it_does_not_overwrite_what_was_changed_here(
    repository: Path, node: Node, capsys: pytest.CaptureFixture[str]
) -> None:
    assert node.run(str(repository)) == 0
    (node.confdir / "config.yaml").write_text("engine: process\nmax_docks: 1\n")
    assert node.run(str(repository)) == ExitCode.FAILED
    assert "one that was changed here" in capsys.readouterr().err
    assert "max_docks: 1" in (node.confdir / "config.yaml").read_text()


def test_done_again_with_a_bad_one_the_good_one_stays(repository: Path, node: Node) -> None:
    assert node.run(str(repository)) == 0
    commit(repository, "max_dokcs: 3\n")
    assert node.run(str(repository)) == ExitCode.CONFIG
    assert (node.confdir / "config.yaml").read_text() == "engine: process\n"


def test_a_repository_that_is_not_there_is_one_clear_line(
    tmp_path: Path, node: Node, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = tmp_path / "missing"
    assert node.run(str(missing)) == ExitCode.FAILED
    told = capsys.readouterr().err
    assert told.startswith(f"plancton-bootstrap: {missing}: cannot be cloned: ")
    assert told.count("\n") == 1


# Start at boot


@pytest.mark.root
def test_where_systemd_runs_a_unit_is_installed_and_enabled(
    repository: Path, node: Node, capsys: pytest.CaptureFixture[str]
) -> None:
    node.machine.systemd.mkdir()
    assert node.run(str(repository)) == 0
    unit = node.machine.units / "plancton.service"
    assert f"planctonctl --confdir {node.confdir} nodaemon\n" in unit.read_text()
    assert node.noted.read_text().splitlines() == [
        "systemctl daemon-reload",
        "systemctl enable --quiet plancton.service",
    ]
    told = capsys.readouterr().out
    assert f"wrote {unit}\nenabled plancton.service: it starts at boot\n" in told
    assert told.endswith("start it now with: systemctl start plancton.service\n")
    assert not node.crontab.exists()


@pytest.mark.root
def test_a_directory_s_name_is_to_systemd_what_it_is_here(repository: Path, node: Node) -> None:
    node.machine.systemd.mkdir()
    node.confdir = node.confdir.with_name("a%b$c")
    assert node.run(str(repository)) == 0
    unit = (node.machine.units / "plancton.service").read_text()
    assert f"--confdir '{node.confdir.with_name('a%%b$$c')}' nodaemon\n" in unit


@pytest.mark.needs("systemd")
@pytest.mark.root
def test_the_unit_is_one_that_systemd_understands(repository: Path, node: Node) -> None:
    node.machine.systemd.mkdir()
    assert node.run(str(repository)) == 0
    unit = node.machine.units / "plancton.service"
    done = subprocess.run(
        ["/usr/bin/systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True
    )
    said = [line for line in done.stderr.splitlines() if "plancton.service" in line]
    assert said == [], done.stderr


def test_without_systemd_cron_starts_it_and_the_crontab_s_own_lines_stay(
    repository: Path, node: Node, capsys: pytest.CaptureFixture[str]
) -> None:
    node.crontab.write_text("0 5 * * * backup\n")
    for _ in range(2):
        assert node.run(str(repository)) == 0
    lines = node.crontab.read_text().splitlines()
    assert lines[0] == "0 5 * * * backup"
    assert len(lines) == 2, "done twice, it is there once"
    assert lines[1].startswith("@reboot /")
    assert lines[1].endswith(f"--confdir {node.confdir} start # plancton-bootstrap")
    assert f"put this line into the crontab: {lines[1]}\n" in capsys.readouterr().out


def test_an_ordinary_user_gets_a_line_for_cron_also_where_systemd_runs(
    repository: Path, node: Node
) -> None:
    node.machine.systemd.mkdir()
    assert node.run(str(repository), "--user") == 0
    assert " --user " in node.crontab.read_text()
    assert not node.machine.units.exists()


def test_a_crontab_that_cannot_be_read_is_not_replaced(
    repository: Path, node: Node, capsys: pytest.CaptureFixture[str]
) -> None:
    node.crontab.write_text("0 5 * * * backup\n")
    node.command("crontab", "echo 'you may not use this program' >&2; exit 1")
    assert node.run(str(repository)) == ExitCode.FAILED
    assert "crontab -l: you may not use this program" in capsys.readouterr().err
    assert node.crontab.read_text() == "0 5 * * * backup\n"


def test_without_systemd_and_cron_it_says_that_nothing_starts_at_boot(
    repository: Path,
    node: Node,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (node.commands / "crontab").unlink()
    git_program = shutil.which("git")
    assert git_program is not None
    (node.commands / "git").symlink_to(git_program)
    monkeypatch.setenv("PATH", str(node.commands))
    assert node.run(str(repository)) == ExitCode.FAILED
    captured = capsys.readouterr()
    assert "installed" in captured.out
    assert "crontab is not installed, so nothing starts Plancton at boot" in captured.err


# Dry run


def test_a_dry_run_says_what_it_would_do_and_does_nothing(
    tmp_path: Path, node: Node, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(tmp_path.rglob("*"))
    assert node.run("user/repo:dev", "--dryrun") == 0
    told = capsys.readouterr().out
    assert "would clone https://github.com/user/repo (branch dev)\n" in told
    assert f"would install it as {node.confdir}\n" in told
    assert "would put this line into your crontab: @reboot " in told
    assert sorted(tmp_path.rglob("*")) == before


def test_a_dry_run_needs_no_source_as_in_2017(
    node: Node, capsys: pytest.CaptureFixture[str]
) -> None:
    assert node.run("--dryrun") == 0
    assert capsys.readouterr().out.startswith("would clone the repository that you name ")


def test_nothing_to_install_is_a_wrong_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert bootstrap.main([]) == ExitCode.USAGE
    assert "name a configuration" in capsys.readouterr().err
