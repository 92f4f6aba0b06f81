"""The engines that run pilots: containers of Docker or Podman, or processes."""
