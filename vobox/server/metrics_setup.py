"""Start sending metrics if ``thyme-schedd`` is told to; nothing of it is loaded otherwise."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from telemetry import targets
from thyme.errors import BadInvocation
from vobox.metrics import series
from vobox.metrics.points import Tally
from vobox.schedd.main_loop import Schedd

if TYPE_CHECKING:
    from vobox.metrics.sender import Metrics


def start_metrics(
    options: argparse.Namespace, environ: Mapping[str, str], schedd: Schedd, ledger: Path
) -> Metrics | None:
    """Start the sender; None if no option asks for metrics.

    :param options: of the command line
    :param environ: ``THYME_INFLUXDB_URL`` stands for ``--influxdb-url``
    :param schedd: counts its jobs from now on
    :param ledger: the file that jobs are counted in
    :raises BadInvocation: for what cannot be sent to
    """
    try:
        named = targets.parse_all(tuple(options.influxdb_url))
        if any(target.password for target in named):
            raise BadInvocation(
                "--influxdb-url: a password would be seen in ps; use /?password_file=PATH, or "
                "THYME_INFLUXDB_URL"
            )
        wanted = named or targets.parse_all(tuple(environ.get("THYME_INFLUXDB_URL", "").split()))
    except targets.BadTarget as error:
        raise BadInvocation(f"metrics: {error}") from error
    if not wanted and not options.prometheus:
        return None
    from telemetry.reporter import Reporter
    from vobox.metrics.sender import Metrics, log

    tally, name = Tally(), schedd.settings.name
    reporter = Reporter("thyme_schedd", series.ALL, log)
    reporter.follow(wanted)
    known = {"schedd": name, "site": options.site, "pool": schedd.settings.pool}
    if problem := reporter.show(options.prometheus, known):
        reporter.close()
        raise BadInvocation(f"--prometheus: {problem}")
    made = Metrics(
        name, options.site, ledger, tally, schedd.metrics_snapshot, reporter,
        options.metrics_interval,
    )  # fmt: skip
    schedd.count_in(tally)
    made.start()
    return made
