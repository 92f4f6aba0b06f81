"""The attributes that every job's ad has, and those that a description may not set."""

from __future__ import annotations

from dataclasses import dataclass

from vobox.classad.ad import Ad, literal, quote
from vobox.classad.cost import Charge, charge_nobody
from vobox.client.version import CONDOR_PLATFORM, CONDOR_VERSION
from vobox.jobs.requirements import ListPilots, list_no_pilots
from vobox.jobs.status import IDLE

from .errors import job_error, submit_error
from .expressions import canonicalize, evaluate_boolean, evaluate_integer
from .job_commands import Commands
from .quoting import strip_quotes

#: What a job starts with besides its own; HTCondor 25.14's names and types.
_START: dict[str, bool | int | float | str] = {
    "MyType": "Job",
    "TargetType": "Machine",
    "CommittedSlotTime": 0,
    "CommittedSuspensionTime": 0,
    "CommittedTime": 0,
    "CumulativeRemoteSysCpu": 0.0,
    "CumulativeRemoteUserCpu": 0.0,
    "CumulativeSlotTime": 0,
    "CumulativeSuspensionTime": 0,
    "CurrentHosts": 0,
    "ExitBySignal": False,
    "ExitStatus": 0,
    "LastSuspensionTime": 0,
    "MaxHosts": 1,
    "MinHosts": 1,
    "JobSubmitMethod": 0,
    "NumCkpts": 0,
    "NumCkpts_RAW": 0,
    "NumJobCompletions": 0,
    "NumJobStarts": 0,
    "NumRestarts": 0,
    "NumSystemHolds": 0,
    "RemoteSysCpu": 0.0,
    "RemoteUserCpu": 0.0,
    "RemoteWallClockTime": 0.0,
    "TotalSuspensions": 0,
    "JobStatus": IDLE,
    "CondorVersion": CONDOR_VERSION,
    "SubmitVersion": CONDOR_VERSION,
    "CondorPlatform": CONDOR_PLATFORM,
}
_NOTIFICATIONS = {"never": 0, "always": 1, "complete": 2, "error": 3, "start": 4}

#: The schedd's own; with ``+Owner`` one user could pass for another.
_OURS = {
    name.lower()
    for name in (
        "ClusterId",
        "ProcId",
        "Owner",
        "User",
        "GlobalJobId",
        "JobStatus",
        "QDate",
        "EnteredCurrentStatus",
    )
}
#: Commands that HTCondor's starter runs beside the job.
_AROUND_THE_JOB = frozenset({"precmd", "postcmd"})
#: What runs must be what the ad says: these have commands.
_BY_COMMAND = {
    "cmd": "executable",
    "args": "arguments",
    "arguments": "arguments",
    "env": "environment",
    "environment": "environment",
    "iwd": "initialdir",
    "in": "input",
    "jobuniverse": "universe",
    "transferinput": "transfer_input_files",
    "transferexecutable": "transfer_executable",
    "shouldtransferfiles": "should_transfer_files",
    "x509userproxy": "x509userproxy",
}


@dataclass(frozen=True)
class Submission:
    """What all jobs of one submit share."""

    cluster: int
    owner: str
    schedd: str
    now: int  #: epoch seconds
    submit_file: str = ""
    spooled: bool = False  #: -spool: its output waits here until it is fetched
    list_pilots: ListPilots = list_no_pilots
    charge: Charge = charge_nobody  #: is told the CPU seconds of the user's expressions

    @property
    def domain(self) -> str:
        """UID_DOMAIN and FILESYSTEM_DOMAIN: the host's name, as HTCondor's default."""
        return self.schedd.rpartition("@")[2]


def record_common(submission: Submission, ad: Ad) -> None:
    """Record what every job of the submit has in common."""
    ad.update({name: literal(value) for name, value in _START.items()})
    ad.update(
        {
            "ClusterId": str(submission.cluster),
            "Owner": quote(submission.owner),
            "User": quote(f"{submission.owner}@{submission.domain}"),
            "QDate": str(submission.now),
            "EnteredCurrentStatus": str(submission.now),
        }
    )
    if submission.submit_file:
        ad["JobSubmitFile"] = quote(submission.submit_file)


def record_identity(submission: Submission, proc: int, ad: Ad, grid_prefix: str) -> None:
    """Record what no two jobs have in common.

    :param proc: the job's number within its cluster
    :param grid_prefix: the beginning of a grid job's GridJobId; "" for other jobs
    """
    identity = f"{submission.schedd}#{submission.cluster}.{proc}#{submission.now}"
    ad["ProcId"] = str(proc)
    ad["GlobalJobId"] = quote(identity)
    if grid_prefix:
        ad["GridJobId"] = quote(f"{grid_prefix} {submission.cluster}.{proc}")


def record_presentation(commands: Commands, ad: Ad, owner: str) -> None:
    """Record priority, notification, batch name and accounting; raises SubmitError.

    ``commands``: of the submit description; ``ad``: of the job, which is changed; ``owner``: who
    submits.
    """
    ad["JobPrio"] = "0"
    for command in ("priority", "prio"):
        if priority := commands.get(command, "JobPrio"):
            ad["JobPrio"] = str(evaluate_integer(command, priority))
            break
    notification = (commands.get("notification", "JobNotification") or "never").lower()
    if notification not in _NOTIFICATIONS:
        raise job_error("Notification must be 'Never', 'Always', 'Complete', 'Start', or 'Error'")
    ad["JobNotification"] = str(_NOTIFICATIONS[notification])
    if name := commands.get("batch_name", "JobBatchName"):
        ad["JobBatchName"] = quote(strip_quotes(name))
    _record_accounting(commands, ad, owner)


def find_mistakes(commands: Commands, ad: Ad, domain: str) -> list[str]:
    """Return HTCondor's warnings about what is allowed and hardly meant.

    ``ad``: of the job, without ``+Attr``; ``domain``: of its submission.
    """
    warnings = []
    if _is_nice(commands) and _get_accounting_group(commands):
        warnings.append(
            "WARNING: nice_user conflicts with accounting_group. nice_user will be ignored\n"
        )
    who = ad.text("NotifyUser")
    if who.lower() not in ("never", "false"):
        return warnings
    return [
        *warnings,
        f"WARNING: You used  notify_user={who}  in your submit file.\n"
        f'This means notification email will go to user "{who}@{domain}".\n'
        "This is probably not what you expect!\n"
        'If you do not want notification email, put "notification = never"\n'
        "into your submit file, instead.\n",
    ]


def _is_nice(commands: Commands) -> bool:
    nice = commands.get("nice_user", "NiceUser")
    return nice is not None and evaluate_boolean("nice_user", nice)


def _get_accounting_group(commands: Commands) -> str | None:
    return commands.get("accounting_group", "AccountingGroup")


def _record_accounting(commands: Commands, ad: Ad, owner: str) -> None:
    """Record the accounting group and user; raises SubmitError."""
    group = _get_accounting_group(commands)
    user = commands.get("accounting_group_user", "AcctGroupUser")
    for command, value in (("accounting_group", group), ("accounting_group_user", user)):
        if value and any(character.isspace() for character in value):
            raise job_error(f"Invalid {command}: {value}")
    if _is_nice(commands):
        group = group or "nice-user"
        ad["MaxJobRetirementTime"] = "0"
    if group is None and user is None:
        return
    ad["AcctGroupUser"] = quote(user or owner)
    if group is None:
        ad["AccountingGroup"] = quote(user or owner)
    else:
        ad["AcctGroup"] = quote(group)
        ad["AccountingGroup"] = quote(f"{group}.{user or owner}")


def record_custom(commands: Commands, ad: Ad, owner: str) -> None:
    """Record ``+Attr`` and ``MY.Attr``, which override everything else. Raises SubmitError.

    ``commands``: of the submit description; ``ad``: of the job, which is changed; ``owner``: who
    submits.
    """
    me = quote(owner)
    for attribute, expression in commands.list_custom():
        if "." in attribute:
            raise job_error(f"+{attribute}: illegal attribute name")
        if attribute.lower() == "owner" and expression.lower() in ("undefined", me.lower()):
            continue  # both mean the submitter
        if attribute.lower() in _OURS:
            raise submit_error(f"+{attribute}: the schedd sets this attribute itself")
        if attribute.lower() in _AROUND_THE_JOB:
            raise submit_error(
                f"+{attribute}: pilots run no command before or after the job; "
                "let the executable do it"
            )
        if attribute.lower() in _BY_COMMAND:
            command = _BY_COMMAND[attribute.lower()]
            raise submit_error(f"+{attribute}: say it with the command {command}")
        if attribute.lower() == "requirements" and not expression:
            continue  # as HTCondor, which makes Requirements after this
        ad[attribute] = canonicalize(attribute, expression) if expression else "undefined"
