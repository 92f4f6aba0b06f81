"""The agent's script, really run: it works, checks, reports and ends as expected."""

import os
import signal
import stat
import subprocess
from datetime import datetime, timedelta, timezone

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from demo_ce.agent import WORK_FAILED, Behaviour, build_script, parse_behaviour
from demo_ce.errors import UsageError
from demo_ce.proxy import COMMON_NAME, make_demo_credential, write_proxy

PROXY = "-----BEGIN CERTIFICATE-----\nnot a real one: $HOME `id`\n-----END CERTIFICATE-----\n"


def run(tmp_path, behaviour=None, **environment):
    path = tmp_path / "agent.startup.5"
    text = build_script(
        5, "cafe", behaviour or Behaviour(seconds=0), PROXY, str(tmp_path / "ledger")
    )
    path.write_text(text)
    path.chmod(0o755)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    return subprocess.run(
        [path],
        capture_output=True,
        text=True,
        env={"PATH": os.environ["PATH"], "_CONDOR_SCRATCH_DIR": str(scratch), **environment},
        timeout=60,
        check=False,
    )


def ledger(tmp_path):
    return [line.split()[:2] for line in (tmp_path / "ledger").read_text().splitlines()]


def test_an_agent_reports_its_work_and_leaves_nothing_behind(tmp_path):
    done = run(tmp_path, CONDOR_ID="12.0", ALIEN_JOBAGENT_ID="4242.4")

    assert done.returncode == 0
    assert done.stderr == "agent 5: error stream of cafe\n"
    lines = done.stdout.splitlines()
    assert lines[0] == "agent 5: token cafe"
    assert lines[1] == "agent 5: id 4242.4, job 12.0"
    assert lines[2].startswith(f"agent 5: host {os.uname().nodename}, user {os.getuid()}")
    assert lines[3] == "agent 5: proxy embedded 600, with the job no"
    assert lines[4].startswith("agent 5: compressed and verified 1 blocks of 262144 bytes")
    assert lines[5:] == ["agent 5: done cafe"]
    assert ledger(tmp_path) == [["start", "cafe"], ["done", "cafe"]]
    assert list((tmp_path / "scratch").iterdir()) == []


def test_an_agent_works_for_the_seconds_it_is_told(tmp_path):
    done = run(tmp_path, Behaviour(seconds=2))

    blocks = int(done.stdout.partition("verified ")[2].split()[0])
    assert blocks > 1


def test_an_agent_exits_with_its_code(tmp_path):
    assert run(tmp_path, Behaviour(seconds=0, code=7)).returncode == 7
    assert ledger(tmp_path)[-1] == ["done", "cafe"]


def test_an_agent_dies_of_its_signal_after_its_work_and_without_a_core_file(tmp_path):
    done = run(tmp_path, Behaviour(seconds=0, signal=11))

    assert done.returncode == -signal.SIGSEGV
    assert done.stdout.endswith("agent 5: done cafe\n")
    assert list((tmp_path / "scratch").iterdir()) == []


def test_an_agent_compares_the_proxy_that_came_with_the_job(tmp_path):
    write_proxy(tmp_path / "x509", PROXY.encode())

    done = run(tmp_path, X509_USER_PROXY=str(tmp_path / "x509"))

    assert "agent 5: proxy embedded 600, with the job 600\n" in done.stdout


@pytest.mark.parametrize(
    ("content", "complaint"),
    [(b"another\n", "the proxy that came with the job is another one"), (None, "no proxy at")],
)
def test_an_agent_gives_up_on_a_wrong_proxy(tmp_path, content, complaint):
    if content is not None:
        write_proxy(tmp_path / "x509", content)

    done = run(tmp_path, X509_USER_PROXY=str(tmp_path / "x509"))

    assert done.returncode == WORK_FAILED
    assert f"agent 5: {complaint}" in done.stderr
    assert ledger(tmp_path) == [["start", "cafe"], ["failed", "cafe"]]


def test_an_agent_reports_a_failed_comparison(tmp_path):
    tools = tmp_path / "tools"
    tools.mkdir()
    broken = tools / "gzip"
    broken.write_text('#!/bin/sh\n[ "$1" = -dc ] && echo other bytes && exit\nexec cat "$2"\n')
    broken.chmod(0o755)

    done = run(tmp_path, PATH=f"{tools}:{os.environ['PATH']}")

    assert done.returncode == WORK_FAILED
    assert "agent 5: unpacked bytes differ" in done.stderr
    assert "done" not in done.stdout


@pytest.mark.parametrize(
    ("text", "behaviour"),
    [
        ("exit:7", Behaviour(3, code=7)),
        ("signal:11", Behaviour(3, signal=11)),
        ("seconds:60, exit:1", Behaviour(60, code=1)),
    ],
)
def test_a_behaviour_is_parsed(text, behaviour):
    assert parse_behaviour(text, Behaviour(3)) == behaviour


@pytest.mark.parametrize(
    "text", ["", "exit", "exit:-1", "exit:x", "exit:256", "signal:99", "nap:1"]
)
def test_a_wrong_behaviour_is_named(text):
    with pytest.raises(UsageError, match=text.partition(":")[0] or "''"):
        parse_behaviour(text, Behaviour(3))


def test_the_demo_credential_is_real_short_lived_and_says_what_it_is(tmp_path):
    now = datetime(2026, 1, 2, 3, tzinfo=timezone.utc)

    pem = make_demo_credential(now)

    certificate = x509.load_pem_x509_certificate(pem)
    key = serialization.load_pem_private_key(pem, None)
    assert certificate.public_key() == key.public_key()
    certificate.verify_directly_issued_by(certificate)
    assert COMMON_NAME in certificate.subject.rfc4514_string().replace("\\", "")
    assert certificate.not_valid_before_utc < now
    assert certificate.not_valid_after_utc - now == timedelta(hours=24)


def test_a_proxy_file_is_readable_only_by_its_owner(tmp_path):
    path = tmp_path / "proxy"
    path.write_text("old")
    path.chmod(0o644)

    write_proxy(path, b"new")

    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
