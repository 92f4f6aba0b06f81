"""The VO box's entry point: what runs a CE beside a thyme-schedd, in the CE's own container.

It needs the standard library alone and stays within Python 3.6, because an AliEn or JAliEn CE
lives in an old system's container whose own Python has to do (decision 085).

    settings     the environment, read once
    plan         state and clock to actions; pure
    ce           how each CE is started, looked at and stopped
    credentials  what X.509 files are good for, as openssl says
    renewal      a proxy is made beside the old one, and takes its place when it is better
    links        the condor commands in one directory, for the front of PATH
    tasks        processes: the one way out
    loop         observe, plan, act; PID 1's duties
    health       one line and an exit code
"""
