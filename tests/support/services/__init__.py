"""Real services for tests: started by the test set-up, on their own sockets and directories.

Each is ended by whoever started it, by pid, and leaves nothing on the machine.
"""
