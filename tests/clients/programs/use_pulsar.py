"""pulsar's (and Galaxy's) helpers for HTCondor: submit, follow the log, stop."""

import json
import sys
from pathlib import Path

from pulsar.managers.util.condor import (
    build_submit_description,
    condor_stop,
    condor_submit,
    summarize_condor_log,
)
from waiting import wait_until


def submit(name: str, command: str) -> tuple[str, str]:
    script = Path(f"{name}.sh").absolute()
    script.write_text(f"#!/bin/sh\n{command}\n")
    script.chmod(0o755)
    log = Path(f"{name}.log").absolute()
    log.touch()
    text = build_submit_description(
        str(script), f"{name}.out", f"{name}.err", str(log), {"request_memory": "64"}
    )
    file = Path(f"{name}.submit")
    file.write_text(text)
    job, problem = condor_submit(str(file))
    assert job, problem
    return job, str(log)


def follow(job: str, log: str, *wanted: int) -> list[bool]:
    """Follow a log until the ``wanted`` of started, evicted, failed, ended, aborted are true."""
    return wait_until(
        lambda: list(summarize_condor_log(log, job))[:5],
        lambda seen: all(seen[number] for number in wanted),
    )


good, good_log = submit("good", "echo $HOME")
long, long_log = submit("long", "sleep 1000")
found = {"good": follow(good, good_log, 0, 3), "running": follow(long, long_log, 0)}
found["stop"] = condor_stop(long)
found["stopped"] = follow(long, long_log, 0, 4)
found["again"] = condor_stop(long)
json.dump(found, sys.stdout)
