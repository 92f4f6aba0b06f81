"""b2luigi: a task graph whose tasks are HTCondor jobs, one of them failing."""

import os
import sys
from pathlib import Path

import b2luigi


class Square(b2luigi.Task):
    number = b2luigi.IntParameter()
    batch_system = "htcondor"

    def output(self):
        yield self.add_to_output("square.txt")

    def run(self):
        if self.number == 3:
            raise ValueError("three")
        with open(self.get_output_file_name("square.txt"), "w") as out:
            out.write(f"{self.number**2} {os.environ['_CONDOR_SCRATCH_DIR']}")


if __name__ == "__main__":
    here = str(Path(__file__).parent)
    for name in ("result_dir", "log_dir", "task_file_dir"):
        b2luigi.set_setting(name, f"{here}/{name}")
    b2luigi.set_setting("executable", [sys.executable])
    b2luigi.set_setting("working_dir", here)
    b2luigi.set_setting("htcondor_settings", {"getenv": "true"})
    # it believes an old answer of condor_q for two minutes otherwise
    b2luigi.set_setting("batch_status_cache_ttl", 1)
    b2luigi.process(
        [Square(n) for n in (1, 2, 3)],
        workers=3,
        batch=True,
        ignore_additional_command_line_args=True,
    )
