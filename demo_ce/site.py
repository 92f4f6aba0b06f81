"""What a CE puts into a job description: the site's configuration and one agent's files."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Site:
    """The part of a CE's configuration that is used in the description.

    The comments name where AliEn or JAliEn takes the values from.
    """

    cluster_monitor: str  #: host:port of the ClusterMonitor, CONFIG HOST and CLUSTERMONITOR_PORT
    log_dir: str  #: HTCONDOR_LOG_PATH
    date: str  #: YYYY-MM-DD, the log directory's sub-directory of today
    pid: int  #: the CE's process id, part of every agent's id
    router: bool = True  #: USE_JOB_ROUTER: vanilla universe, the JobRouter decides where
    grid_resource: str = ""  #: GRID_RESOURCE, e.g. "condor ce.example.org ce.example.org:9619"
    custom: str = ""  #: content of ~/custom-classad.jdl, as ``custom_attributes`` returns it

    @property
    def log_folder(self) -> str:
        """The directory of today's logs."""
        return f"{self.log_dir}/{self.date}"


@dataclass(frozen=True)
class Paths:
    """The files for an agent's output, error output and user log."""

    output: str
    error: str
    log: str

    @classmethod
    def from_base(cls, base: str) -> Paths:
        """Return the paths that differ in their suffix only."""
        return cls(f"{base}.out", f"{base}.err", f"{base}.log")


@dataclass(frozen=True)
class Submission:
    """An agent to submit: its number (from 1) and its start script (absolute path)."""

    number: int
    script: str

    def agent_id(self, site: Site) -> str:
        """Return ALIEN_JOBAGENT_ID: the CE's process id and its counter, which starts at 0."""
        return f"{site.pid}.{self.number - 1}"


def format_custom_attributes(jdl: str) -> str:
    """Format a site's custom-classad.jdl as both CEs do: without comments and empty lines.

    Blanks after a final backslash are removed, because they would end the continuation for an old
    condor_submit.
    """
    kept = []
    for line in jdl.splitlines():
        bare = line.strip()
        if not bare or bare.startswith(("#", "//")):
            continue
        tail = line.rstrip()
        kept.append(tail if tail.endswith("\\") else line)
    body = "".join(f"{line}\n" for line in kept)
    return "\n#\n# custom attributes start\n#\n\n" + body + "\n#\n# custom attributes end\n#\n\n"
