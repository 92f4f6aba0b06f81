"""The node itself: its load, and the control group of the pilots."""
