"""The schedd's side of the lesser condor commands; each module answers the command of its name."""
