"""What all programs ask of directories of a host."""
