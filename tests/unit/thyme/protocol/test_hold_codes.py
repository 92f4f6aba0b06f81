"""Hold codes are HTCondor's: its library has their names and numbers as text."""

import re
from pathlib import Path

import classad2

from thyme.protocol.hold_codes import HoldReasonCode


def test_each_code_has_the_number_that_it_has_in_htcondor() -> None:
    packages = Path(classad2.__file__).parents[1]
    (library,) = (packages / "htcondor.libs").glob("libcondor_utils*.so")
    found = re.findall(rb"\0([A-Z][A-Za-z]+) = (\d+)(?=\0)", library.read_bytes())
    numbers = {name.decode().lower(): int(number) for name, number in found}
    ours = {each.name.replace("_", "").lower(): each.value for each in HoldReasonCode}
    assert ours == {name: numbers[name] for name in ours}
