"""What goes through the broker: job messages, events, mail and their encoding."""
