"""COBalD/TARDIS's site adapter for HTCondor: its own submit, query, suspend and remove."""

import asyncio
import json
import sys

from tardis.adapters.sites.htcondor import condor_q, condor_rm, condor_submit, condor_suspend
from tardis.utilities.attributedict import AttributeDict
from tardis.utilities.executors.shellexecutor import ShellExecutor

DRONE = "executable = /bin/sleep\narguments = 1000\nlog = drone.log\n"


async def work() -> dict[str, object]:
    shell = ShellExecutor()
    jobs = list(await condor_submit(DRONE, DRONE, executor=shell, submit_option_string=""))
    drones = [AttributeDict(remote_resource_uuid=job) for job in jobs]
    gone = AttributeDict(remote_resource_uuid="999999.0")

    async def states() -> list[str]:
        return [row["JobStatus"] for row in await condor_q(*drones, gone, executor=shell)]

    for _ in range(1000):
        if await states() == ["2", "2", "4"]:
            break
        await asyncio.sleep(0.1)
    running = await states()
    suspended = list(await condor_suspend(drones[0], gone, executor=shell))
    for _ in range(1000):
        if (await states())[0] == "7":
            break
        await asyncio.sleep(0.1)
    stopped = await states()
    removed = list(await condor_rm(*drones, gone, executor=shell))
    for _ in range(1000):
        if set(await states()) == {"4"}:
            break
        await asyncio.sleep(0.1)
    return {
        "jobs": jobs, "running": running, "suspended": suspended, "stopped": stopped,
        "removed": removed, "after": await states(),
        "nothing": list(await condor_rm(gone, executor=shell)),
    }  # fmt: skip


json.dump(asyncio.run(work()), sys.stdout)
