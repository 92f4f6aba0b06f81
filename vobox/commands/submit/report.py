"""What condor_submit prints on stdout."""

from __future__ import annotations

from collections.abc import Sequence

from vobox.classad.ad import Ad

from .options import SubmitOptions


class Report:
    """Collects stdout as jobs are made; a failure keeps what was printed by then."""

    def __init__(self, options: SubmitOptions) -> None:
        self._options = options
        self._pieces: list[str] = []
        if not options.quiet and not options.dump:
            self._pieces.append("Dry-Run job(s)" if options.dry_run else "Submitting job(s)")

    @property
    def stdout(self) -> str:
        """What was printed so far."""
        return "".join(self._pieces)

    def add_job(self, cluster: int, proc: int, ad: Ad) -> None:
        """Print that one job was made.

        ``cluster`` and ``proc``: its id; ``ad``: what ``-verbose`` prints.
        """
        if self._options.verbose and not self._options.dump:
            self._pieces.append(f"\n** Proc {cluster}.{proc}:\n{format_ad(ad)}")
        elif not self._options.terse and not self._options.dump:
            self._pieces.append(".")

    def finish(self, cluster: int, count: int, ads: str = "") -> None:
        """Print that all jobs were submitted.

        :param count: how many
        :param ads: to print for ``-dry-run -``
        """
        options = self._options
        if ads:
            self._pieces.append(ads if options.dump else f"\n{ads}")
        if not options.quiet and not options.dump:
            self._pieces.append("\n")
        if options.dump or options.verbose or not count:
            return
        if options.terse:
            self._pieces.append(f"{cluster}.0 - {cluster}.{count - 1}\n")
        else:
            verb = "dry-run" if options.dry_run else "submitted"
            self._pieces.append(f"{count} job(s) {verb} to cluster {cluster}.\n")


def format_ad(ad: Ad) -> str:
    """Return ``Attr = value`` lines, sorted by name."""
    return "".join(f"{name} = {ad[name]}\n" for name in sorted(ad, key=str.lower))


def format_ads(ads: Sequence[Ad]) -> str:
    """Return the lines of several ads, with an empty line between them."""
    return "\n".join(format_ad(ad) for ad in ads)
