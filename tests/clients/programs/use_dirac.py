"""DIRAC's own BatchSystems/Condor.py, which it also copies to remote hosts: it stands alone."""

import importlib.metadata
import importlib.util
import json
import sys
from pathlib import Path

from waiting import wait_until

MODULE = "DIRAC/Resources/Computing/BatchSystems/Condor.py"


def load():
    found = next(f for f in importlib.metadata.files("DIRAC") or [] if str(f) == MODULE)
    spec = importlib.util.spec_from_file_location("Condor", found.locate())
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main() -> None:
    pilot = Path("pilot.sh").absolute()
    pilot.write_text(
        "#!/bin/sh\necho pilot $DIRAC_PILOT_STAMP $CONDOR_JOBID\n"
        "case $DIRAC_PILOT_STAMP in bad) exit 3;; long) sleep 1000;; esac\n"
    )
    pilot.chmod(0o755)
    condor = load().Condor()
    submitted = condor.submitJob(
        Executable=str(pilot), OutputDir=str(Path.cwd()), SubmitOptions="", NJobs=3,
        JobStamps=["good", "bad", "long"], NumberOfProcessors=1,
    )  # fmt: skip
    jobs = submitted.get("Jobs", [])
    wanted = dict(zip(jobs, ["Done", "Aborted", "Running"]))
    seen, counts = wait_until(
        lambda: (condor.getJobStatus(JobIDList=jobs), condor.getCEStatus()),
        lambda answers: answers[0].get("Jobs") == wanted,
    )
    killed = condor.killJob(JobIDList=jobs[2:])
    after = wait_until(
        lambda: condor.getJobStatus(JobIDList=jobs[2:]),
        lambda answer: answer.get("Jobs", {}).get(jobs[2]) in ("Aborted", "Unknown"),
    )
    files = condor.getJobOutputFiles(
        JobIDList=jobs[:1], OutputDir=str(Path.cwd()), ErrorDir=str(Path.cwd())
    )
    json.dump(
        {"submitted": submitted, "seen": seen, "counts": counts, "killed": killed,
         "after": after, "files": files},
        sys.stdout,
    )  # fmt: skip


if __name__ == "__main__":
    main()
