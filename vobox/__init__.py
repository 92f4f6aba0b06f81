"""The CE's side: the schedd, the condor commands and the demo CE."""
