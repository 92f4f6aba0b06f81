"""The schedd's side of condor_q, condor_history and condor_status.

Each command is one module with ``answer(request, view, now)``: a pure function
of what was asked, of the ledger's view and of the wall clock. What they share
lies in modules of one idea each: options, selection, print mask, renderers,
formats, tables.

Clients parse these commands' output, so an option that would change the answer and is not
implemented is refused with exit code 1. When the ledger may be out of date, the commands say so
on stderr; plain ``condor_q`` then exits with 1 and ``condor_status -schedd`` prints nothing,
because CEs submit by these.
"""
