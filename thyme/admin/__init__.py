"""``thyme-admin``: the broker's users, queues and dead letters. No other program needs it."""
