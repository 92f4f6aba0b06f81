"""Simulate nodes on a virtual clock: owners' traces, jobs of real lengths, and the real policy."""
