"""The usage texts of the condor commands, which need no schedd to be printed.

The schedd's side prints them too. Python 3.6, the standard library alone; imported only where a
text is asked for, as clients run these commands by the hundred.
"""

#: by command: what ``-help`` prints
USAGES = {
    "condor_config_val": """\
Usage: condor_config_val [-help | -version] \
[-verbose] [-schedd] [-name SCHEDD] [-pool POOL] VARIABLE...
       condor_config_val {-dump [TEXT...] | -config}
""",
    "condor_history": """\
Usage: condor_history [source] [restriction ...] [options]
   source:
\t-file FILE\t\ta history file instead of the schedd's own history
\t-userlog FILE\t\tthe jobs of a user log
\t-name SCHEDD, -pool HOST
   restrictions:
\tCLUSTER | CLUSTER.PROC | OWNER | -submitter OWNER
\t-constraint EXPR\tjobs for which the expression is true
\t-match N | -limit N\tat most N jobs
\t-scanlimit N\t\tlook at the first N jobs only, whether they are meant or not
\t-since ID | EXPR\tstop at this job, or where the expression becomes true
   options:
\t-backwards | -forwards\tnewest first (the default), or oldest first
\t-format FMT ATTR\tprint the attribute as printf would
\t-af[:jlhVrtng,] ATTR ...\tprint attributes in columns
\t-print-format FILE\tprint the columns that a file describes
\t-long | -json | -jsonl | -xml\tprint whole job ads
\t-attributes A,B\t\twith these attributes only
\t-wide | -help | -version
""",
    "condor_prio": """\
Usage: condor_prio [-help | -version] \
[{+|-}PRIORITY] [-p PRIORITY] [-n SCHEDD] [-pool POOL] [-a] [CLUSTER | \
CLUSTER.PROC | USER]...
""",
    "condor_q": """\
Usage: condor_q [restriction ...] [options]
   restrictions:
\tCLUSTER | CLUSTER.PROC | OWNER
\t-submitter OWNER\tjobs of this user
\t-allusers\t\tjobs of all users (the default is your own)
\t-global\t\t\tjobs of all users of all schedds
\t-constraint EXPR\tjobs for which the expression is true
\t-run | -idle | -hold\tjobs in this state
\t-limit N\t\tat most N jobs
\t-name SCHEDD, -pool HOST
\t-userlog FILE\t\tthe jobs of a user log
\t-jobads FILE\t\tjob ads in a file, as -long or -json print them
\t-direct schedd\t\tthe schedd, as always
   options:
\t-nobatch | -batch | -totals
\t-format FMT ATTR\tprint the attribute as printf would
\t-af[:jlhVrtng,] ATTR ...\tprint attributes in columns
\t-print-format FILE\tprint the columns that a file describes
\t-long | -json | -xml\tprint whole job ads
\t-attributes A,B\t\twith these attributes only
\t-better-analyze\t\twhy a job is idle: pilots that fit, place in the queue
\t-cputime | -currentrun | -wide | -help | -version
""",
    "condor_qedit": """\
Usage: condor_qedit [-help | -version] \
[-name SCHEDD] [-dry-run] {CLUSTER.PROC | CLUSTER | OWNER | -owner OWNER | \
-jobids IDS | -constraint EXPR}... {ATTRIBUTE VALUE | ATTRIBUTE=VALUE}...
""",
    "condor_reschedule": """\
Usage: condor_reschedule [-help | -version] [-all] [-name SCHEDD] [-pool POOL] [SCHEDD...]
""",
    "condor_status": """\
Usage: condor_status [query] [options] [NAME ...]
   query (slots of pilots that wait or work, if none is given):
\t-claimed | -avail\tslots that have a job, that wait for one
\t-schedd\t\t\tthe schedd and its numbers of jobs
\t-collector | -master\tthe schedd as its pool; the machines of the slots
\t-submitters | -any\tthe users with jobs; all ads
\t-compact | -run | -state\tother tables of the slots: by machine, with users, with times
   options:
\t-af[:lhVrtng,] ATTR ...\tprint attributes in columns
\t-print-format FILE\tprint the columns that a file describes
\t-format FMT ATTR\tprint the attribute as printf would
\t-long | -json | -jsonl | -xml\tprint the whole ad
\t-attributes A,B\t\twith these attributes only
\t-constraint EXPR\tonly where the expression is true
\t-sort EXPR\t\tby the value of the expression, or in no order (no)
\t-total\t\t\tthe totals only
\t-name NAME | -direct HOST | -pool HOST | -limit N | -wide | -help | -version
""",
    "condor_submit": """\
Usage: condor_submit [options] [<attrib>=<value>] [- | <submit-file>]
    -file <submit-file>     read the description from this file
    -terse                  print only the range of job ids
    -verbose                print the whole job ads
    -append <line>          add an assignment after all others (several allowed)
    -queue <queue-opts>     the queue statement, when the description has none
    -iterate <queue-opts>   the same
    -table <file>           the same as -queue from table <file>
    -batch-name <name>      the name that condor_q shows
    -batch-id <id>          recorded as JobBatchId
    -dry-run <filename>     write the job ads there instead of submitting; - is stdout
    -dump <filename>        the same without the summary
    -maxjobs <number>       submit nothing if there would be more jobs
    -single-cluster         accepted; a submit is always one cluster
    -factory                accepted; all jobs are queued at once
    -spool                  keep the output here until condor_transfer_data
    -remote <name>          the same as -name and -spool
    -name <name>            the schedd; it must be this host's
    -address <address>      accepted; the schedd is the one behind the socket
    -pool <host>            accepted; there is one pool
    -unused                 turn the warnings about unused assignments off or on
    -disable, -debug        accepted, without effect
    -capabilities           say what this schedd has of HTCondor's extras
    -allow-crlf-script      take a script whose lines end in CR LF
    <attrib>=<value>        assign before the description is read
    Without a file, or with -, the description is read from stdin; - also
    means -verbose unless -terse is given.
""",
    "condor_tail": """\
Usage: condor_tail [-help | -version] \
[-name SCHEDD] [-pool POOL] [-maxbytes N] [-f] [-auto-retry] [-no-stdout] \
[-stderr] {CLUSTER | CLUSTER.PROC} [FILE...]
""",
    "condor_transfer_data": """\
Usage: condor_transfer_data [-help | -version] \
[-name SCHEDD] [-pool HOST] {CLUSTER | CLUSTER.PROC | USER | \
-constraint EXPR | -all}...
""",
    "condor_vacate": """\
Usage: condor_vacate [-help | -version] \
[-name SCHEDD] [-fast | -graceful] {-all | HOST | SLOT@HOST}...
""",
}
_JOBS = "[-held | -hold] {CLUSTER | CLUSTER.PROC | USER | -constraint EXPR | -all}..."
for _command, _options in (
    ("condor_rm", " [-forcex]"),
    ("condor_hold", " [-subcode N]"),
    ("condor_release", ""),
    ("condor_suspend", ""),
    ("condor_continue", ""),
    ("condor_vacate_job", " [-fast]"),
):
    USAGES[_command] = (
        "Usage: %s [-help | -version] [-reason TEXT]%s [-totals] [-name SCHEDD] %s\n"
        % (
            _command,
            _options,
            _JOBS,
        )
    )
#: by command: what it does
SUMMARIES = {
    "condor_config_val": "Print values of HTCondor's configuration variables.",
    "condor_continue": "Let suspended jobs run on.",
    "condor_history": "Show jobs that have left the queue.",
    "condor_hold": "Put jobs on hold, and end their runs.",
    "condor_prio": "Change the priority of jobs.",
    "condor_q": "Show the jobs in the queue.",
    "condor_qedit": "Change attributes of jobs in the queue.",
    "condor_release": "Let held jobs run.",
    "condor_reschedule": "Look for jobs that can run; done here at all times.",
    "condor_rm": "Remove jobs.",
    "condor_status": "Show the slots of pilots, or the schedd.",
    "condor_submit": "Queue the jobs that a submit description describes.",
    "condor_suspend": "Stop running jobs until condor_continue.",
    "condor_tail": "Show the end of a running job's output.",
    "condor_transfer_data": "Fetch the output of jobs that were submitted with -spool.",
    "condor_vacate": "End the runs on slots or machines; the jobs run again.",
    "condor_vacate_job": "End the runs of jobs, which run again.",
}
#: the commands whose ``-help`` HTCondor prints to stdout; the others print it to stderr
HELP_ON_STDOUT = (
    "condor_history",
    "condor_q",
    "condor_qedit",
    "condor_status",
    "condor_submit",
)
#: the commands of HTCondor whose ``-help`` is a wrong command line
HELP_FAILS = ("condor_config_val", "condor_prio")


def answer_early(command: str, word: str) -> "tuple[int, str, str]":
    """Answer ``-help`` or ``-version``, with one dash or two: exit code, stdout, stderr."""
    usage = USAGES[command]
    if word in ("-help", "--help"):
        if command in HELP_ON_STDOUT:
            return 0, usage, ""
        return 1 if command in HELP_FAILS else 0, "", usage
    if command == "condor_submit":  # HTCondor's has no option -version
        return 1, "", usage
    from .version import VERSION_TEXT  # imports the client, which imports us

    return 0, VERSION_TEXT, ""
