"""Real batch clients, and the command lines of others, with a live schedd."""
