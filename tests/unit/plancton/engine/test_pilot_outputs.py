"""What ended pilots printed: bounded in bytes and in number, and no path comes out of a name."""

import os
from pathlib import Path

import pytest

from plancton.engine.pilot_outputs import OUTPUT_KEPT, OUTPUTS_KEPT, PilotOutputs, read_end


def test_the_end_is_kept_and_the_oldest_are_forgotten(tmp_path: Path) -> None:
    outputs = PilotOutputs(tmp_path)
    names = [f"plancton-worker-{number:06}" for number in range(OUTPUTS_KEPT + 3)]
    for number, name in enumerate(names):
        outputs.keep(name, b"x" * OUTPUT_KEPT + b"end of %d" % number)
        os.utime(tmp_path / f"{name}.log", (number, number))

    assert len(outputs.list_names()) == OUTPUTS_KEPT == 50
    assert outputs.list_names() == names[3:]
    kept = outputs.read(names[-1])
    assert kept is not None
    assert len(kept) == OUTPUT_KEPT and kept.endswith(b"xend of 52")
    assert outputs.read(names[0]) is None


def test_a_pilot_that_printed_nothing_takes_no_place(tmp_path: Path) -> None:
    outputs = PilotOutputs(tmp_path / "outputs")
    outputs.keep("plancton-worker-abcdef", b"")
    assert outputs.list_names() == [] and not (tmp_path / "outputs").exists()


def test_a_name_that_is_a_path_is_not_followed(tmp_path: Path) -> None:
    outputs = PilotOutputs(tmp_path / "outputs")
    (tmp_path / "outputs/plancton-worker-").mkdir(parents=True)
    for file in ("secret.log", "outputs/secret.log", "outputs/.log"):
        (tmp_path / file).write_text("secret")
    for name in ("../secret", "plancton-worker-/../../secret", "secret", ""):
        assert (tmp_path / "outputs" / f"{name}.log").read_text() == "secret"
        assert outputs.read(name) is None


def test_an_output_that_is_forgotten_during_the_list_does_not_end_it(tmp_path: Path) -> None:
    outputs = PilotOutputs(tmp_path)
    outputs.keep("plancton-worker-abcdef", b"text")
    (tmp_path / "plancton-worker-gone.log").symlink_to(tmp_path / "not there")
    assert outputs.list_names() == ["plancton-worker-abcdef"]


def test_a_pipe_that_a_pilot_made_of_its_output_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "output")
    with pytest.raises(OSError, match="is not a regular file"):
        read_end(tmp_path / "output")


def test_the_end_of_a_large_file_is_read(tmp_path: Path) -> None:
    file = tmp_path / "output"
    file.write_bytes(b"a" * OUTPUT_KEPT + b"b")
    assert read_end(file) == b"a" * (OUTPUT_KEPT - 1) + b"b"
