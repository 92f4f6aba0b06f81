"""dask-jobqueue: workers as jobs, a computation on them, and the end of the workers."""

import json
import os
import sys
from operator import mul
from pathlib import Path

from dask.distributed import Client
from dask_jobqueue import HTCondorCluster


def where() -> tuple[str, int]:
    return os.environ["_CONDOR_SCRATCH_DIR"], os.getpid()


def main() -> None:
    cluster = HTCondorCluster(
        cores=1,
        memory="512 MB",
        disk="100 MB",
        log_directory=str(Path.cwd()),
        scheduler_options={"host": "127.0.0.1", "dashboard_address": None},
        death_timeout=100,
    )
    with cluster, Client(cluster) as client:
        cluster.scale(jobs=2)
        client.wait_for_workers(2, timeout=100)
        squares = client.map(mul, range(100), range(100))
        json.dump(
            {
                "sum": client.submit(sum, squares).result(timeout=100),
                "workers": list(client.run(where).values()),
                "jobs": [worker.job_id for worker in cluster.workers.values()],
            },
            sys.stdout,
        )


if __name__ == "__main__":
    main()
