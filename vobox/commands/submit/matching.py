"""``$$(Attr)``: text that HTCondor fills in from the machine's ad when the job starts.

Our pilots have no machine ad, so only a default can be filled in.
"""

from __future__ import annotations

import re

from .errors import submit_error

_REFERENCE = re.compile(r"\$\$\(\[?([^:()\]]*)(?::([^()]*))?\]?\)")


def fill_machine_defaults(command: str, text: str) -> str:
    """``text`` as the job gets it; raises SubmitError where only a machine ad could tell."""

    def value(found: re.Match[str]) -> str:
        if found[2] is None:
            raise submit_error(
                f"{command} = {text}: {found[0]} is an attribute of the machine, which pilots "
                f"do not have; give a default: $$({found[1]}:value)"
            )
        return found[2]

    return _REFERENCE.sub(value, text) if "$$(" in text else text
