"""The server's side of condor_submit: from a description to the ads and tasks of its jobs.

options      the command line
lines        text → logical lines with their numbers
description  logical lines → what each queue statement sees
macros       ``$(X)`` and ``$FN(...)``
queue        the queue statement and its items
commands     what one job reads of the description
job          commands → ad and task
command      the whole of it, and what is printed

Deliberate differences from HTCondor: a description without a queue statement is refused; one
submit is one cluster, even if the executable changes; input files are read at submit and travel
in the job's message; ``+Owner`` and other attributes of the schedd are refused; ``$$(Attr)``
needs a default.
"""
