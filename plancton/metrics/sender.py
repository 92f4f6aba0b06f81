"""Sending of the node's series every ``metrics_interval`` seconds; the loop never waits for it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from plancton.config.model import Config
from plancton.config.reload import ConfigWatch
from plancton.model import HostFacts, LoopPass
from telemetry import targets
from telemetry.points import Point
from telemetry.reporter import Reporter
from telemetry.rounds import Rounds
from telemetry.sender import Senders

from . import points as node_points
from . import series
from .cpu_time import CpuTime
from .points import Tally, Totals

_log = logging.getLogger("plancton")

#: Intervals of ``metrics_interval`` between two points of ``plancton_cpu``, at least: sums over all
#: nodes and hours read a tenth of the points. Dashboards add up those of so many seconds.
_CPU_INTERVALS = 10
_CPU_SECONDS = 300.0


class Metrics:
    """The maker of points from passes of the control loop.

    ``now`` is monotonic, ``wall`` since 1970.
    """

    def __init__(
        self,
        facts: HostFacts,
        now: Callable[[], float],
        wall: Callable[[], float],
        senders: Senders | None = None,
    ) -> None:
        self._facts, self._now, self._wall = facts, now, wall
        shown = [one for one in series.ALL if one not in series.OF_2017]
        self.reporter = Reporter("plancton", shown, _log, wall, senders)
        self._began = now()
        self._rounds, self._cpu_rounds = Rounds(wall()), Rounds(wall())
        self._cpu_time = CpuTime(facts.ncpus)
        self._tally = Tally()
        self._since = Totals()
        #: the newest pass, the configuration then, and the loop's totals
        self._newest: tuple[LoopPass, ConfigWatch, Totals] | None = None

    def follow(self, config: Config) -> str:
        """Send and show where the configuration says; return why that fails, or ""."""
        problems = []
        try:
            self.reporter.follow(targets.parse_all(config.influxdb_url))
        except targets.BadTarget as error:
            problems.append(f"influxdb_url: {error}")
        known = {"hostname": self._facts.hostname, "site": config.site}
        if problem := self.reporter.show(config.prometheus, known):
            problems.append(f"prometheus: {problem}")
        return "; ".join(problems)

    def look(
        self,
        look: LoopPass,
        watch: ConfigWatch,
        counts: Mapping[str, int],
        errors: Mapping[str, int],
    ) -> None:
        """Take in one pass of the loop; send points if a round moment has come.

        look    the pass
        watch   the configuration in force, and whether a newer one is not used
        counts  the loop's totals
        errors  the same of errors, by kind
        """
        now, wall, config = self._now(), self._wall(), watch.config
        self._tally.see(look, now)
        squeezed = node_points.owner_squeezed(look, self._facts)
        why_idle = node_points.why_idle(look, config, self._facts, wall)
        self._cpu_time.see(look.load, squeezed, why_idle, now)
        totals = Totals(counts["started"], counts["start_failures"], dict(errors))
        self._newest = (look, watch, totals)
        interval = config.metrics_interval
        if (moment := self._rounds.due(interval, wall)) is None:
            return
        made = self._make(self._newest, moment)
        cpu_interval = _CPU_SECONDS / max(_CPU_SECONDS // (interval * _CPU_INTERVALS), 1.0)
        if (cpu_moment := self._cpu_rounds.due(cpu_interval, moment)) is not None:
            made += node_points.cpu(
                self._cpu_time.take(), self._facts.hostname, config.site, cpu_moment
            )
        self.reporter.report(made)

    def _make(self, newest: tuple[LoopPass, ConfigWatch, Totals], moment: float) -> list[Point]:
        """Make the points of the newest pass, and of what happened since the last points."""
        look, watch, totals = newest
        made = node_points.ends(self._tally, self._facts.hostname)
        made += node_points.points(
            look,
            self._tally,
            watch.config,
            self._facts,
            since=self._since,
            totals=totals,
            uptime=self._now() - self._began,
            config_age=max(0.0, self._wall() - watch.loaded),
            config_rejected=bool(watch.problem),
            sending=self.reporter.states(),
            wall=moment,
        )
        self._since = totals
        self._tally.clear()
        return made

    def close(self) -> None:
        """Tell what happened since the last points, try once more to send, and end.

        CPU time of a part of five minutes is left out: pictures add up those of whole ones.
        """
        if self._newest is not None:
            self.reporter.report(self._make(self._newest, self._wall()))
        self.reporter.close()
