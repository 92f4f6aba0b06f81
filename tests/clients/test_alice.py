"""ALICE's CEs: every dialect of the demo CE to its end; how AliEn and JAliEn look after jobs."""

import re
import subprocess
from datetime import datetime, timezone
from pathlib import Path

import pytest

from demo_ce.dialects import DIALECTS
from demo_ce.proxy import make_demo_credential, write_proxy
from tests.clients.pool import PROGRAM, Pool
from tests.support.process_site import PROGRAMS

#: What AliEn's 60 s alarm and kill -9 leave of the environment: an empty one but for these.
ALIEN = "cd / && env -i PATH={path} THYME_SCHEDD_SOCKET={socket} LC_ALL=C "


def run(pool: Pool, place: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [PROGRAMS / "plancton-demo-ce", "--dir", str(place), "--interval", "0.3",
         "--patience", "60", *options],
        env=pool.env, cwd=place, capture_output=True, text=True, timeout=PROGRAM, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("route", ["router", "condor ce.example.org ce.example.org:9619"])
def test_agents_of_every_dialect_run_to_their_end(pool: Pool, place: Path, route: str) -> None:
    number = len(DIALECTS)
    done = run(
        pool, place, "--agents", str(number), "--seconds", "0", "--agent", "2=exit:3",
        "--route", route,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr + pool.said()
    for name in DIALECTS:
        assert f"({name})" in done.stdout


def test_old_alien_lists_and_kills_its_agents(pool: Pool, place: Path) -> None:
    agent = place / "agent.startup.77"
    agent.write_text("#!/bin/sh\nsleep 1000\n")
    agent.chmod(0o755)
    # on stdin, no newline at the end
    done = pool.call("condor_submit", place, stdin=f"cmd = {agent}\nlog = {place}/log\nqueue 1")
    [cluster] = re.findall(r"submitted to cluster (\d+)\.", done.stdout)
    pool.wait_for(f"{cluster}.0", 2)

    status = (
        'condor_q -constraint "JobStatus==1 || JobStatus==2" '
        '-format "%d " ClusterId -format "%s \\n" Cmd'
    )
    lines = pool.call(status, place).stdout.splitlines()
    mine = [line for line in lines if re.search(r"(alien)|(agent.startup)", line, re.IGNORECASE)]
    assert f"{cluster} {agent} " in mine
    last = pool.call(f"condor_q {pool.user} -totals | tail -n 1", place).stdout
    found = re.search(r"(\d+) idle,\s+(\d+) running,\s+(\d+) held,\s+(\d+) suspended", last)
    assert found is not None
    assert int(found[2]) >= 1
    # the kill: the job's line by its id, its first word to condor_rm
    kill = f"condor_rm $({status} | grep '^{cluster} ' | cut -d' ' -f1)"
    assert pool.call(kill, place).returncode == 0
    pool.wait_for(f"{cluster}.0", 3)
    assert pool.call("condor_q", place).returncode == 0  # the health check


def test_alien_v2_19_counts_by_lines_and_by_the_schedds_totals(pool: Pool, place: Path) -> None:
    """Its two modules ask in other ways, and both see what there is."""
    text = "cmd = /bin/sleep\narguments = 1000\nrequirements = false\nqueue 2"
    done = pool.call("condor_submit -terse", place, stdin=text)
    first = done.stdout.split()[0]
    pool.wait_for(first, 1)

    def ask(state: str) -> int:
        command = f'condor_q -format "%s\\n" OWNER -constraint "{state}" | wc -l'
        return int(pool.call(command, place).stdout)

    idle, both = ask("JobStatus==1"), ask("JobStatus==1 || JobStatus==2")
    totals = [
        int(pool.call(f"condor_status -schedd -af {name}", place).stdout)
        for name in ("totalIdleJobs", "totalRunningJobs")
    ]
    assert [idle, both - idle] == totals
    assert idle >= 2
    # what is held is neither
    assert pool.call(f"condor_hold {first}", place).returncode == 0
    pool.wait_for(first, 5)
    assert ask("JobStatus==1") == idle - 1
    assert pool.call(f"condor_rm {first.partition('.')[0]}", place).returncode == 0


def test_condor_pm_counts_lines_and_finds_no_word_of_what_is_not_there(
    pool: Pool, place: Path
) -> None:
    done = pool.call("condor_submit -terse", place, stdin="cmd = /bin/sleep\nhold = true\nqueue")
    job = done.stdout.split()[0]
    count = (
        'condor_q -format "%s " GridJobId -format "HoldReason=%s " HoldReasonCode '
        '-format "%s \\n" GridJobStatus | grep -v undef | grep -v HoldReason | wc -l'
    )
    assert pool.call(count, place).stdout.strip() == "0"
    held = pool.call(
        'condor_q -format "%d " ClusterId -format "HoldReason=%s " HoldReasonCode '
        '-format "%s " GridJobId -format "%s \\n" Cmd',
        place,
    ).stdout
    assert f"{job.partition('.')[0]} HoldReason=15 /bin/sleep " in held.splitlines()
    assert pool.call(f"condor_rm {job}", place).returncode == 0


def test_new_alien_and_jalien_ask_in_an_empty_environment(pool: Pool, place: Path) -> None:
    write_proxy(place / "proxy", make_demo_credential(datetime.now(timezone.utc)))
    agent = place / "agent.sh"
    agent.write_text("#!/bin/sh\nsleep 1000\n")
    agent.chmod(0o755)
    text = (
        f'cmd = {agent}\nlog = {place}/log\n+TransferOutput = ""\n'
        "periodic_hold = (JobStatus <= 2 && CurrentTime - EnteredCurrentStatus > 172800)\n"
        "universe = vanilla\njob_lease_duration = 7200\nShouldTransferFiles = YES\n"
        "use_x509userproxy = true\nenvironment = \"ALIEN_CM_AS_LDAP_PROXY='x:8084'\"\nqueue 1\n\n"
    )
    (place / "htc.jdl").write_text(text)
    bare = ALIEN.format(path=PROGRAMS, socket=pool.socket)
    submit = f"{bare} X509_USER_PROXY={place}/proxy condor_submit {place}/htc.jdl 2>&1"
    done = pool.call(submit, place, bash=True)
    assert done.returncode == 0, done
    [cluster] = re.findall(r"submitted to cluster (\d+)\.", done.stdout)
    # at once, as JAliEn asks, stderr among stdout and lines trimmed
    ask = (
        f"{bare} condor_q -const 'JobStatus < 3' -af JobStatus -format local_pool GridResource 2>&1"
    )
    lines = pool.call(ask, place, bash=True).stdout.splitlines()
    assert any(re.match(r"^\s*([12]+)(\s.*?(\S+))?", line.strip()) for line in lines), lines
    pool.wait_for(f"{cluster}.0", 2)
    status = f"( {bare} condor_status -schedd -af totalRunningJobs totalIdleJobs )"
    numbers = re.findall(r"(\d+)\s+(\d+)", pool.call(status, place).stdout)
    assert int(numbers[-1][0]) >= 1
    assert pool.attributes(f"{cluster}.0", "JobLeaseDuration", "TransferOutput") == ["7200", ""]
    assert pool.call(f"condor_rm {cluster}", place).returncode == 0
    pool.wait_for(f"{cluster}.0", 3)
