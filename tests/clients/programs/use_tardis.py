"""COBalD/TARDIS's site adapter for HTCondor: its own submit, query, suspend and remove."""

import asyncio
import json
import sys

from tardis.adapters.sites.htcondor import condor_q, condor_rm, condor_submit, condor_suspend
from tardis.utilities.attributedict import AttributeDict
from tardis.utilities.executors.shellexecutor import ShellExecutor
from waiting import wait_until_async

DRONE = "executable = /bin/sleep\narguments = 1000\nlog = drone.log\n"


async def work() -> dict[str, object]:
    shell = ShellExecutor()
    jobs = list(await condor_submit(DRONE, DRONE, executor=shell, submit_option_string=""))
    drones = [AttributeDict(remote_resource_uuid=job) for job in jobs]
    gone = AttributeDict(remote_resource_uuid="999999.0")

    async def states() -> list[str]:
        return [row["JobStatus"] for row in await condor_q(*drones, gone, executor=shell)]

    running = await wait_until_async(states, lambda found: found == ["2", "2", "4"])
    suspended = list(await condor_suspend(drones[0], gone, executor=shell))
    stopped = await wait_until_async(states, lambda found: found[0] == "7")
    removed = list(await condor_rm(*drones, gone, executor=shell))
    after = await wait_until_async(states, lambda found: set(found) == {"4"})
    return {
        "jobs": jobs, "running": running, "suspended": suspended, "stopped": stopped,
        "removed": removed, "after": after,
        "nothing": list(await condor_rm(gone, executor=shell)),
    }  # fmt: skip


json.dump(asyncio.run(work()), sys.stdout)
