"""The node's scheduler: starts pilots in the idle rest of a node, and knows nothing of jobs."""

__version__ = "1.0.0.dev0"
