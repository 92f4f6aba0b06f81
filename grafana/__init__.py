"""Makes what Grafana is provisioned with, and shows it without Grafana."""
