"""The lanes of a job queue: which one a job waits in, and in which order a worker looks at them."""
