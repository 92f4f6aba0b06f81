"""Install a configuration, and start Plancton when the node boots."""
