"""Programs around docker-compose.yml; `make up` and its like run `compose.manage`."""
