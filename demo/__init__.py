"""`make demo`: a whole site on this machine, with faults, and a check of every job."""
