"""The node's time series: the points of one loop pass after the other."""
