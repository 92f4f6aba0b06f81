"""Plancton: starts pilots in the idle capacity of a node, and knows nothing of jobs."""

__version__ = "1.0.0.dev0"
