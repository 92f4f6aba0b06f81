"""Messages for tests: generated ones, one example of each kind, and their encoded parts."""

import json
from dataclasses import fields

from hypothesis import strategies as st

from thyme.protocol.codec import encode
from thyme.protocol.events import Held, HoldReason, Machine, Message, Usage, clean_reason
from thyme.protocol.job import JobId, SandboxFile, Task
from thyme.protocol.mail import ACTIONS

counts = st.integers(0, 2**63 - 1)
numbers = st.floats(-1e290, 1e290)
seconds = st.floats(0, 1e290)
sizes = st.integers(0, 2**60)
#: times of events: from 1970 to the end of the year 9999
moments = st.floats(0, 253402300799)
#: any text at all, surrogates too: file names need not be UTF-8
texts = st.text(st.characters(), max_size=20)
names = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=20).filter(
    str.isprintable
)
paths = st.text(st.characters(exclude_characters="\0"), min_size=1, max_size=20)
part = paths.filter(lambda text: "/" not in text and text not in (".", ".."))
relative = st.lists(part, min_size=1, max_size=3).map("/".join)
blobs = st.one_of(st.binary(max_size=600), st.integers(0, 9999).map(lambda n: b"ab" * n))
files = st.lists(st.builds(SandboxFile, relative, blobs, st.integers(0, 0o777)), max_size=3).map(
    tuple
)
holds = st.builds(HoldReason, st.integers(0, 99), st.integers(-9, 9999), texts)
tasks = st.builds(
    Task,
    executable=paths,
    arguments=st.lists(texts, max_size=3).map(tuple),
    environment=st.dictionaries(texts, texts, max_size=3),
    scratch_env=st.lists(texts, max_size=2).map(tuple),
    files=files,
    stdin=st.one_of(st.just(""), paths),
    directory=texts,
    output_files=st.none() | st.lists(paths, max_size=3).map(tuple),
    merge_stderr=st.booleans(),
    max_stream=counts,
    max_output=counts,
    kill_signal=st.integers(0, 64),
    kill_grace=seconds,
    lease=seconds,
)
job_ids = st.builds(JobId, st.integers(0, 10**18 - 1), st.integers(0, 10**18 - 1))
machines = st.builds(Machine, counts, counts, counts, names, names, names, seconds)
VALUES = {
    "schedd": names, "time": moments, "pool": names, "uid": counts, "gid": counts,
    "job": job_ids,
    "attempt": st.integers(0, 1_000_000), "ad": st.dictionaries(texts, texts, max_size=3),
    "task": tasks,
    "worker": names, "host": names, "exit_code": st.none() | st.integers(-9, 255),
    "signal": st.none() | st.integers(1, 64), "stdout": blobs, "stderr": blobs, "files": files,
    "usage": st.builds(Usage, moments, moments, moments, sizes, sizes, sizes),
    "hold": st.none() | holds,
    "reason": texts.map(clean_reason), "state": texts, "token": names,
    "next_cluster": st.integers(0, 10**18 - 1), "run": st.booleans(),
    "wait": st.booleans(), "again": st.booleans(), "life": names,
    "force": st.booleans(), "action": st.sampled_from(ACTIONS),
    "machine": st.none() | machines, "since": moments, "interval": seconds, "jobs": counts,
    "leaving": st.booleans(), "name": paths, "offset": st.integers(-1, 2**63 - 1),
    "limit": counts, "size": counts, "data": blobs,
    "event": st.builds(Held, names, job_ids, moments, holds),
    "job_ids": st.lists(job_ids, min_size=1, max_size=9).map(tuple),
}  # fmt: skip


def messages(kind: type[Message]) -> st.SearchStrategy[Message]:
    values = {each.name: VALUES[each.name] for each in fields(kind)}
    if kind is Held:
        values["hold"] = holds
    return st.builds(kind, **values)


EXAMPLE: dict[str, object] = {
    "schedd": "vobox", "job": JobId(1, 0), "time": 1.0, "pool": "p", "uid": 0, "gid": 0,
    "attempt": 0, "ad": {}, "task": Task("/bin/true"), "worker": "w", "host": "h",
    "exit_code": 0, "signal": None, "usage": Usage(), "stdout": b"out", "stderr": b"",
    "files": (SandboxFile("a", b"b"),), "hold": HoldReason(1, 0, "why"), "reason": "because",
    "state": "{}",
    "token": "t", "next_cluster": 2, "run": True, "wait": True, "again": True, "life": "a1",
    "force": False,
    "action": "hold", "machine": Machine(1, 2000, 10**6, "X86_64", "LINUX", "AlmaLinux9", 0.5),
    "since": 1.0, "interval": 60.0, "jobs": 3, "leaving": True, "name": "n", "offset": 0,
    "limit": 1, "size": 1, "data": b"x", "job_ids": (JobId(1, 0), JobId(1, 1)),
    "event": Held("vobox", JobId(1, 0), 1.0, HoldReason(1, 0, "why")),
}  # fmt: skip


def example(kind: type[Message]) -> Message:
    return kind(**{each.name: EXAMPLE[each.name] for each in fields(kind)})


def parts(message: Message) -> tuple[dict[str, object], bytes]:
    head, _, rest = encode(message).partition(b"\n")
    return json.loads(head), rest


def put(header: object, rest: bytes = b"") -> bytes:
    return json.dumps(header).encode() + b"\n" + rest
