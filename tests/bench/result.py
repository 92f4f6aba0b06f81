"""What one bench says."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Result:
    """``ratio`` is value by reference, measured side by side; ``goal`` is about it, in words."""

    what: str
    value: float
    unit: str
    reference: str
    ratio: float
    goal: str
    met: bool


def compare_with_htcondor(what: str, value: float, htcondor: float, limit: float = 1.0) -> Result:
    """Return the result of something that HTCondor does, too.

    Args:
        what: was measured.
        value: seconds that it took.
        htcondor: seconds that HTCondor 25.14 took on two cores.
        limit: how many times as long as HTCondor it may take.
    """
    ratio = value / htcondor
    return Result(
        what=what,
        value=value,
        unit="s",
        reference=f"{htcondor:g} s, HTCondor 25.14 on two cores",
        ratio=ratio,
        goal=f"<= {limit:g} × HTCondor",
        met=ratio <= limit,
    )
