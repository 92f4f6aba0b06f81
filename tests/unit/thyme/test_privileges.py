"""Rights that were given up are gone, in the threads to come, too."""

import subprocess
import sys

import pytest

#: Gives up a capability and prints the effective sets of the process and of a thread of it.
PROGRAM = """
import sys, threading
from pathlib import Path
from thyme import privileges

def effective():
    text = Path(f"/proc/thread-self/status").read_text()
    return [text.split(f"{name}:")[1].split()[0] for name in ("CapEff", "CapPrm", "CapInh")]

print(*effective())
privileges.drop_capability(int(sys.argv[1]))
print(*effective())
thread = threading.Thread(target=lambda: print(*effective()))
thread.start()
thread.join()
"""


@pytest.mark.root
@pytest.mark.parametrize("number", [0, 24, 27, 38])
def test_one_capability_is_given_up_and_no_other(number: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(number)], capture_output=True, text=True, check=True
    )
    before, after, thread = (
        [int(word, 16) for word in line.split()] for line in done.stdout.splitlines()
    )
    if not before[1] >> number & 1:
        pytest.skip(f"this machine does not give root capability {number}")
    assert after == [each & ~(1 << number) for each in before]
    assert thread == after
