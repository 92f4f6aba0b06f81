"""Pilots as containers of Docker or Podman."""
