"""Jobs that a test submits on the site's VO box, on the host ``head``."""

import json

from tests.ansible.site import Site
from tests.support.waiting import wait_until


def submit(site: Site, number: int, command: str, name: str) -> None:
    """Submit ``number`` jobs that run ``command``, with the description in the file ``name``."""
    text = (
        f"executable = /bin/sh\narguments = \"-c '{command}'\"\noutput = /tmp/{name}.$(Process)\n"
        f"log = /tmp/{name}.log\nqueue {number}\n"
    )
    site.hosts.run("head", f"cat > /tmp/{name}.sub <<'E'\n{text}E\ncondor_submit /tmp/{name}.sub")


def queued(site: Site) -> list[dict[str, object]]:
    found = json.loads(site.hosts.run("head", "condor_q -allusers -json") or "[]")
    assert isinstance(found, list)
    return found


def wait_for_jobs(site: Site) -> None:
    wait_until(
        lambda: not queued(site),
        "all jobs to complete",
        timeout=180,
        state=lambda: site.hosts.run("head", "condor_q -allusers -nobatch; planctonctl explain"),
    )
