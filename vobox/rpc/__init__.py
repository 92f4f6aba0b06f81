"""Requests of the condor commands, and the socket on which the schedd answers them."""
