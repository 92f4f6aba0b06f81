"""A node's last day, kept on the node: a ring file, and the page made from it."""
