"""Programs around docker-compose.yml; `make up` and related targets run `compose.manage`."""
