"""The node's last day: a ring file with a row a minute, and a page made of it."""
