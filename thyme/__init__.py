"""Jobs as messages, the brokers that carry them, and the worker that runs them."""
