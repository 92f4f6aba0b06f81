"""The job, its journey and its worker."""
