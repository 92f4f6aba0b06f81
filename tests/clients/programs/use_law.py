"""law's HTCondorJobManager and HTCondorJobFileFactory: submit, query to the end, cancel."""

import json
import sys
from pathlib import Path

import law
from waiting import wait_until

law.contrib.load("htcondor")


#: law puts a job's number into its arguments, and what it does into other files.
JOBS = ["good", "bad", "long"]


def job_file() -> str:
    """One file for all jobs, as law submits them by default: ``queue … from (``."""
    made, _ = law.htcondor.HTCondorJobFileFactory(
        dir=str(Path.cwd()), file_name="jobs.jdl", mkdtemp=False
    )(
        grouped_submission=True,
        executable="job.sh",
        arguments=JOBS,
        postfix=[f"_{number}" for number in range(len(JOBS))],
        stdout="out.txt",
        stderr="err.txt",
        log="log.txt",
    )
    return str(made)


def main() -> None:
    Path("job.sh").write_text(
        '#!/bin/sh\necho "$@"\ncase "$1" in _1) exit 1;; _2) sleep 1000;; esac\n'
    )
    Path("job.sh").chmod(0o755)
    manager = law.htcondor.HTCondorJobManager()
    made = job_file()
    good, bad, long = manager.submit(made, job_files=[made] * len(JOBS))
    states: dict[str, list[str]] = {good: [], bad: [], long: []}

    def look() -> dict[str, dict[str, object]]:
        answer = manager.query([good, bad, long])
        for job, data in answer.items():
            if data["status"] not in states[job][-1:]:
                states[job].append(data["status"])
        return answer

    wanted = {good: "finished", bad: "failed", long: "running"}
    found = wait_until(
        look, lambda answer: {job: data["status"] for job, data in answer.items()} == wanted
    )
    codes = {job: data["code"] for job, data in found.items()}
    manager.cancel(long)
    cancelled = wait_until(lambda: manager.query(long), lambda data: data["status"] == "failed")
    json.dump(
        {
            "version": manager.htcondor_version,
            "jobs": [good, bad, long],
            "states": states,
            "codes": codes,
            "cancelled": cancelled["error"],
        },
        sys.stdout,
    )


if __name__ == "__main__":
    main()
