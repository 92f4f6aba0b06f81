"""Python environments that cannot be made: one line says why and what to do."""

import os
from pathlib import Path

import pytest

from tests.setup import environments
from tests.setup.environments import build, check_owner
from tests.setup.steps import SetupError
from tests.support.services.rabbitmq import free_port


@pytest.fixture
def logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(environments, "PLACE", tmp_path / "logs")
    return tmp_path / "logs"


def test_without_an_index_the_error_names_it_and_the_setting(
    tmp_path: Path, logs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = f"http://127.0.0.1:{free_port()}/simple"  # nobody listens
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", index)

    with pytest.raises(SetupError) as caught:
        build(tmp_path / "a place" / "env", [["no-such-package-of-ours"]])

    said = str(caught.value)
    assert said.startswith(f"packages cannot be fetched from {index} (PIP_INDEX_URL): ")
    assert said.endswith(f"the log: {logs / 'env.log'}")
    assert "\n" not in said
    assert "no-such-package-of-ours" in (logs / "env.log").read_text()


def test_a_directory_that_is_no_environment_is_left_as_it_is(tmp_path: Path, logs: Path) -> None:
    (tmp_path / "thesis.tex").touch()

    with pytest.raises(SetupError, match="holds files that are no Python environment"):
        build(tmp_path, [["x"]])

    assert (tmp_path / "thesis.tex").exists()


def test_what_belongs_to_another_user_is_named_with_its_owner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".venv").mkdir()
    # root may write everywhere
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path / ".venv")

    with pytest.raises(SetupError) as caught:
        check_owner(tmp_path, tmp_path / "not there", tmp_path / ".venv")

    owner = tmp_path.owner()
    assert str(caught.value) == (
        f"{tmp_path}/.venv belongs to {owner}, and {owner} cannot write in it: "
        f"as {owner}, remove it (rm -r '{tmp_path}/.venv'), and run make again"
    )
