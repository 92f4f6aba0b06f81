"""plancton-bootstrap with real git repositories on this disk."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from plancton import bootstrap
from plancton.bootstrap import Source
from plancton.errors import BadUsage, ExitCode


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
        ("user/repo", Source("https://github.com/user/repo", None)),
        ("user/repo:to-infn/dev", Source("https://github.com/user/repo", "to-infn/dev")),
        ("https://host/x.git", Source("https://host/x.git", None)),
        ("git@host:x/y.git", Source("git@host:x/y.git", None)),
        ("/srv/conf.git", Source("/srv/conf.git", None)),
    ],
)
def test_a_source_is_short_for_github_or_any_url(text: str, source: Source) -> None:
    assert Source.parse(text) == source


@pytest.mark.parametrize("text", ["user", "", "--upload-pack=x", "ext::sh -c id", "a b/c"])
def test_what_is_no_source_is_refused(text: str) -> None:
    with pytest.raises(BadUsage):
        Source.parse(text)


def test_a_good_configuration_is_installed(
    repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = tmp_path / "etc" / "plancton"
    assert bootstrap.main([str(repository), "--confdir", str(where)]) == 0
    assert (where / "config.yaml").read_text() == "engine: process\n"
    assert "does not start at boot" in capsys.readouterr().out
    assert [path.name for path in where.parent.iterdir()] == ["plancton"]


def test_a_branch_is_taken_when_named(repository: Path, tmp_path: Path) -> None:
    git(repository, "switch", "--quiet", "--create", "other")
    commit(repository, "engine: process\nmax_docks: 9\n")
    git(repository, "switch", "--quiet", "main")
    where = tmp_path / "conf"
    assert bootstrap.main([str(repository), "--branch=other", f"--confdir={where}"]) == 0
    assert "max_docks: 9" in (where / "config.yaml").read_text()


def test_a_bad_configuration_is_not_installed(
    repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    commit(repository, "max_dokcs: 3\n")
    where = tmp_path / "etc" / "plancton"
    assert bootstrap.main([str(repository), f"--confdir={where}"]) == ExitCode.CONFIG
    assert "did you mean 'max_docks'?" in capsys.readouterr().err
    assert list(where.parent.iterdir()) == []


def test_a_configuration_that_is_there_is_not_overwritten(
    repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = tmp_path / "conf"
    where.mkdir()
    (where / "config.yaml").write_text("mine")
    assert bootstrap.main([str(repository), f"--confdir={where}"]) == ExitCode.FAILED
    assert "holds a configuration already; move it away first" in capsys.readouterr().err
    assert (where / "config.yaml").read_text() == "mine"


def test_a_repository_that_is_not_there_is_one_clear_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = tmp_path / "missing"
    assert bootstrap.main([str(missing), f"--confdir={tmp_path}/conf"]) == ExitCode.FAILED
    told = capsys.readouterr().err
    assert told.startswith(f"plancton-bootstrap: {missing}: cannot be cloned: ")
    assert told.count("\n") == 1


def test_a_dry_run_says_what_it_would_do_and_does_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = tmp_path / "conf"
    assert bootstrap.main(["user/repo:dev", "--dryrun", f"--confdir={where}"]) == 0
    told = capsys.readouterr().out
    assert "would clone https://github.com/user/repo (branch dev)\n" in told
    assert f"would install it as {where}\n" in told
    assert not where.exists()


def test_nothing_to_install_is_a_wrong_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert bootstrap.main([]) == ExitCode.USAGE
    assert "name a configuration" in capsys.readouterr().err
