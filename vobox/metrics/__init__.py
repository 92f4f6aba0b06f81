"""The schedd's time series: the points, and the thread that sends them."""
