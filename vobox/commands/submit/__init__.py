"""The schedd's side of condor_submit: from a description to the ads and tasks of its jobs.

condor_submit  the whole command
options        its command line
logical_lines  the text as logical lines with their numbers
description    the assignments that each queue statement sees
macros         ``$(X)`` and ``$FN(...)``
queue          the queue statement and its items
job_commands   the commands of one job, expanded
job            the ad and the task of one job; each kind of command has a module of its own

Deliberate differences from HTCondor: a description without a queue statement is refused; one
submit is one cluster, even if the executable changes; input files are read at submit and travel
in the job's message; ``+Owner`` and other attributes of the schedd are refused; ``$$(Attr)``
needs a default.
"""
