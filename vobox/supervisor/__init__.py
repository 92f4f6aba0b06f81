"""``thyme-vobox``, the VO box's entry point: keeps a CE running beside a thyme-schedd.

It uses the standard library of Python 3.6 alone, because an AliEn or JAliEn CE lives in an old
system's container whose own Python has to suffice (decision 085). For the same reason it does not
use a process supervisor from PyPI; these also know neither a CE that is started, checked and
stopped by three commands, as AliEn's is, nor waits that grow from restart to restart.

    settings     the environment, read once
    ce           how each CE is started, checked and stopped
    credentials  what X.509 files are good for, as openssl says
    renewal      a new proxy is made beside the old one and replaces it if it is better
    links        the condor commands in one directory, for the front of PATH
    processes    starts processes, waits for them, ends them
    run          waits for the schedd and the credentials, then keeps the CE running
    health       one line and an exit code
"""
