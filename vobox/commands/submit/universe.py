"""The job's universe: vanilla or grid."""

from __future__ import annotations

from dataclasses import dataclass

from vobox.classad.ad import Ad, quote
from vobox.commands.command_line import parse_leading_integer

from .errors import job_error, submit_error
from .job_commands import Commands

VANILLA, GRID = 5, 9

_NUMBERS = {
    "standard": 1,
    "pipe": 2,
    "linda": 3,
    "pvm": 4,
    "vanilla": VANILLA,
    "pvmd": 6,
    "scheduler": 7,
    "mpi": 8,
    "grid": GRID,
    "java": 10,
    "parallel": 11,
    "local": 12,
    "vm": 13,
}
_NAMES = {number: name for name, number in _NUMBERS.items()}
_GONE = {"standard": "Standard", "pipe": "Pipe", "linda": "Linda", "pvm": "PVM", "pvmd": "PVMD"}
_WHY = {
    "scheduler": "jobs run on the nodes' pilots, not on the submit host",
    "local": "jobs run on the nodes' pilots, not on the submit host",
    "mpi": "a job runs in one pilot",
    "parallel": "a job runs in one pilot",
    "java": "run java as the executable of a vanilla job",
    "vm": "pilots start no virtual machines",
    "docker": "jobs run in the pilot's own container",
    "container": "jobs run in the pilot's own container",
}
#: 25.14's list; older ones (gt2, cream, ...) it refuses too
_GRID_TYPES = ("condor", "batch", "arc", "ec2", "gce", "azure")


@dataclass(frozen=True)
class Universe:
    """The universe; for a grid job the beginning of its GridJobId and its grid type."""

    number: int
    grid_prefix: str = ""
    grid_type: str = ""

    @property
    def is_vanilla(self) -> bool:
        """Whether the job is of the vanilla universe."""
        return self.number == VANILLA

    @property
    def is_grid(self) -> bool:
        """Whether the job is of the grid universe."""
        return self.number == GRID

    @property
    def to_condor(self) -> bool:
        """Whether a grid job is for another HTCondor; only those are matched to machines."""
        return self.grid_type == "condor"

    @property
    def to_batch(self) -> bool:
        """Whether a grid job is for a batch system; it has no default requests."""
        return self.grid_type == "batch"


def record_universe(commands: Commands, ad: Ad, schedd: str) -> Universe:
    """Record the universe; raises SubmitError for one that is not vanilla or grid.

    ``commands``: of the submit description; ``ad``: of the job, which is changed; ``schedd``: our
    name.
    """
    number = _parse_universe(commands)
    ad["JobUniverse"] = str(number)
    if remote := commands.get("remote_universe", "Remote_JobUniverse"):
        its_number = _find_number(remote)
        if its_number == 0:
            raise job_error(f"Unknown Remote_Universe of '{remote}' specified")
        ad["Remote_JobUniverse"] = str(its_number)
    return _record_grid(commands, ad, schedd) if number == GRID else Universe(number)


def _parse_universe(commands: Commands) -> int:
    text = commands.get("universe", "JobUniverse") or "vanilla"
    number, _ = parse_leading_integer(text)
    name = _NAMES.get(number, "") if number else text.lower()
    if not name or name in _GONE:
        raise job_error(f"'{_GONE.get(name, 'Unknown')}' is not a supported universe.")
    if name in _WHY:
        raise submit_error(f"the {name} universe is not supported here: {_WHY[name]}")
    if name not in _NUMBERS:
        raise job_error(f"I don't know about the '{text}' universe.")
    return _NUMBERS[name]


def _find_number(text: str) -> int:
    """Return the number of a universe, whether there is such a one or not; 0 for a wrong name."""
    number, _ = parse_leading_integer(text)
    return number or _NUMBERS.get(text.lower(), 0)


def _record_grid(commands: Commands, ad: Ad, schedd: str) -> Universe:
    """Record the attributes of a grid job; raises SubmitError.

    GridJobId and GridJobStatus are there from the start: AliEn holds a job
    whose GridJobStatus is still undefined after half an hour.
    """
    resource = commands.get("grid_resource", "GridResource")
    if resource is None:
        raise job_error("grid_resource attribute not defined for grid universe job")
    kind = resource.split()[0]
    if kind.lower() not in _GRID_TYPES:
        raise job_error(
            f"Invalid value '{kind}' for grid type\n"
            "Must be one of: condor, batch, arc, ec2, gce, or azure"
        )
    ad["GridResource"] = quote(resource)
    ad["GridJobStatus"] = '"IDLE"'
    words = resource.split() if kind.lower() == "condor" else [resource]
    prefix = " ".join((*words, schedd) if len(words) == 1 else words)
    return Universe(GRID, prefix, kind.lower())
