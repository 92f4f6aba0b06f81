"""What `make demo` and `make test` install before they begin; tests themselves install nothing."""
