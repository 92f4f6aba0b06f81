"""The configuration: its keys, the file, and reloading it while the daemon runs."""
