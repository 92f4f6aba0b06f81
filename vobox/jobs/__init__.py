"""A job's state, and the pure functions that decide how events and policy change it."""
