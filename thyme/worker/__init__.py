"""The pilot's program: take a job from the broker, run it, report its end."""
