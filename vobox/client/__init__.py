"""The condor commands as users run them: Python 3.6 and its standard library alone."""
