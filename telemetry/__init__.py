"""Time series: what a point is, and how points reach InfluxDB without anybody waiting.

A package of its own, since the node's scheduler and the VO box both send and must
not import one another. It knows
nothing of pilots or jobs; what is sent is declared beside what it tells of
(``plancton/metrics/series.py``).
"""
