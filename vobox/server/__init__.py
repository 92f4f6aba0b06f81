"""The program ``thyme-schedd``: start the schedd and answer the condor commands."""
