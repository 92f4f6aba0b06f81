"""Manual pages and completion scripts, made from the programs' own help when a wheel is built."""
