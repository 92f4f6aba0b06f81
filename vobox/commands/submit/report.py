"""What condor_submit prints on stdout."""

from __future__ import annotations

from collections.abc import Mapping

from vobox.classad.ad import Ad
from vobox.classad.literals import expression_text

from .options import SubmitOptions

#: Attributes that -dry-run writes by themselves, or that HTCondor's schedd would add.
_OF_THE_SCHEDD = frozenset(
    {"ClusterId", "ProcId", "JobStatus", "GlobalJobId", "User", "TotalSubmitProcs"}
    | {"InitialJobStatus"}
)


class Report:
    """Collects stdout as jobs are made; a failure keeps what was printed by then."""

    def __init__(self, options: SubmitOptions) -> None:
        self._options = options
        self._pieces: list[str] = []
        self._before: Mapping[str, str] = {}
        self._stored: list[str] = []
        if not options.quiet:
            doing = "Storing job ClassAd(s)" if options.dump else "Submitting job(s)"
            is_dry = options.dry_run is not None and not options.dump
            self._pieces.append("Dry-Run job(s)" if is_dry else doing)

    @property
    def stdout(self) -> str:
        """What was printed so far."""
        return "".join(self._pieces)

    @property
    def file(self) -> str:
        """What -dry-run and -dump write into a file."""
        return ("\n" if self._options.full else "").join(self._stored)

    def begin_job(self) -> None:
        """Begin a job's record in the file; it stays empty if the job cannot be made."""
        if self._options.dry_run is not None and not self._options.full:
            (self._pieces if self._options.dry_run == "-" else self._stored).append("\n")

    def add_job(self, cluster: int, proc: int, ad: Ad) -> None:
        """Print that one job was made.

        ``cluster`` and ``proc``: its id; ``ad``: what ``-verbose`` prints.
        """
        if self._options.full:
            self._stored.append(format_ad(ad))
        elif self._options.dry_run == "-":
            self._pieces.append(self._format_stored(ad))
        elif self._options.dry_run is not None:
            self._stored.append(self._format_stored(ad))
        if self._options.verbose:
            self._pieces.append(f"\n** Proc {cluster}.{proc}:\n{format_ad(ad)}\n")
        elif not (self._options.terse or self._options.dumps_to_stdout):
            self._pieces.append(".")

    def _format_stored(self, ad: Ad) -> str:
        """Return a job as -dry-run stores it: the first one's ad, what differs in the others."""
        before = self._before
        if not before:
            self._before = ad.copy()
        names = sorted(_find_own(ad), key=lambda name: (len(name), name))
        changed = (name for name in names if before.get(name) != ad[name])
        lines = [f"{name}={_format_value(ad, name)}" for name in changed]
        own = [f"ProcId={ad['ProcId']}", f"JobStatus={ad['JobStatus']}"]
        lines = [*own, *lines] if before else [f"ClusterId={ad['ClusterId']}", *lines, *own]
        return "".join(f"{line}\n" for line in lines)

    def finish(self, cluster: int, count: int) -> None:
        """Print that all jobs were submitted; ``count``: how many."""
        options = self._options
        if not options.quiet or options.dumps_to_stdout:
            self._pieces.append("\n")
        verb = "dry-run" if options.dry_run is not None and not options.dump else "submitted"
        summary = f"{count} job(s) {verb} to cluster {cluster}.\n"
        if options.terse:
            summary = f"{cluster}.0 - {cluster}.{count - 1}\n"
        if count and not options.verbose and not options.dumps_to_stdout:
            self._pieces.append(summary)
        if options.full and options.dry_run == "-":
            self._pieces.append(f"\n{self.file}")


def _find_own(ad: Ad) -> set[str]:
    """Return the names of the attributes that condor_submit makes, but for the job's id."""
    return {name for name in ad.keys() - _OF_THE_SCHEDD if not name.endswith("_RAW")}


def _format_value(ad: Ad, name: str) -> str:
    if name == "Owner":
        return "undefined"
    return expression_text(ad.get(f"{name}_RAW", ad[name]))  # the schedd rounds sizes


def format_ad(ad: Ad) -> str:
    """Return ``Attr = value`` lines, sorted by name."""
    names = sorted(_find_own(ad) | {"ClusterId", "ProcId", "JobStatus"}, key=str.lower)
    return "".join(f"{name} = {_format_value(ad, name)}\n" for name in names)
