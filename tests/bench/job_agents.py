"""A site's life as its stream tells it: AliEn job agents, submitted, run and delivered.

The messages are real ones, made once by condor_submit's own code out of AliEn's
description, and then written again for each job with its numbers: making a
million of them must not be what a bench measures.
"""

import os
from collections.abc import Iterator
from dataclasses import replace

from tests.support.fake_submit_host import FakeSubmitHost, make_proxy
from thyme.protocol import codec
from thyme.protocol.events import Delivered, Evicted, Finished, Message, Started, Submit, Usage
from thyme.protocol.job import JobId
from vobox.classad.ad import quote
from vobox.rpc.types import PreparedJob

SCHEDD = "vobox1.example.org"
POOL = "alien_jobs"
#: Seconds of the wall clock at which the first job is submitted, and between two of them.
BEGIN, STEP = 1795353912, 1
#: How many jobs wait, and how many run, while the next one is submitted.
WAITING, RUNNING = 1_000, 4_000
#: One job of so many is evicted by its node's owner and runs a second time.
EVICTED = 25

#: What AliEn's HTCONDOR.pm writes (contract, section 7), for the vanilla universe; but a log
#: that can be written on this machine, too.
DESCRIPTION = r"""
cmd = /home/alice/work/agent.startup.@JOB@
output = /home/alice/log/@JOB@.out
error = /home/alice/log/@JOB@.err
log = /dev/null
universe = vanilla
+WantJobRouter = True
job_lease_duration = 7200
ShouldTransferFiles = YES
+WantExternalCloud = True
+TransferOutput = ""
periodic_hold = \
    ( JobStatus == 1 && CurrentTime - EnteredCurrentStatus > 604800 ) || \
    ( NumJobStarts > 9 )
periodic_remove = CurrentTime - QDate > 172800 * 7
use_x509userproxy = true
environment = "ALIEN_CM_AS_LDAP_PROXY=vobox1.example.org:8084 ALIEN_JOBAGENT_ID=@JOB@ CE_NAME=S1"
queue 1
"""
_JOB, _NOW, _WORKER = 987654, 1695353912.25, "worker.7f3a9c.node0042"
#: When condor_submit made the job (``tests/support/fake_submit_host.py``).
_MADE = b"1700000000"
_SCRIPT = b"#!/bin/bash\n" + b"".join(
    b"export ALIEN_VARIABLE_%03d=%d\n" % (n, n * n) for n in range(100)
)


def prepared(owner: str) -> PreparedJob:
    """Return the job that condor_submit makes of AliEn's description."""
    host = FakeSubmitHost(
        {
            f"/home/alice/work/agent.startup.{_JOB}": _SCRIPT,
            "/tmp/x509up_u1000": make_proxy(),
            "/home/alice/log/x": b"",
        }
    )
    host.target.clusters = _JOB
    job = host.make_job(DESCRIPTION.replace("@JOB@", str(_JOB)))
    # users ask for their own jobs
    job.ad["Owner"], job.ad["User"] = quote(owner), quote(f"{owner}@{SCHEDD}")
    return job


class JobAgents:
    """Makes the messages of any number of job agents."""

    def __init__(self, owner: str = "alice", schedd: str = SCHEDD, begin: float = BEGIN) -> None:
        """Begin at ``begin``, the epoch seconds at which the first job is submitted.

        Their policies remove jobs that wait for 14 days.
        """
        self._begin = begin
        job, made = JobId(_JOB, 0), prepared(owner)
        ad = dict(made.ad.items())
        # a schedd that is not root writes the logs of its own user's jobs alone
        ids = (1000, 1000) if os.geteuid() == 0 else (os.geteuid(), os.getegid())
        life = "a1"
        submit = Submit(schedd, job, _NOW, POOL, *ids, 0, ad, made.task, life=life)
        host = f"slot1_1@{_WORKER}"
        usage = Usage(15021.5, 120.25, 18000.0, 1_900_000)
        result = (0, None, usage, b"Job agent ended.\n" * 20, b"", (), None)
        run, next_run = ((schedd, job, _NOW, attempt, _WORKER, host) for attempt in (0, 1))
        kinds: dict[str, Message] = {
            "submit": submit,
            "submit1": replace(submit, attempt=1, ad={}),
            "started": Started(*run, life=life),
            "started1": Started(*next_run, life=life),
            "finished": Finished(*run, *result, life=life),
            "finished1": Finished(*next_run, *result, life=life),
            "evicted": Evicted(*run, "the owner is back", usage, life=life),
            "delivered": Delivered(schedd, job, _NOW),
        }
        self._parts = {
            kind: [
                [moment.split(_MADE) for moment in part.split(str(_NOW).encode())]
                for part in codec.encode(message).split(str(_JOB).encode())
            ]
            for kind, message in kinds.items()
        }

    def message(self, kind: str, job: int, now: float) -> bytes:
        """Return the bytes of a message of that kind, about that job."""
        when, made = b"%.2f" % now, b"%d" % now
        return (b"%d" % job).join(
            when.join(made.join(moment) for moment in part) for part in self._parts[kind]
        )

    def life(self, jobs: int, waiting: int = WAITING, running: int = RUNNING) -> Iterator[bytes]:
        """All that happens to so many jobs, in order; at the end some wait and some run."""
        for step in range(jobs):
            now = self._begin + step * STEP
            yield self.message("submit", 1 + step, now)
            began = 1 + step - waiting
            if began > 0:
                yield self.message("started", began, now + 0.25)
                if began % EVICTED == 0:
                    yield self.message("evicted", began, now + 0.5)
                    yield self.message("submit1", began, now + 0.5)
                    yield self.message("started1", began, now + 0.75)
            ended = began - running
            if ended > 0:
                again = "1" if ended % EVICTED == 0 else ""
                yield self.message("finished" + again, ended, now + 0.75)
                yield self.message("delivered", ended, now + 0.8)
