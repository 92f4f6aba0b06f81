"""What a submit had in memory is free when it ends, not when the garbage collector comes by.

The collector comes once in thousands of new objects, and the files of a submit are few: 128 MB of
them stayed in memory for as long as nothing else happened.
"""

import gc
from collections.abc import Iterator

import pytest

from tests.support.fake_submit_host import CWD, FakeSubmitHost

FILES = {f"{CWD}/inc": b"y = 2\n", f"{CWD}/in": b"input"}
JOB = "executable = agent.sh\ntransfer_input_files = in\n"


@pytest.fixture(autouse=True)
def kept_garbage() -> Iterator[list[object]]:
    """Keep what only the collector frees, of what is made within the test."""
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    yield gc.garbage
    gc.set_debug(0)
    gc.garbage.clear()
    gc.enable()


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (JOB + "queue 3", 0),
        (JOB + "arguments = $(Process) $(x)\nrequirements = Memory > $(x)\nqueue x in (1 2)", 0),
        (JOB + "include : inc\nif defined y\nperiodic_hold = $(y) == 2\nendif\nqueue", 0),
        (JOB + "transfer_input_files = http://x/y\nqueue 2", 1),
        (JOB + "transfer_input_files = $(Process), in, absent\nqueue 2", 0),
        (JOB + "requirements = ( a\nqueue", 1),
        (JOB + "include : absent\nqueue", 1),
        (JOB + "a = $(b)\nb = $(a)\narguments = $(a)\nqueue", 1),
        (JOB + "x = (\nqueue x in (", 1),
    ],
)
def test_a_submit_leaves_no_garbage(kept_garbage: list[object], text: str, code: int) -> None:
    host = FakeSubmitHost(FILES)
    assert host.submit(text).code == code, host.submit(text).stderr
    gc.collect()
    ours = [
        each for each in kept_garbage if type(each).__module__.startswith("vobox.commands.submit")
    ]
    assert ours == []
