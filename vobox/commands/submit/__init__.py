"""The server's side of condor_submit: from a description to the ads and tasks of its jobs.

options      the command line
lines        text → logical lines with their numbers
description  logical lines → what each queue statement sees
macros       ``$(X)`` and ``$FN(...)``
queue        the queue statement and its items
commands     what one job reads of the description
job          commands → ad and task
command      the whole of it, and what is printed
"""
