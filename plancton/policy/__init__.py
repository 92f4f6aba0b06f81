"""The policy: pure functions that decide what to start and stop."""
