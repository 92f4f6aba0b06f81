"""The users' files on the submit host, opened and written with their owners' rights."""
