"""What the schedd knows of workers: their mail, leases, waiting times and slot ads."""
