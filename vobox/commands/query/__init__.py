"""The schedd's side of the commands that ask: condor_q, condor_history, condor_status.

Each command is one module with ``answer(request, view, now)``: a pure function
of what was asked, of the ledger's view and of the wall clock. What they share
lies in modules of one idea each: options, selection, expressions, print mask,
formats, tables.
"""
