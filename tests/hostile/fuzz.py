"""Fuzz one parser by coverage, by hand: ``python -m tests.hostile.fuzz TARGET [atheris options]``.

Needs atheris (``pip install atheris``), which is not installed with the tests. Options are
libFuzzer's, for example ``-max_total_time=600`` and a directory of inputs. Without arguments it
prints the targets.
"""

import sys


def main(argv: list[str]) -> int:
    """Run the target; returns the exit code."""
    import atheris

    with atheris.instrument_imports(include=["vobox", "thyme", "plancton"]):
        from tests.support import fuzz_targets
    if len(argv) < 2 or argv[1] not in fuzz_targets.TARGETS:
        print("targets: " + ", ".join(fuzz_targets.TARGETS))
        return 6
    name = argv[1]
    atheris.Setup([argv[0], *argv[2:]], lambda data: fuzz_targets.run(name, data))
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
