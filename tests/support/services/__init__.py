"""Real services for tests, on their own sockets and in their own directories.

Each is ended by the test that started it, by pid, and leaves nothing on the machine.
"""
