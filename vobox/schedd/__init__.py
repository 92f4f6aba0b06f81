"""The schedd's main loop: read the stream, keep the ledger, act on jobs and policy."""
