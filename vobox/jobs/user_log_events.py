r"""Format the events of HTCondor's user log (text format), one function for each event.

The contract is what the real ``htcondor2.JobEventLog`` reads and what
text scanners look for: a header ``NNN (CCC.PPP.000) YYYY-MM-DD HH:MM:SS``,
the text, and a closing line ``...``. Times are local, as HTCondor's are.
"""

from __future__ import annotations

import functools
import re
import time

from thyme.protocol.events import Finished, HoldReason, Machine, NotCompleted, Usage
from thyme.protocol.job import JobId
from vobox.classad.ad import Ad

from .ad_updates import count_bytes_sent


def format_submit(job: JobId, now: float, ad: Ad) -> str:
    """Format event 000, the job was submitted.

    ``now``: epoch seconds. As HTCondor's: the notes of the description are left out where
    attributes are named.
    """
    words = re.findall(r"\w+", ad.text("SubmitEventNotesAttrs"))
    # each once, in whatever case: one who names a long attribute often gets no longer line
    names: dict[str, str] = {}
    for name in [*words, "JobBatchName"]:
        names.setdefault(name.lower(), name)
    values = [f"{name} = {_line(text)}" for name in names.values() if (text := ad.get(name))]
    notes = f"[ {'; '.join(values)} ]" if values else ad.text("SubmitEventNotes")
    lines = "".join(
        f"    {_line(text)}\n" for text in (notes, ad.text("SubmitEventUserNotes")) if text
    )
    return _event(0, job, now, f"Job submitted from host: {_submit_host(ad)}\n{lines}")


def format_execute(job: JobId, now: float, host: str, machine: Machine | None = None) -> str:
    """Format event 001, a run began.

    ``now``: epoch seconds; ``host``: the slot and the node, ``slot1_12@node``; ``machine``: what
    it offers, None if that is not known.
    """
    host = _line(host)
    slot, _, node = host.partition("@")
    text = f"Job executing on host: <{node or slot}:0>\n\tSlotName: {host}\n"
    if machine is not None:
        text += f"\tCpus = {machine.cpus}\n\tDisk = {machine.disk}\n\tMemory = {machine.memory}\n"
    return _event(1, job, now, text)


def format_evicted(job: JobId, now: float, usage: Usage, cause: HoldReason, ad: Ad) -> str:
    """Format event 004, the end of a run before its time.

    ``now``: epoch seconds; ``usage``: as far as it is known; ``cause``: of the vacate or of the
    hold, code 0: none; ``ad``: says what the run requested and had.
    """
    codes = f" Code {cause.code} Subcode {cause.subcode}" if cause.code else ""
    return _event(
        4,
        job,
        now,
        f"Job was evicted.{codes}\n\t(0) CPU times\n{_usage(usage, 'Run')}"
        f"\t0  -  Run Bytes Sent By Job\n\t{usage.received}  -  Run Bytes Received By Job\n"
        f"\tReason: {_line(cause.text)}\n{_format_resources(usage, now, ad)}",
    )


def format_remote_error(job: JobId, now: float, host: str, hold: HoldReason) -> str:
    """Format event 021, a worker could not run the job or fetch its output.

    ``now``: epoch seconds; ``host``: its slot; ``hold``: why the job is held.
    """
    reason = hold.text.removeprefix(f"Error from {host}: ")
    text = f"Error from starter on {_line(host)}:\n\t{_line(reason)}\n"
    return _event(21, job, now, f"{text}\tCode {hold.code} Subcode {hold.subcode}\n")


def format_attribute_update(job: JobId, now: float, name: str, old: str, new: str) -> str:
    """Format event 033, an attribute has a new value; ``old``, ``new``: ClassAd text.

    ``now``: epoch seconds.
    """
    text = f"Changing job attribute {name} from {_line(old)} to {_line(new)}\n"
    return _event(33, job, now, text)


def format_requeued(job: JobId, event: NotCompleted, ad: Ad) -> str:
    """Format the end of a program that is to run again.

    HTCondor's readers stop at an event that lacks the line about the termination.
    """
    sent = int(_number(ad, "BytesSent"))
    return _event(
        4,
        job,
        event.time,
        "Job was evicted.\n\t(0) Job terminated and was requeued\n"
        f"{_usage(event.usage, 'Run')}"
        f"\t{sent}  -  Run Bytes Sent By Job\n"
        f"\t{event.usage.received}  -  Run Bytes Received By Job\n"
        f"\t{_termination(event, ad)}\n\t{_line(event.reason)}\n",
    )


def format_terminated(job: JobId, event: Finished, ad: Ad) -> str:
    """Format event 005, the job ended by itself; ``ad``: as it is after that.

    Its time is CompletionDate, which is by the schedd's clock.
    """
    now = ad.number("CompletionDate", int(event.time))
    total = Usage(_number(ad, "CumulativeRemoteUserCpu"), _number(ad, "CumulativeRemoteSysCpu"))
    sent, received = count_bytes_sent(event), event.usage.received
    all_sent, all_received = (int(_number(ad, name)) for name in ("BytesSent", "BytesRecvd"))
    return _event(
        5,
        job,
        now,
        f"Job terminated.\n\t{_termination(event, ad)}\n"
        f"{_usage(event.usage, 'Run')}{_usage(total, 'Total')}"
        f"\t{sent}  -  Run Bytes Sent By Job\n\t{received}  -  Run Bytes Received By Job\n"
        f"\t{all_sent}  -  Total Bytes Sent By Job\n"
        f"\t{all_received}  -  Total Bytes Received By Job\n"
        f"{_format_resources(event.usage, now, ad)}",
    )


def _format_resources(used: Usage, now: float, ad: Ad) -> str:
    """Format what was used, requested and provided; what is not known stays blank."""
    cpu = used.user_cpu + used.system_cpu
    busy = int(now) - ad.number("JobCurrentStartDate", int(now))
    usages = {
        "Cpus": f"{cpu / used.wall:.2f}" if used.wall > 0 else "",
        "Disk": str(used.disk) if used.disk else "",
        "Memory": str((used.peak_rss + 1023) // 1024) if used.peak_rss else "",
    }
    rows = ["\tPartitionable Resources :    Usage  Request Allocated \n"]
    for name, label in (("Cpus", "Cpus"), ("Disk", "Disk (KB)"), ("Memory", "Memory (MB)")):
        asked, has = (_digits(ad, text) for text in (f"Request{name}", f"{name}Provisioned"))
        rows.append(f"\t   {label:20} : {usages[name]:>8} {asked:>8} {has:>9} \n")
    executed = str(int(used.wall)) if used.wall > 0 else ""
    for label, seconds in (("TimeExecute (s)", executed), ("TimeSlotBusy (s)", max(busy, 0))):
        rows.append(f"\t   {label:20} : {seconds:>8} {'':>8} {'':>9} \n")
    return "".join(rows)


def _digits(ad: Ad, name: str) -> str:
    """Return the attribute where it is a plain number, or names one that is, else ""."""
    text = ad.get(name, "")
    text = ad.get(text, text)  # RequestDisk is DiskUsage where a job does not say it
    return text if text.isascii() and text.isdigit() else ""


def format_aborted(job: JobId, now: float, reason: str) -> str:
    """Format event 009, the job was removed.

    ``now``: epoch seconds; ``reason``: RemoveReason.
    """
    return _event(9, job, now, f"Job was aborted.\n\t{_line(reason)}\n")


def format_held(job: JobId, now: float, ad: Ad) -> str:
    """Format event 012, the job was held; ``ad``: has the hold reason."""
    reason = _line(ad.text("HoldReason")) or "Reason unspecified"
    code, subcode = ad.number("HoldReasonCode"), ad.number("HoldReasonSubCode")
    return _event(12, job, now, f"Job was held.\n\t{reason}\n\tCode {code} Subcode {subcode}\n")


def format_released(job: JobId, now: float, reason: str) -> str:
    """Format event 013, the job was released.

    ``now``: epoch seconds; ``reason``: ReleaseReason.
    """
    return _event(13, job, now, f"Job was released.\n\t{_line(reason)}\n")


def format_image_size(job: JobId, now: float, memory: int) -> str:
    """Format event 006, the size of the job; ``memory``: KiB that it has in memory, or had."""
    return _event(
        6,
        job,
        now,
        f"Image size of job updated: {memory}\n"
        f"\t{(memory + 1023) // 1024}  -  MemoryUsage of job (MB)\n"
        f"\t{memory}  -  ResidentSetSize of job (KB)\n",
    )


def format_suspended(job: JobId, now: float) -> str:
    """Format event 010, the processes of the job were stopped."""
    # the worker stops all of them and does not report how many there are
    return _event(10, job, now, "Job was suspended.\n\tNumber of processes actually suspended: 1\n")


def format_unsuspended(job: JobId, now: float) -> str:
    """Format event 011, the processes of the job continue."""
    return _event(11, job, now, "Job was unsuspended.\n")


#: Half characters, but not those that stand for the bytes of names that are not UTF-8.
_HALF = re.compile("[\ud800-\udc7f\udd00-\udfff]")


def _event(number: int, job: JobId, now: float, body: str) -> str:
    if not body.isascii():  # a worker may send what no file can hold
        body = _HALF.sub(lambda half: f"\\u{ord(half[0]):04x}", body)
    when = _format_time(int(now), time.tzname)
    return f"{number:03d} ({job.cluster:03d}.{job.proc:03d}.000) {when} {body}...\n"


@functools.lru_cache(maxsize=16)  # thousands of jobs are held in one second
def _format_time(now: int, _zone: tuple[str, str]) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(now))


def _termination(event: Finished | NotCompleted, ad: Ad) -> str:
    if event.signal is not None:
        core = ad.text("JobCoreFileName")
        found = f"(1) Corefile in: {_line(core)}" if core else "(0) No core file"
        return f"(0) Abnormal termination (signal {event.signal})\n\t{found}"
    return f"(1) Normal termination (return value {event.exit_code})"


def _usage(usage: Usage, what: str) -> str:
    remote = f"Usr {_format_cpu_time(usage.user_cpu)}, Sys {_format_cpu_time(usage.system_cpu)}"
    local = f"Usr {_format_cpu_time(0)}, Sys {_format_cpu_time(0)}"
    return f"\t\t{remote}  -  {what} Remote Usage\n\t\t{local}  -  {what} Local Usage\n"


def _format_cpu_time(seconds: float) -> str:
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    day, hour = divmod(hours, 24)
    return f"{day} {hour:02d}:{minute:02d}:{second:02d}"


def _line(text: str) -> str:
    """Put a reason on one line: a line break in it would end the event for some readers."""
    return "|".join(text.splitlines())


def _number(ad: Ad, name: str) -> float:
    try:
        return float(ad[name])
    except (KeyError, ValueError):
        return 0.0


def _submit_host(ad: Ad) -> str:
    # GlobalJobId is schedd#cluster.proc#time; no port is open there, hence 0
    schedd = _line(ad.text("GlobalJobId").partition("#")[0])
    return f"<{schedd or 'localhost'}:0>"
