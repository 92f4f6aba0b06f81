"""The daemon: its loop, its process, and what it publishes."""
