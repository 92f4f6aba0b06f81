"""Events of jobs as they are written into a user log."""

from tests.support.schedd_parts import NOW, Events, ad_of
from thyme.protocol.job import JobId
from vobox.jobs import user_log_events


def submitted(*jobs: JobId) -> str:
    return "".join(user_log_events.format_submit(job, NOW, ad_of(job)) for job in jobs)


def executing(job: JobId) -> str:
    return user_log_events.format_execute(job, NOW, "slot1_7@node7")


def terminated(job: JobId) -> str:
    return user_log_events.format_terminated(job, Events(job).finished(), ad_of(job))


def aborted(job: JobId) -> str:
    return user_log_events.format_aborted(job, NOW, "via condor_rm (by user games)")
