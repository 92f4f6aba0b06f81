"""The schedd's side of the condor commands; each module answers the command of its name."""
