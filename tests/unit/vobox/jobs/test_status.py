"""JobStatus numbers are HTCondor's."""

import htcondor2

from vobox.jobs import status


def test_each_status_has_the_number_that_it_has_in_htcondor() -> None:
    theirs = {each.name: each.value for each in htcondor2.JobStatus}
    assert {name: getattr(status, name) for name in theirs} == theirs
