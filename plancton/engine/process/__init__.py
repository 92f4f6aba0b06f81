"""Pilots as processes of the daemon's user."""
