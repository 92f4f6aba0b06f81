"""The table of all submit commands: what each does here.

One row each: honoured (it acts), recorded (it is in the job ad and has no
other effect), refused (a description that sets it is not taken, because
leaving it out would change what runs). The reference page
docs/reference/submit-commands.md is made from this table.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Support(Enum):
    """What becomes of a command."""

    HONOURED = "honoured"
    RECORDED = "recorded"
    REFUSED = "refused"


class ValueType(Enum):
    """How a recorded command's value becomes the attribute's."""

    STRING = "string"
    LIST = "list"  #: comma list, blanks dropped
    EXPRESSION = "expression"
    BOOLEAN = "boolean"
    INTEGER = "integer"
    LENGTH = "length"  #: an integer of at least 0
    PATH = "path"  #: of a file on the submit host; it begins in initialdir


@dataclass(frozen=True)
class SubmitCommand:
    """One command of the submit language."""

    names: tuple[str, ...]  #: the command and its other spellings, in order of precedence
    support: Support
    effect: str  #: one sentence; of a refused one: why, and what to do instead
    attribute: str = ""
    value_type: ValueType | None = None  #: set where the generic code records it


def _honoured(
    names: str, effect: str, attribute: str = "", kind: ValueType | None = None
) -> SubmitCommand:
    return SubmitCommand(tuple(names.split()), Support.HONOURED, effect, attribute, kind)


def _recorded(
    names: str, attribute: str, kind: ValueType | None, effect: str = "No other effect."
) -> SubmitCommand:
    return SubmitCommand(tuple(names.split()), Support.RECORDED, effect, attribute, kind)


def _ignored(names: str, effect: str) -> SubmitCommand:
    return SubmitCommand(tuple(names.split()), Support.RECORDED, effect)


def _refused(names: str, effect: str) -> SubmitCommand:
    return SubmitCommand(tuple(names.split()), Support.REFUSED, effect)


_S, _L, _E, _B, _I, _P = (
    ValueType.STRING,
    ValueType.LIST,
    ValueType.EXPRESSION,
    ValueType.BOOLEAN,
    ValueType.INTEGER,
    ValueType.PATH,
)

_GRID = "Of a grid job; it runs in the local pool."

SUBMIT_COMMANDS: tuple[SubmitCommand, ...] = (
    # what runs
    _honoured("executable cmd", "The program; it travels with the job.", "Cmd"),
    _honoured("shell", "A command line for /bin/sh -c instead of an executable.", "Cmd"),
    _honoured("arguments args", "Its arguments, both syntaxes.", "Arguments or Args"),
    _honoured("arguments2", "Its arguments, new syntax only.", "Arguments"),
    _honoured(
        "allow_arguments_v1 allow_environment_v1",
        "true: arguments2 or environment2 counts where the old syntax is given, too.",
    ),
    _honoured("universe", "vanilla and grid; the others are refused by name.", "JobUniverse"),
    _honoured(
        "grid_resource",
        "Recorded; the job goes to the local pool, GridJobId and GridJobStatus are set at once.",
        "GridResource",
    ),
    _honoured("environment env environment2", "Its environment, both syntaxes.", "Environment"),
    _honoured("getenv get_env", "Variables of the submitter: all, or names and patterns."),
    # files
    _honoured("input stdin", "The job's stdin; it travels with the job.", "In"),
    _honoured("output stdout", "Where stdout goes on this host.", "Out"),
    _honoured("error stderr", "Where stderr goes; may be the same file as output.", "Err"),
    _honoured("transfer_input", "false: input is a path on the node.", "TransferIn"),
    _honoured("transfer_output", "false: output is not written on this host.", "TransferOut"),
    _honoured("transfer_error", "false: error is not written on this host.", "TransferErr"),
    _recorded("stream_input", "StreamIn", None, "The job gets its input at the start."),
    _recorded("stream_output", "StreamOut", None, "Output comes when the job has ended."),
    _recorded("stream_error", "StreamErr", None, "Error comes when the job has ended."),
    _honoured("log", "The user log.", "UserLog"),
    _recorded("log_xml", "UserLogUseXML", _B, "The log's events are written as ClassAds in XML."),
    _honoured(
        "submit_event_notes",
        "A line of the user log's event 000, where it names no attributes.",
        "SubmitEventNotes",
        _S,
    ),
    _honoured(
        "submit_event_user_notes",
        "Another line of the user log's event 000.",
        "SubmitEventUserNotes",
        _S,
    ),
    _honoured(
        "submit_event_notes_attrs",
        "Attributes that the user log's event 000 names, with JobBatchName.",
        "SubmitEventNotesAttrs",
        _S,
    ),
    _honoured(
        "job_ad_information_attrs",
        "Attributes for an event 028 after each other event of a user log that is not in XML.",
        "JobAdInformationAttrs",
        _S,
    ),
    _recorded("ulog_execute_attrs", "UserLogExecuteEventAttrs", _S),
    _recorded("dagman_log", "DAGManNodesLog", _P),
    _recorded("dag_node_name", "DAGNodeName", _S),
    _recorded("dagman_job_id", "DAGManJobId", ValueType.LENGTH),
    _recorded("project_name", "ProjectName", _S),
    _recorded("match_list_length", "LastMatchListLength", _I),
    _recorded("want_job_networking", "WantJobNetworking", _B),
    _honoured("initialdir iwd initial_dir job_iwd", "Where relative paths begin.", "Iwd"),
    _recorded("remote_initialdir", "RemoteIwd", _S),
    _honoured(
        "should_transfer_files",
        "YES and IF_NEEDED: a directory of its own on the node; NO: in initialdir, which must "
        "exist there.",
        "ShouldTransferFiles",
    ),
    _honoured(
        "when_to_transfer_output",
        "Checked and recorded; files come back when the job has ended.",
        "WhenToTransferOutput",
    ),
    _honoured("transfer_executable", "false: the program is on the node.", "TransferExecutable"),
    _honoured("transfer_input_files", "Files and directories that travel.", "TransferInput"),
    _honoured("transfer_common_input", "More of them; each job gets its own.", "CommonInputFiles"),
    _honoured("transfer_output_files", 'What comes back; "": nothing.', "TransferOutput"),
    _honoured("transfer_output_remaps", "Other names for them here.", "TransferOutputRemaps"),
    _honoured("preserve_relative_paths", "Input keeps its directories.", "PreserveRelativePaths"),
    _honoured(
        "max_transfer_input_mb",
        "Held (code 32) when its input is larger (MiB).",
        "MaxTransferInputMB",
        _E,
    ),
    _honoured(
        "max_transfer_output_mb",
        "Held (code 12) when its output is larger (MiB).",
        "MaxTransferOutputMB",
        _E,
    ),
    _recorded("encrypt_input_files", "EncryptInputFiles", _S, "All travel over TLS."),
    _recorded("encrypt_output_files", "EncryptOutputFiles", _S, "All travel over TLS."),
    _recorded("dont_encrypt_input_files", "DontEncryptInputFiles", _S),
    _recorded("dont_encrypt_output_files", "DontEncryptOutputFiles", _S),
    _recorded("erase_output_and_error_on_restart", "EraseOutputAndErrorOnRestart", _B),
    _recorded("jar_files", "JarFiles", _S),
    _recorded("java_vm_args java_vm_arguments", "JavaVMArgs", _S),
    _recorded("append_files", "AppendFiles", _S),
    _recorded("compress_files", "CompressFiles", _S),
    _recorded("fetch_files", "FetchFiles", _S),
    _recorded("local_files", "LocalFiles", _S),
    _recorded("file_remaps", "FileRemaps", _E),
    _recorded("manifest", "ManifestDesired", _B),
    _recorded("manifest_dir", "ManifestDir", _S),
    _recorded("skip_if_dataflow", "SkipIfDataflow", _B, "The job runs in any case."),
    _ignored("skip_filechecks", "Nothing but the executable is checked at submit."),
    _refused(
        "transfer_plugins transferplugins output_destination outputdestination",
        "pilots fetch and store nothing by URL; list the files in transfer_input_files",
    ),
    _recorded(
        "aws_access_key_id_file gs_access_key_id_file s3_access_key_id_file",
        "EC2AccessKeyId",
        _S,
        "Pilots fetch and store nothing by URL.",
    ),
    _recorded(
        "aws_secret_access_key_file gs_secret_access_key_file s3_secret_access_key_file",
        "EC2SecretAccessKey",
        _S,
        "Pilots fetch and store nothing by URL.",
    ),
    _recorded("aws_region", "AWSRegion", _S, "Pilots fetch and store nothing by URL."),
    _refused(
        "output_directory outputdirectory",
        "name the directory in output, error and transfer_output_remaps",
    ),
    _refused(
        "public_input_files publicinputfiles", "there is no web cache; use transfer_input_files"
    ),
    _refused(
        "checkpoint_exit_code successcheckpointexitcode transfer_checkpoint_files "
        "transfercheckpoint checkpoint_destination checkpointdestination",
        "jobs are not checkpointed here",
    ),
    _refused(
        "encrypt_execute_directory encryptexecutedirectory",
        "scratch directories are not encrypted here",
    ),
    _refused(
        "mount_under_scratch mountunderscratch",
        "pilots mount nothing for a job; TMPDIR names a directory of its own",
    ),
    _refused(
        "tool_daemon_cmd tooldaemoncmd", "pilots run the job's program alone; start it from there"
    ),
    _ignored(
        "tool_daemon_args tool_daemon_arguments tool_daemon_arguments2 tooldaemonargs "
        "tool_daemon_input tooldaemoninput tool_daemon_output tooldaemonoutput "
        "tool_daemon_error tooldaemonerror suspend_job_at_exec suspendjobatexec",
        "Only tool_daemon_cmd gives it a meaning.",
    ),
    # credentials
    _honoured(
        "use_x509userproxy",
        "The proxy of the submitter travels (mode 0600); X509_USER_PROXY names it.",
    ),
    _honoured("x509userproxy", "The same with this file.", "x509userproxy"),
    _recorded(
        "delegate_job_gsi_credentials_lifetime",
        "DelegateJobGSICredentialsLifetime",
        None,
        "The proxy travels as it is.",
    ),
    _honoured(
        "use_scitokens use_scitoken",
        "The submitter's token travels (mode 0600); BEARER_TOKEN_FILE names it. It is not renewed.",
    ),
    _honoured("scitokens_file", "The same with this file.", "ScitokensFile"),
    _refused(
        "use_oauth_services useoauthservices",
        "there is no credential store here; name a token with scitokens_file",
    ),
    # resources and matching
    _honoured("request_cpus", "Recorded for the schedd's limits.", "RequestCpus"),
    _honoured("request_memory", "MiB, or with a unit; one size.", "RequestMemory"),
    _honoured("request_disk", "KiB, or with a unit; one size.", "RequestDisk"),
    _honoured("request_gpus", "Recorded; pilots do not match it.", "RequestGPUs"),
    _refused(
        "retry_request_memory retry_request_memory_increase retry_request_memory_max "
        "retry_request_disk on_evict_checks transformonevict",
        "a job is not run again with more memory or disk; ask for enough at once",
    ),
    _refused("want_parallel_scheduling wantparallelscheduling", "each job runs on one pilot"),
    _recorded("require_gpus", "RequireGPUs", None, "Nothing without request_gpus."),
    _refused(
        "gpus_minimum_capability gpus_maximum_capability gpus_minimum_memory gpus_minimum_runtime "
        "cuda_version cudaversion",
        "pilots do not know their GPUs' properties; write them into require_gpus",
    ),
    _honoured(
        "requirements",
        "While it is false for every known pilot, by the ads of condor_status, the job stays idle; "
        "where it is undefined the job runs. It does not choose the pilot: pilots take jobs in "
        "turn. The clause that request_cpus adds does not count.",
        "Requirements",
    ),
    _honoured("rank preferences", "Checked and recorded.", "Rank"),
    _recorded("concurrency_limits_expr", "ConcurrencyLimits", _E),
    _recorded("concurrency_limits", "ConcurrencyLimits", None),
    # what becomes of it
    _honoured("periodic_hold", "Held when true.", "PeriodicHold"),
    _honoured("periodic_hold_reason", "Its reason.", "PeriodicHoldReason"),
    _honoured("periodic_hold_subcode", "Its subcode.", "PeriodicHoldSubCode"),
    _honoured("periodic_release", "Released when true.", "PeriodicRelease"),
    _honoured("periodic_remove", "Removed when true.", "PeriodicRemove"),
    _recorded("periodic_vacate", "PeriodicVacate", _E),
    _honoured("on_exit_hold", "Held instead of completed.", "OnExitHold"),
    _honoured("on_exit_hold_reason", "Its reason.", "OnExitHoldReason"),
    _honoured("on_exit_hold_subcode", "Its subcode.", "OnExitHoldSubCode"),
    _honoured("on_exit_remove", "false: runs again.", "OnExitRemove"),
    _honoured("max_retries", "Runs again after a failure.", "JobMaxRetries"),
    _honoured("retry_until", "No further run when true, or with this exit code."),
    _honoured("success_exit_code", "What is no failure.", "JobSuccessExitCode"),
    _honoured("leave_in_queue", "Stays in the queue while true.", "LeaveJobInQueue"),
    _honoured("hold", "Held until released.", "JobStatus"),
    _honoured(
        "job_lease_duration", "Seconds without news until it runs again.", "JobLeaseDuration"
    ),
    _honoured("kill_sig", "The signal that asks it to end.", "KillSig"),
    _honoured(
        "remove_kill_sig",
        "The signal that asks it to end, instead of kill_sig.",
        "RemoveKillSig",
    ),
    _honoured("kill_sig_timeout", "Seconds until SIGKILL.", "KillSigTimeout"),
    _recorded("job_max_vacate_time", "JobMaxVacateTime", _E),
    _recorded("want_graceful_removal", "WantGracefulRemoval", _E),
    _recorded("max_job_retirement_time", "MaxJobRetirementTime", _E),
    _recorded("job_machine_attrs", "JobMachineAttrs", _S),
    _recorded("job_machine_attrs_history_length", "JobMachineAttrsHistoryLength", _I),
    _recorded("keep_claim_idle", "KeepClaimIdle", _E),
    _recorded("next_job_start_delay", "NextJobStartDelay", _E),
    _honoured(
        "allowed_execute_duration",
        "Held (code 47) when its program has run for so many seconds.",
        "AllowedExecuteDuration",
        _E,
    ),
    _honoured(
        "allowed_job_duration",
        "Held (code 46) when a run has lasted for so many seconds.",
        "AllowedJobDuration",
        _E,
    ),
    _refused(
        "deferral_time deferraltime cron_minute cronminute cron_hour cronhour cron_day_of_month "
        "crondayofmonth cron_month cronmonth cron_day_of_week crondayofweek",
        "jobs start when a pilot is free, not at a set time",
    ),
    _ignored(
        "deferral_window deferral_prep_time cron_window cron_prep_time",
        "Only deferral_time gives it a meaning.",
    ),
    _refused("noop_job isnoopjob", "every job is run"),
    _recorded("noop_job_exit_code", "NoopJobExitCode", _E, "Every job is run."),
    _recorded("noop_job_exit_signal", "NoopJobExitSignal", _E, "Every job is run."),
    # who and how it is shown
    _honoured("priority prio", "Recorded and shown.", "JobPrio"),
    _honoured("batch_name", "Shown by condor_q.", "JobBatchName"),
    _recorded("batch_id", "JobBatchId", _S),
    _recorded("description", "JobDescription", _S),
    _honoured("notification", "Checked and recorded; no mail is sent.", "JobNotification"),
    _recorded("notify_user", "NotifyUser", _S, "No mail is sent."),
    _recorded("email_attributes", "EmailAttributes", _L, "No mail is sent."),
    _honoured(
        "accounting_group accounting_group_user nice_user",
        "Recorded and shown.",
        "AccountingGroup",
    ),
    _recorded("jobset", "JobSetName", _S, "There are no job sets."),
    # containers and other universes
    _refused(
        "docker_image dockerimage container_image containerimage",
        "jobs run in the pilot's own container; leave the image out, or choose the pilots' image",
    ),
    _recorded("docker_network_type", "DockerNetworkType", _S),
    _recorded("docker_pull_policy", "DockerPullPolicy", _S),
    _recorded("docker_override_entrypoint", "DockerOverrideEntrypoint", _B),
    _refused("docker_send_credentials dockersendcredentials", "pilots fetch no images"),
    _recorded("container_target_dir", "ContainerTargetDir", _S),
    _recorded("container_is_common", "ContainerIsCommon", _B),
    _recorded("transfer_container", "TransferContainer", _B),
    _recorded("parallel_script_shadow", "ParallelScriptShadow", _S),
    _recorded("parallel_script_starter", "ParallelScriptStarter", _S),
    _recorded("remote_universe", "Remote_JobUniverse", None, "Grid jobs run in the local pool."),
    _recorded(
        "remote_grid_resource", "Remote_GridResource", _S, "Grid jobs run in the local pool."
    ),
    _recorded("batch_queue", "BatchQueue", _S, _GRID),
    _recorded("batch_project", "BatchProject", _S, _GRID),
    _recorded("batch_runtime", "BatchRuntime", _E, _GRID),
    _recorded("batch_extra_submit_args", "BatchExtraSubmitArgs", _S, _GRID),
    _recorded("arc_rte", "ArcRte", _S, _GRID),
    _recorded("arc_resources", "ArcResources", _S, _GRID),
    _recorded("arc_application", "ArcApplication", _S, _GRID),
    _recorded("arc_data_staging", "ArcDataStaging", _S, _GRID),
    _ignored("interactive_executable interactive_args", "-interactive is refused."),
    # late materialisation
    _ignored("max_materialize jobmaterializelimit", "All jobs are queued at once."),
    _recorded(
        "max_idle materialize_max_idle",
        "JobMaterializeMaxIdle",
        _E,
        "All jobs are queued at once.",
    ),
    # local habits of farms with nothing to act on here
    _recorded("run_as_owner", "RunAsOwner", _B),
    _recorded("load_profile", "LoadProfile", _B),
    _honoured("core_size coresize", "Bytes of its core file at most; -1: any.", "CoreSize", _I),
    _honoured("image_size", "The first value of ImageSize (KiB).", "ImageSize"),
    _honoured("disk_usage", "The first value of DiskUsage (KiB).", "DiskUsage"),
    _recorded("stack_size", "StackSize", _E),
    _recorded("hold_kill_sig", "HoldKillSig", None, "kill_sig is sent, as by HTCondor."),
    _recorded("primary_unix_group", "PrimaryUnixGroup", _S),
    _recorded("starter_debug", "JobStarterDebug", _S),
    _recorded("starter_log", "JobStarterLog", _P, "Pilots keep logs of their own."),
    _recorded("want_io_proxy", "WantIOProxy", _B),
    _recorded("buffer_size", "BufferSize", _E),
    _recorded("buffer_block_size", "BufferBlockSize", _E),
    _recorded("buffer_files", "BufferFiles", _E),
    _ignored("dag_status failed_count job retry", "Nothing reads it."),
)

#: The commands that are never asked for, but for those that say nothing without another.
IGNORED_NAMES = frozenset(
    name
    for row in SUBMIT_COMMANDS
    for name in row.names
    if row.support is Support.RECORDED
    and not row.attribute
    and not name.startswith(("cron_", "deferral_", "suspend", "tool"))
)
#: All keys that are commands. machine_count is none in our universes: HTCondor warns of it.
COMMAND_NAMES: frozenset[str] = frozenset(name for row in SUBMIT_COMMANDS for name in row.names)
