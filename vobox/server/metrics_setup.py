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
    from vobox.metrics.sender import Metrics

    tally = Tally()
    made = Metrics(
        schedd.settings.name, options.site, ledger, tally, schedd.metrics_snapshot, wanted,
        options.metrics_interval,
    )  # fmt: skip
    if options.prometheus:
        known = {
            "schedd": schedd.settings.name, "site": options.site, "pool": schedd.settings.pool
        }  # fmt: skip
        _serve_prometheus(made, options.prometheus, known)
    schedd.count_in(tally)
    made.start()
    return made


def _serve_prometheus(metrics: Metrics, address: str, known: Mapping[str, str]) -> None:
    try:
        from telemetry.prometheus import BadAddress, Newest, Page
    except ImportError:
        raise BadInvocation(
            "--prometheus: the Python package prometheus_client is not installed"
        ) from None
    newest = Newest("thyme_schedd", series.ALL, known)
    try:
        page = Page(newest, address)
    except BadAddress as error:
        raise BadInvocation(f"--prometheus: {error}") from None
    metrics.listeners.append(newest.update)
    metrics.on_close.append(page.close)
