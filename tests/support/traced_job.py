"""A job, or a pilot, whose child traces it, and so keeps whoever started it from waiting for it.

The child is in a session of its own and deaf. Prints 0 when it traces.
"""

import ctypes
import os
import signal
import time

PR_SET_PTRACER, ANYBODY, PTRACE_SEIZE = 0x59616D61, ctypes.c_ulong(2**64 - 1), 0x4206

libc, first = ctypes.CDLL(None, use_errno=True), os.getpid()
libc.prctl(PR_SET_PTRACER, ANYBODY, 0, 0, 0)
if os.fork() == 0:
    os.setsid()
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    print(libc.ptrace(PTRACE_SEIZE, first, 0, 0), flush=True)
time.sleep(600)
