"""Run a busy site for an hour and watch what its processes hold: memory, files, threads.

``python -m tests.bench.busy_hour --seconds 3600`` (`make busy-hour SECONDS=3600`) runs a RabbitMQ,
an InfluxDB, a schedd with its workers (``--max-jobs 0``), and plancton with 48 pilots that end
soon, on a Docker engine.  Jobs come at a steady rate; some fail, are held and released, or are
removed, and users ask.  Every ten seconds a line of the CSV file says what each process holds; at
the end a table says how much more that is per hour, from the second third of the time on: not in a
run of less than half an hour, in which processes still warm up.
"""

import argparse
import csv
import os
import statistics
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.chaos.truth import find_processes_below
from tests.support.process_site import submit_text
from tests.support.services.influx import InfluxServer

from .amqp_site import AmqpSite, amqp_site
from .container_node import ContainerNode, container_node

PILOTS, WORKERS = 48, 4
#: Seconds: a pilot's life, between two samples, and between two submissions.
LIFE, INTERVAL, PERIOD = 180, 10.0, 10.0
#: Memory without mapped files (of which the kernel keeps what it likes), open files, threads.
FIGURES = ("anonymous_kib", "files", "threads")
#: Seconds of the shortest run whose growth per hour means something.
SHORTEST = 1800.0


def main() -> int:
    """Run, write the samples, print the table; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.busy_hour", description=__doc__)
    parser.add_argument("--seconds", type=float, default=3600.0, help="how long (3600)")
    parser.add_argument("--rate", type=float, default=5.0, help="jobs per second (5)")
    parser.add_argument(
        "--output", type=Path, default=Path("build/busy-hour.csv"), help="build/busy-hour.csv"
    )
    options = parser.parse_args()
    if not INTERVAL <= options.seconds <= 1e6:
        parser.error(
            f"argument --seconds (SECONDS of `make busy-hour`): {INTERVAL:g} to 1e6, "
            f"not {options.seconds:g}"
        )
    options.output.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        place = Path(stack.enter_context(TemporaryDirectory(prefix="bench-")))
        influx = InfluxServer(place)
        stack.callback(influx.clean)
        influx.up()
        metrics = f"http://127.0.0.1:{influx.port}/#busy"
        node = stack.enter_context(container_node())
        life = ["sh", "-c", f"sleep {LIFE}"]
        node.configure(max_docks=PILOTS, docker_cmd=life, quick_death=0, influxdb_url=metrics)
        node.up()
        site = stack.enter_context(amqp_site(f"--influxdb-url={metrics}", "--policy-interval=5"))
        site.start_pilots(WORKERS)
        samples = watch(site, node, options.seconds, options.rate, options.output)
        done = site.ask("condor_history", "-af", "JobStatus").split()
    print(
        f"{len(done)} jobs left the queue: {done.count('4')} completed, {done.count('3')} removed"
    )
    show_growth(samples)
    return 0


def watch(
    site: AmqpSite, node: ContainerNode, seconds: float, rate: float, output: Path
) -> list[dict[str, float | str]]:
    """Keep the site busy, and sample.

    Args:
        site: its schedd and workers run.
        node: its daemon runs.
        seconds: how long.
        rate: jobs per second.
        output: the CSV file.

    Returns:
        A row for each process and time, with its name, the seconds since the begin and FIGURES.
    """
    enough, began = threading.Event(), time.monotonic()
    user = threading.Thread(target=use, args=(site, rate, enough))
    user.start()
    samples: list[dict[str, float | str]] = []
    try:
        with output.open("w", newline="") as file:
            writer = csv.DictWriter(file, ["at", "process", *FIGURES])
            writer.writeheader()
            while time.monotonic() - began < seconds:
                assert user.is_alive(), "who uses the site failed; see above"
                for name, pid in find_processes(site, node):
                    row: dict[str, float | str] = {"at": round(time.monotonic() - began, 1)}
                    samples.append({**row, "process": name, **measure(pid)})
                    writer.writerow(samples[-1])
                file.flush()
                enough.wait(INTERVAL)
    finally:
        enough.set()
        user.join()
    return samples


def use(site: AmqpSite, rate: float, enough: threading.Event) -> None:
    """Submit, ask, hold, release and remove as users do, until it is enough."""
    count = round(rate * PERIOD)
    while not enough.wait(PERIOD):
        lines = [
            "executable = /bin/sh", "transfer_executable = false",
            'arguments = "-c \'echo $(Process); exit $INT(code)\'"', "code = $(Process) % 5",
            "output = out.$(Process)", "log = jobs.log", f"queue {count}",
        ]  # fmt: skip
        cluster = site.ask("condor_submit", "-terse", stdin=submit_text(lines)).split(".")[0]
        site.command("condor_rm", f"{cluster}.{count - 1}")
        site.command("condor_hold", f"{cluster}.{count - 2}")
        for words in (
            ["condor_q"], ["condor_q", "-nobatch"], ["condor_status"], ["condor_release", "-all"],
            ["condor_history", "-limit", "20"],
        ):  # fmt: skip
            site.command(*words)


def find_processes(site: AmqpSite, node: ContainerNode) -> Iterator[tuple[str, int]]:
    """Name each process that is watched."""
    assert node.process is not None
    yield "plancton", node.process.pid
    yield "schedd", site.running["schedd"].pid
    for number in range(WORKERS):
        name = f"worker{number}"
        # if we are root, unshare is in between
        below = find_processes_below(site.running[name].pid) if os.geteuid() == 0 else []
        yield name, below[0] if below else site.running[name].pid


def measure(pid: int) -> dict[str, float]:
    """Return FIGURES of a process."""
    status = dict(
        line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines()
    )
    values = (
        int(status["RssAnon"].split()[0]),
        len(list(Path(f"/proc/{pid}/fd").iterdir())),
        int(status["Threads"]),
    )
    return dict(zip(FIGURES, values, strict=True))


def show_growth(samples: list[dict[str, float | str]]) -> None:
    """Print what each process held; "-" for times that were not reached, and without growth."""
    last = float(samples[-1]["at"])
    print(
        f"{'process':10} {'figure':13} {'at 300 s':>9} {'at 1200 s':>9} {'end':>9} {'per hour':>9}"
    )
    for name in dict.fromkeys(str(row["process"]) for row in samples):
        rows = [row for row in samples if row["process"] == name]
        for figure in FIGURES:
            series = [(float(row["at"]), float(row[figure])) for row in rows]
            late = [point for point in series if point[0] >= last / 3]
            shown = [
                f"{find_value(series, at):.0f}" if at <= last else "-"
                for at in (300.0, 1200.0, last)
            ]
            if last + INTERVAL >= SHORTEST:
                slope = statistics.linear_regression(*zip(*late, strict=True)).slope
                shown.append(f"{slope * 3600:.1f}")
            else:
                shown.append("-")
            print(f"{name:10} {figure:13} " + " ".join(f"{text:>9}" for text in shown))


def find_value(series: list[tuple[float, float]], at: float) -> float:
    """Return the median around a time."""
    return statistics.median(value for time_of, value in series if abs(time_of - at) <= 60.0)


if __name__ == "__main__":
    sys.exit(main())
