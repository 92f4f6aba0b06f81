"""The embedded broker: queues, stream and inboxes in one SQLite file of this machine."""
