"""The schedd's SQLite file of jobs: one thread writes it, queries read snapshots of it."""
