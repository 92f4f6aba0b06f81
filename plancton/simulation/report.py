"""The result of a simulation for people: a table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from .result import SimulationResult


def list_rows(results: Mapping[str, SimulationResult]) -> Iterator[tuple[str, ...]]:
    """Yield the rows of the table: what it is, and its value for each of the results."""
    found = list(results.values())
    reasons = sorted({reason for one in found for reason in one.thrown_cpu})

    def percent(name: str, values: Sequence[float]) -> tuple[str, ...]:
        cells = (f"{one.share(value):.1%}" for one, value in zip(found, values, strict=True))
        return name, *cells

    def count(name: str, values: Sequence[int]) -> tuple[str, ...]:
        return name, *map(str, values)

    yield percent("finished", [one.finished_cpu for one in found])
    yield percent("under way at the end", [one.running_cpu for one in found])
    yield percent("thrown away", [one.thrown for one in found])
    for reason in reasons:
        yield percent(f"  {reason}", [one.thrown_cpu.get(reason, 0.0) for one in found])
    yield percent("left idle", [one.unused_cpu for one in found])
    yield (
        "owner squeezed by",
        *(f"{one.owner_squeezed / (one.owner_cpu or 1.0):.1%}" for one in found),
    )
    yield count("pilots started", [one.started for one in found])
    yield count("jobs finished", [one.finished for one in found])
    yield count("pilots ended early", [one.evicted for one in found])
    yield count("found no job", [one.no_work for one in found])


def summarize(result: SimulationResult, ncpus: int) -> str:
    """Return what was simulated, in one line."""
    return (
        f"nodes: {result.nodes}, each with {ncpus} CPU{'s' * (ncpus != 1)}; "
        f"{result.duration / 86400:.2f} node-days; "
        f"the owner left {result.idle_cpu / 3600:.1f} CPU-hours"
    )
