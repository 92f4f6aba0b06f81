"""What all programs ask of the files of a host."""
