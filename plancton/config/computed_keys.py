"""Compute the keys that depend on the node: ``max_docks`` and ``pilots_memory``."""

from __future__ import annotations

from plancton.model import HostFacts

from .expressions import compute
from .model import Config


def max_docks(config: Config, facts: HostFacts) -> int:
    """Return the most pilots at once.

    Raises BadExpression, which cannot happen with a checked configuration.
    """
    if isinstance(config.max_docks, int):
        return max(0, config.max_docks)
    return compute(config.max_docks, list_numbers(config, facts))


def pilots_memory(config: Config, facts: HostFacts) -> int:
    """Return the most bytes for all pilots together; 0: no limit.  Raises BadExpression."""
    if isinstance(config.pilots_memory, int):
        return max(0, config.pilots_memory)
    values = {**list_numbers(config, facts), "mem_reserve": config.mem_reserve}
    return compute(config.pilots_memory, values)


def list_numbers(config: Config, facts: HostFacts) -> dict[str, int]:
    """Return the numbers that every expression may use, by name."""
    return {
        "ncpus": facts.ncpus,
        "ram_bytes": facts.ram_bytes,
        "swap_bytes": facts.swap_bytes,
        "max_dock_mem": config.max_dock_mem,
        "max_dock_swap": config.max_dock_swap,
    }
