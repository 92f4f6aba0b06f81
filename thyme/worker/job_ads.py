"""The ads that a job finds in its scratch directory, and what follows from them for the job.

HTCondor's starter writes ``.job.ad`` and ``.machine.ad`` in the format of ``condor_q -long``. A job
reads its number of CPUs and its id there, and finds the CPUs in the variables that numerical
libraries heed. ``$$(Attr)`` in arguments and environment is an attribute of the machine.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from thyme.protocol.events import HoldReason, Machine, Submit
from thyme.protocol.hold_codes import HoldReasonCode
from thyme.protocol.job import Task

from .sandbox import STDERR, STDOUT
from .start_errors import CannotStart, one_line

#: Variables that tell libraries how many threads to start (STARTER_NUM_THREADS_ENV_VARS).
THREAD_VARIABLES: Final = (
    "CUBACORES", "GOMAXPROCS", "JULIA_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS",
    "OMP_NUM_THREADS", "OMP_THREAD_LIMIT", "OPENBLAS_NUM_THREADS", "PYTHON_CPU_COUNT",
    "ROOT_MAX_THREADS", "TF_LOOP_PARALLEL_ITERATIONS", "TF_NUM_THREADS",
)  # fmt: skip
#: The most CPUs that a job is told it has, whatever it requested.
MAX_CPUS: Final = 4096

_STRING: Final = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_REFERENCE: Final = re.compile(r"\$\$\(([A-Za-z_]\w*)(?::([^()]*))?\)")
_CORE_SIZE: Final = re.compile(r"-1|[0-9]{1,18}")
_IDLE: Final = "1"
_RUNNING: Final = "2"


def count_cpus_of_job(ad: Mapping[str, str], machine: Machine | None) -> int:
    """Return how many CPUs the job may use: the pilot's, or what it requested if that is more.

    A pilot without a CPU limit counts as one CPU, and runs jobs that request more.
    """
    has = machine.cpus if machine else 1
    asked = ad.get("RequestCpus", "")
    wanted = int(asked) if asked.isascii() and asked.isdigit() and len(asked) < 10 else 0
    return max(has, min(wanted, MAX_CPUS), 1)


def get_core_size(ad: Mapping[str, str]) -> int:
    """Return the bytes that the job's core file may have (coresize), -1 for any number."""
    text = ad.get("CoreSize", "0")
    return int(text) if _CORE_SIZE.fullmatch(text) else 0


def build_machine_ad(
    ad: Mapping[str, str],
    machine: Machine | None,
    slot: str,
    now: float,
    whole_node: Mapping[str, str | int],
) -> dict[str, str]:
    """Return the ad of the slot that runs the job: attribute → ClassAd text.

    :param ad: the job's
    :param machine: what the worker offers, None where it is not known
    :param slot: ``slot1_7@node``
    :param now: epoch seconds
    :param whole_node: as ``describe_node`` returns it
    """
    node = slot.rpartition("@")[2]
    text: dict[str, str | int] = {
        "MyType": "Machine",
        "Name": slot,
        "Machine": node,
        "SlotType": "Static",
    }
    text |= {"State": "Claimed", "Activity": "Busy", "OpSys": "LINUX"}
    numbers: dict[str, float] = {"SlotID": 1, "MyCurrentTime": int(now)}
    resources = {"Cpus": count_cpus_of_job(ad, machine)}
    if machine is not None:
        text |= machine.list_system()
        resources |= {"Memory": machine.memory, "Disk": machine.disk}
        numbers |= {"LoadAvg": machine.load, "TotalLoadAvg": machine.load}
    for name, value in resources.items():
        numbers |= {name: value, f"TotalSlot{name}": value}
    text |= whole_node
    made = {
        name: _quote(value) if isinstance(value, str) else str(value)
        for name, value in text.items()
    }
    made |= {name: repr(value) for name, value in numbers.items()}
    made |= {"PartitionableSlot": "false", "DynamicSlot": "false", "HasFileTransfer": "true"}
    if "ClusterId" in ad and "ProcId" in ad:
        made["JobId"] = f'"{ad["ClusterId"]}.{ad["ProcId"]}"'
    for name, source in (("GlobalJobId", "GlobalJobId"), ("RemoteOwner", "User")):
        if source in ad:
            made[name] = ad[source]
    return made


def build_job_ad(
    job: Submit, slot: str, now: float, scratch: str, machine: Machine | None
) -> dict[str, str]:
    """Return the job's ad as it is when the job starts.

    ``slot``: ``slot1_7@node``; ``now``: epoch seconds; ``scratch``: the scratch directory;
    ``machine``: what the worker offers, None where it is not known.
    """
    start = str(int(now))
    ad = {"ClusterId": str(job.job.cluster), "ProcId": str(job.job.proc), **job.ad}
    ad.setdefault("JobStartDate", start)
    ad |= {
        "JobStatus": _RUNNING,
        "LastJobStatus": _IDLE,
        "EnteredCurrentStatus": start,
        "JobCurrentStartDate": start,
        "JobCurrentStartExecutingDate": start,
        "RemoteHost": _quote(slot),
        "CurrentHosts": "1",
    }
    if machine is not None:
        has = {"Cpus": machine.cpus, "Memory": machine.memory, "Disk": machine.disk}
        ad |= {f"{name}Provisioned": str(value) for name, value in has.items()}
    if not job.task.directory:
        # where it finds its files; what the ad said of the submit host has other names here
        there = {"Iwd": ("OrigIwd", scratch)}
        for name, stream in (("Out", STDOUT), ("Err", STDERR)):
            if name in ad and ad[name] != _quote(os.devnull):
                there[name] = (f"Original{name}", stream)
        for name, (original, value) in there.items():
            ad[original], ad[name] = ad.get(name, _quote("")), _quote(value)
    return ad


def format_ad(ad: Mapping[str, str]) -> bytes:
    """Format an ad as ``condor_q -long`` does: a line for each attribute, in alphabetical order."""
    lines = (f"{name} = {_to_old_syntax(ad[name])}\n" for name in sorted(ad, key=str.lower))
    return "".join(lines).encode("utf-8", "backslashreplace")


def complete_task(task: Task, machine: Mapping[str, str], scratch: str) -> Task:
    """Return the task with the variables for threads, and with ``$$(Attr)`` filled in.

    ``machine``: the machine ad; ``scratch``: the scratch directory, ``$$(CondorScratchDir)``.
    Raises CannotStart for an attribute that the machine does not have.
    """
    threads = dict.fromkeys(THREAD_VARIABLES, machine["Cpus"])
    known = {name.lower(): _to_value(text) for name, text in machine.items()}
    known["condorscratchdir"] = scratch

    def fill_in(text: str) -> str:
        return _REFERENCE.sub(get, text) if "$$(" in text else text

    def get(found: re.Match[str]) -> str:
        default: str | None = found[2]
        value = known.get(found[1].lower(), default)
        if value is None:
            text = one_line(f"Cannot expand $$({found[1]}): this machine does not have it")
            raise CannotStart(HoldReason(HoldReasonCode.SYSTEM_POLICY, 0, text))
        return value

    return replace(
        task,
        arguments=tuple(map(fill_in, task.arguments)),
        environment={
            **threads, **{name: fill_in(value) for name, value in task.environment.items()}
        },
    )  # fmt: skip


def _quote(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _to_old_syntax(text: str) -> str:
    """Return the expression on one line, in the old syntax: a backslash in a text is itself."""
    if "\\" in text:
        text = _STRING.sub(lambda found: found[0].replace("\\\\", "\\"), text)
    return " ".join(text.splitlines())


def _to_value(text: str) -> str:
    return text[1:-1] if text.startswith('"') else text
