"""Batch clients, real ones and callers after their source, against a live schedd."""
