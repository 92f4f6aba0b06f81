"""The benches by id; the ids are named in the issues and stay what they are."""

from collections.abc import Callable

from .condor_q import condor_q_af, condor_q_constraint, condor_q_table, condor_q_totals
from .condor_submit import condor_submit
from .dashboards import dashboards
from .dispatch import dispatch
from .fill import fill
from .goodput import goodput_agents, goodput_shared, goodput_whole
from .latency import latency
from .ledger_disk import ledger_disk
from .many_workers import workers_8000, workers_17000
from .mass_actions import condor_hold, condor_q_json, condor_qedit, condor_release, condor_rm
from .metrics_node import metrics_node
from .metrics_schedd import metrics_schedd
from .owner import owner_speed
from .rebuild import rebuild
from .reclaim import reclaim
from .refill import refill
from .rest import daemon_rest
from .result import Result
from .schedd_rss import schedd_rss
from .submit_bulk import submit_bulk
from .worker_rss import worker_rss

BENCHES: dict[str, Callable[[], Result]] = {
    "owner-speed": owner_speed,
    "fill": fill,
    "refill": refill,
    "reclaim": reclaim,
    "daemon-rest": daemon_rest,
    "goodput-shared": goodput_shared,
    "goodput-whole": goodput_whole,
    "goodput-agents": goodput_agents,
    "condor-submit": condor_submit,
    "condor-q-totals": condor_q_totals,
    "condor-q-table": condor_q_table,
    "condor-q-af": condor_q_af,
    "condor-q-constraint": condor_q_constraint,
    "condor-rm": condor_rm,
    "condor-hold": condor_hold,
    "condor-release": condor_release,
    "condor-qedit": condor_qedit,
    "condor-q-json": condor_q_json,
    "schedd-rss": schedd_rss,
    "ledger-disk": ledger_disk,
    "rebuild": rebuild,
    "submit-bulk": submit_bulk,
    "dispatch": dispatch,
    "latency": latency,
    "workers-8000": workers_8000,
    "workers-17000": workers_17000,
    "worker-rss": worker_rss,
    "dashboards": dashboards,
    "metrics-node": metrics_node,
    "metrics-schedd": metrics_schedd,
}
