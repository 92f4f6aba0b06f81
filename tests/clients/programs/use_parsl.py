"""Parsl's HighThroughputExecutor with its CondorProvider: scale out, run apps, scale in."""

import json
import sys
from functools import partial

import parsl
from parsl.config import Config
from parsl.executors import HighThroughputExecutor
from parsl.providers import CondorProvider


@parsl.python_app
def scratch(number):
    import os

    return number * number, os.environ["_CONDOR_SCRATCH_DIR"]


def main() -> None:
    python_directory = sys.argv[1]
    provider = CondorProvider(
        init_blocks=1,
        min_blocks=0,
        max_blocks=2,
        cores_per_slot=1,
        worker_init=f"export PATH={python_directory}:$PATH",
    )
    executor = HighThroughputExecutor(
        label="htex", address="127.0.0.1", max_workers_per_node=1, provider=provider,
        heartbeat_period=1, heartbeat_threshold=180, encrypted=False,
    )  # fmt: skip
    ask = partial(provider.status, [])
    with parsl.load(Config(executors=[executor], strategy="none", run_dir="runinfo")):
        done = [app.result(timeout=180) for app in [scratch(number) for number in range(8)]]
        ask()
        block = executor.blocks_to_job_id["0"]
        before = provider.status([block])[0].state.name
        more = executor.scale_out_facade(1)
        cancelled = executor.scale_in_facade(2)
        json.dump(
            {
                "squares": [square for square, _ in done],
                "scratches": sorted({place for _, place in done}),
                "job": block,
                "before": before,
                "second": executor.blocks_to_job_id[more[0]] if more else None,
                "cancelled": cancelled,
                "after": provider.resources[block]["status"].state.name,
            },
            sys.stdout,
        )


if __name__ == "__main__":
    main()
