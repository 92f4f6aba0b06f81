"""Thousands of workers in one process: `python -m tests.bench.light_workers COUNT FIRST`.

Each has a connection, an inbox and a consumer of its own and says what a real worker says; only
the job is missing: it "runs" from its start on and never ends. The broker's URL comes in
THYME_URL. Standard output: ``connected`` when all wait, then a line with the monotonic clock for
each job that was recorded as started and acknowledged.
"""

import asyncio
import gc
import json
import os
import sys
import time
from urllib.parse import unquote, urlsplit

from pika import spec

from thyme.broker.amqp import topology
from thyme.protocol import codec
from thyme.protocol.events import Machine, expect_kind
from thyme.protocol.job import JobId
from thyme.protocol.mail import Claim, ClaimReply, Waiting

from .amqp_site import POOL
from .light_amqp import LightConnection, Message, connect

#: Seconds between two words of a worker that waits.
INTERVAL = 60.0
#: Connections being made at one time; the broker's backlog is finite.
AT_ONCE = 64
MACHINE = Machine(1, 2000, 1_000_000, "X86_64", "LINUX", "Debian12")


class LightWorker:
    def __init__(self, number: int, url: str) -> None:
        parts = urlsplit(url)
        self._where = (parts.hostname or "", parts.port or 5672)
        self._login = (unquote(parts.username or ""), unquote(parts.password or ""))
        self._vhost = unquote(parts.path[1:])
        self.name = f"{topology.WORKER}light.{number}-{os.urandom(4).hex()}"
        self.host = f"slot1_{number}@light"
        self.line: LightConnection
        self._inbox = topology.make_inbox(self.name)
        self._queue = f"{self._inbox.queue.name}.{os.urandom(4).hex()}"
        self._since = time.time()
        self._replies: asyncio.Queue[Message] = asyncio.Queue()
        self._job: asyncio.Task[None] | None = None

    async def come(self) -> None:
        """Connect, and wait for a job as a worker does."""
        self.line = line = await connect(*self._where, *self._login, self._vhost)
        await line.ask(spec.Queue.Declare(queue=self._queue, exclusive=True))
        await line.ask(
            spec.Queue.Bind(
                queue=self._queue,
                exchange=self._inbox.exchange,
                routing_key=self._inbox.key,
            )
        )
        await line.consume(self._queue, self._replies.put_nowait, no_ack=True)
        await line.ask(spec.Basic.Qos(prefetch_count=1))
        self._jobs = await line.consume(
            topology.make_job_queue_name(POOL), self._take, no_ack=False
        )
        await self.announce()

    async def announce(self) -> None:
        waiting = Waiting(self.name, self.host, POOL, self._since, INTERVAL, MACHINE)
        await self.line.publish(
            topology.WORK, topology.make_idle_key(POOL), codec.encode(waiting),
            spec.BasicProperties(), mandatory=False,
        )  # fmt: skip

    def _take(self, message: Message) -> None:
        self.line.send(spec.Basic.Cancel(self._jobs))
        self._job = asyncio.get_running_loop().create_task(self._work(message))

    async def _work(self, message: Message) -> None:
        # the generator shares the machine with what it measures: it reads no more than it needs
        job = json.loads(message.body.partition(b"\n")[0])
        schedd, job_id, attempt = job["schedd"], JobId.parse(job["job"]), job["attempt"]
        about = (schedd, job_id, attempt)
        claim = Claim(*about, self.name, self.host, MACHINE, False, life=job["life"])
        inbox = topology.make_inbox(topology.SCHEDD + schedd)
        mail = spec.BasicProperties(reply_to=self.name, correlation_id=os.urandom(8).hex())
        heard = await self.line.publish(inbox.exchange, inbox.key, codec.encode(claim), mail)
        assert heard, "no schedd"
        answer = await self._replies.get()
        reply = expect_kind(codec.decode(answer.body), ClaimReply)
        assert reply.run, reply
        self.line.ack(message)
        print(time.monotonic(), flush=True)


async def main(count: int, first: int) -> None:
    url = os.environ["THYME_URL"]
    workers = [LightWorker(number, url) for number in range(first, first + count)]
    gate = asyncio.Semaphore(AT_ONCE)

    async def come(worker: LightWorker) -> None:
        async with gate:
            await worker.come()

    await asyncio.gather(*(come(worker) for worker in workers))
    # the generator shares the machine with what it measures, and much of its time was garbage
    # collection of workers that only wait
    gc.disable()
    print("connected", flush=True)
    while True:
        for worker in workers:
            await asyncio.sleep(INTERVAL / count)
            # a word to the broker keeps the connection up, as a real worker's heartbeat does
            await worker.announce()


if __name__ == "__main__":
    # real workers have machines of their own: these leave this one's CPUs to what is measured
    os.nice(10)
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
