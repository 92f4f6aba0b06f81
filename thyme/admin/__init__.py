"""``thyme-admin``: what an operator does to the broker, and nothing that a job's journey needs."""
