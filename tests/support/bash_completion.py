"""What bash offers with a completion script of ours."""

import shlex
import subprocess
from collections.abc import Sequence


def complete(script: str, words: Sequence[str]) -> set[str]:
    """Return what bash offers for the last of these words, of which the first is the program."""
    line = " ".join(map(shlex.quote, words))
    function = "_" + words[0].replace("-", "_")
    done = subprocess.run(
        ["bash", "-uc", f"{script}\nCOMP_WORDS=({line}); COMP_CWORD={len(words) - 1}\n"
         f'{function}; printf "%s\\n" "${{COMPREPLY[@]}}"'],
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    return set(done.stdout.split())
