"""Whatever comes over the broker, the schedd goes on, and so do the jobs of honest users.

The attacker has the broker's password, as it lies on every node, and knows which jobs there are.
"""

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.honest_user import HonestUser
from tests.support.schedd_parts import USAGE
from tests.support.schedd_process import LiveSchedd
from tests.support.waiting import wait_until
from thyme.broker import Mail, Transport
from thyme.protocol import codec
from thyme.protocol.events import Evicted, Finished, Recorded, Started
from thyme.protocol.job import JobId, SandboxFile
from thyme.protocol.mail import Claim, Heartbeat, make_schedd_inbox_name

LARGEST = 2**63 - 1
#: The largest number of an attempt.
MOST = 1_000_000


class Site:
    def __init__(self, top: Path) -> None:
        self.schedd = LiveSchedd(top)
        self.schedd.start()
        self.schedd.worker("--max-jobs", "0", "--timeout", "600")
        self.honest = HonestUser(self.schedd)
        self.honest.measure_quiet()

    def wait_for_job(self, *lines: str) -> JobId:
        """Submit a job that no worker takes."""
        text = "\n".join(["executable = /bin/true", *lines, "requirements = false", "queue"])
        return JobId(self.schedd.submit(text), 0)

    def find_life(self, job: JobId) -> str:
        """Return what its messages have to name: the attacker reads the stream."""
        with self.schedd.line() as line:
            records = [each for each in line.read(-1, 100_000) if each.key == "event.recorded"]
        told = (codec.decode(each.body) for each in records)
        return next(each.life for each in told if isinstance(each, Recorded) and each.job == job)

    def started(self, job: JobId, **changes: object) -> Started:
        event = Started(
            self.schedd.name, job, time.time(), 0, "w", "slot1@evil", life=self.find_life(job)
        )
        return replace(event, **changes)  # type: ignore[arg-type]

    def finished(self, job: JobId, **changes: object) -> Finished:
        event = Finished(
            self.schedd.name, job, time.time(), 0, "w", "slot1@evil", 0, None, USAGE, b"", b"", (),
            None, life=self.find_life(job),
        )  # fmt: skip
        return replace(event, **changes)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    made = Site(tmp_path_factory.mktemp("site"))
    yield made
    made.schedd.close()


@pytest.fixture
def line(site: Site) -> Iterator[Transport]:
    before = site.schedd.process
    with site.schedd.line() as made:
        yield made
    site.honest.settle()
    process = site.schedd.process
    assert process is before and process is not None and process.poll() is None, site.schedd.said()


def test_numbers_at_their_limits(site: Site, line: Transport) -> None:
    job = site.wait_for_job()
    told = (site.schedd.name, job, time.time(), MOST, "w", "slot1@evil", "because", USAGE)
    evicted = Evicted(*told, life=site.find_life(job))
    when = 1234567890.0
    for event in (
        site.started(job, attempt=MOST), evicted,
        site.finished(job, attempt=MOST, exit_code=2**31 - 1), site.started(job, time=when),
    ):  # fmt: skip
        body = codec.encode(event)
        bodies = [body, body.replace(str(MOST).encode(), str(LARGEST).encode())]
        for odd in (b"1e200", b"-1e15", b"1e400", b"9" * 400, b"NaN"):
            bodies.append(body.replace(str(when).encode(), odd))
        line.record(bodies)
    site.honest.check()
    # the job is not stuck: it may be held, removed, and is gone
    assert site.schedd.run("condor_rm", str(job)).returncode == 0


def test_bytes_that_promise_more_than_there_are(site: Site, line: Transport) -> None:
    job = site.wait_for_job()
    body = codec.encode(site.finished(job, stdout=b"x" * 1_000_000))
    header, _newline, rest = body.partition(b"\n")
    document = json.loads(header)
    # every file is the whole of the same million bytes
    document["files"] = [
        {"name": f"f{n}", "mode": 420, "data": document["stdout"]} for n in range(10_000)
    ]
    forged = json.dumps(document).encode() + b"\n" + rest
    for schedd in (site.schedd.name, "another.example.org"):
        line.record([forged.replace(site.schedd.name.encode(), schedd.encode())] * 3)
    site.honest.check()


@pytest.mark.parametrize(
    "body",
    [
        b"", b"\0" * 1000, b"[" * 100_000, b'{"thyme":1,"kind":"finished"}',
        b'{"thyme":1,"kind":"started"}\n' + b"[" * 1_000_000,
        b'{"thyme":' + b"9" * 100_000 + b"}", b'{"a":' * 50_000,
        b'{"thyme":1,"kind":"started","time":1e400,"job":[1,0]}',
    ],
    ids=["empty", "zeros", "deep", "headless", "deep body", "digits", "objects", "infinite"],
)  # fmt: skip
def test_records_and_mail_that_are_none(site: Site, line: Transport, body: bytes) -> None:
    line.record([body] * 20)
    for _ in range(20):
        line.send_unconfirmed(make_schedd_inbox_name(site.schedd.name), Mail(body, "x" * 250, "y"))
    site.honest.check()


def test_a_flood_of_mail(site: Site, line: Transport) -> None:
    inbox = make_schedd_inbox_name(site.schedd.name)
    job = site.wait_for_job()
    name, life = site.schedd.name, site.find_life(job)
    mail = [
        Mail(b"junk"),
        Mail(codec.encode(Claim(name, job, MOST, "w", "h", life=life)), "x" * 250, "t"),
        Mail(codec.encode(Heartbeat(name, job, 0, "w", "h", USAGE, life=life))),
    ]
    before = len(site.schedd.said())
    for _ in range(1000):
        line.send_all_unconfirmed([(inbox, each) for each in mail])
    site.honest.check()
    assert len(site.schedd.said()) - before < 100_000, "a line for each"


def test_bytes_that_take_long_to_read_many_times(site: Site, line: Transport) -> None:
    job = site.wait_for_job()
    body = codec.encode(site.finished(job, worker="x", stdout=bytes(100_000_000)))
    assert len(body) < 1_000_000
    line.record([codec.encode(site.started(job))])
    others = body.replace(site.schedd.name.encode(), b"x" * len(site.schedd.name))
    line.record([body, others] * 50)
    inbox = make_schedd_inbox_name(site.schedd.name)
    for _ in range(100):
        line.send_unconfirmed(inbox, Mail(body))
    site.honest.check()


def test_files_that_the_job_did_not_ask_for(site: Site, line: Transport) -> None:
    job = site.wait_for_job("transfer_output_files = result")
    files = tuple(
        SandboxFile(name, b"x")
        for name in ("result", ".bashrc", ".ssh/authorized_keys", "a/b", "result2")
    )
    line.record([codec.encode(site.started(job))])
    line.record([codec.encode(site.finished(job, files=files))])
    home = site.schedd.home
    wait_until(lambda: (home / "result").exists(), "what it asked for", state=site.schedd.states)
    site.honest.check()
    assert {path.name for path in home.iterdir()} == {"result"}


def test_the_schedd_starts_again_and_from_nothing(site: Site) -> None:
    for wiped in (False, True):
        site.schedd.kill()
        if wiped:
            for path in site.schedd.spool.glob("ledger.db*"):
                path.unlink()
        site.schedd.start()
        site.honest.check()
        site.honest.settle()
