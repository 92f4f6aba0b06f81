"""Our job ads against those of HTCondor's own library (tests/golden/submit)."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import classad2
import pytest

from tests.support.fake_submit_host import CWD, NOW, FakeSubmitHost, make_proxy

GOLDEN = Path(__file__).parents[4] / "golden" / "submit"
PROXY = make_proxy()

#: Ours alone: HTCondor's schedd adds them, the library of 24.12 does not know them.
ADDED = {
    "globaljobid",
    "user",
    "submitversion",
    "jobsubmitfile",
    "totalsubmitprocs",
    "gridjobid",
    "gridjobstatus",
    "x509userproxysubject",
    "x509userproxyexpiration",
}
#: Different by nature: who made the ad, and where.
ELSEWHERE = {
    "condorversion",
    "condorplatform",
    "jobsubmitmethod",
    # the schedd's own
    "diskusage_raw",
    "executablesize_raw",
    "imagesize_raw",
    "numckpts_raw",
    "initialjobstatus",
    "owner",
    "filesystemdomain",
    "clusterid",
    # 24.12 counts a directory's own blocks, we the bytes that travel
    "diskusage",
    "transferinputsizemb",
}
#: 25.14 asks for 128 MiB by default, 24.12 for an expression.
MEMORY_24 = "ifthenelse(MemoryUsage isnt undefined,MemoryUsage,(ImageSize + 1023) / 1024)"

_RUNS = "on the nodes' pilots, not on the submit host"
_IMAGE = "jobs run in the pilot's own container"
#: Refused here, on purpose, with these words, beside the commands that the table refuses
#: (test_commands_table.py). HTCondor takes them; what it makes of them is not recorded.
REFUSED = {
    "universe = local": _RUNS,
    "universe = scheduler": _RUNS,
    "universe = docker\ndocker_image = debian": _IMAGE,
    "universe = container\ncontainer_image = debian": _IMAGE,
    "universe = parallel\nmachine_count = 2": "a job runs in one pilot",
    # the library does not check the executable, the command does
    "executable = /nope": "Can't access executable file /nope: No such file or directory",
    "executable = @CWD@/data": "data: Not a regular file",
    "transfer_input_files = @CWD@/data/a, http://x/y": "pilots fetch nothing by URL",
    "environment = A=a\\b;B=$$(x);C=%": "give a default: $$(x:value)",
    "+JobStatus = 4": "the schedd sets this attribute itself",
    '+Owner = "bob"': "the schedd sets this attribute itself",
    "+ClusterId = 99": "the schedd sets this attribute itself",
    '+Iwd = "/x"': "say it with the command initialdir",
    '+Cmd = "/x"': "say it with the command executable",
}
#: HTCondor holds these when they start; here the input is read at submit.
HELD = {"transfer_input_files = /nope/x", 'transfer_input_files = "a b", c'}
_EXECUTION_POINT = "asks for an ability of HTCondor's own execution points"
_SIZE = "the program of the machine where the golden ads were made"
#: Attributes that differ on purpose, with the reason.
DIFFERENT: dict[str, dict[str, str]] = {
    "when_to_transfer_output = ON_SUCCESS": {"requirements": _EXECUTION_POINT},
    "encrypt_input_files = a\nencrypt_output_files=b": {"requirements": _EXECUTION_POINT},
    "dont_encrypt_input_files = x": {"requirements": _EXECUTION_POINT},
    "preserve_relative_paths = true": {"requirements": _EXECUTION_POINT},
    "TransferInput = a b": {"transferinput": "the attribute's name counts as the command"},
    "request_memory = -5": {"requestmemory": "rounded up, not towards zero"},
    "transfer_executable = foo": dict.fromkeys(
        ("cmd", "transferexecutable"), "false for 24.12, as not given for 25.14"
    ),
    "shell = echo hi": dict.fromkeys(("imagesize", "executablesize"), _SIZE),
    "executable = $(nope)/bin/echo": dict.fromkeys(("imagesize", "executablesize"), _SIZE),
    "dask.sub": dict.fromkeys(("imagesize", "executablesize"), _SIZE),
}


def host() -> FakeSubmitHost:
    made = FakeSubmitHost(
        {
            f"{CWD}/data/a": b"a\n",
            f"{CWD}/data/b": b"b\n",
            f"{CWD}/proxy.pem": PROXY,
            "/bin/sh": b"\x7fELF",
            "/tmp/x": b"",
            "/etc/input": b"",
            **{f"{CWD}/{name}": b"1" for name in ("foo", "x", "a", "b/x", "a b", "c", "7")},
            f"{CWD}/data/foo": b"",
        }
    )
    made.env = {
        "FOO": "1",
        "BARA": "x y",
        "BARX": "3",
        "HOME": "/home/alice",
        "X509_USER_PROXY": f"{CWD}/proxy.pem",
    }
    return made


class Case(NamedTuple):
    name: str
    description: str
    #: what differs from the plain ad; None: there is no such attribute
    ads: list[dict[str, str | None]]
    #: what HTCondor says; "": it takes the description
    error: str


def read_cases() -> Iterator[Case]:
    """Yield what ``generate.py`` writes, the plain job first, with its whole ad."""
    for name in ("files.txt", "descriptions.txt", "queues.txt"):
        for block in (GOLDEN / name).read_text().removesuffix("\n").split("\n%%\n"):
            text, result = re.split("^=>", block, maxsplit=1, flags=re.MULTILINE)
            title, description = text.strip("\n"), text
            if name == "files.txt":
                description = (GOLDEN / title).read_text()
            elif name == "descriptions.txt":
                description = f"executable = agent.sh\n{text}queue\n"
            error = result.removeprefix(" refused\n") if result.startswith(" refused") else ""
            ads = [] if error else [read_ad(ad) for ad in result.split("\n--")]
            yield Case(title, description, ads, error)


def read_ad(text: str) -> dict[str, str | None]:
    ad: dict[str, str | None] = {}
    for line in text.splitlines():
        attribute, _, value = line.partition(" ")
        if attribute:
            ad[attribute] = None if value == "is absent" else value.removeprefix("= ")
    return ad


CASES = list(read_cases())


def normal(expression: str) -> str:
    return str(classad2.ExprTree(expression))


def expected(case: Case, number: int) -> dict[str, str]:
    ad = {**CASES[0].ads[0], **case.ads[number]}
    return {name: text.replace("@CWD@", CWD) for name, text in ad.items() if text is not None}


def name(case: Case) -> str:
    return case.name


TAKEN = [case for case in CASES if case.ads]
FAILED = [case for case in CASES if case.error]


def without(names: set[str], ad: dict[str, str]) -> dict[str, str]:
    return {attribute: text for attribute, text in ad.items() if attribute not in names}


@pytest.mark.parametrize("case", TAKEN, ids=name)
def test_the_ad_is_htcondors_own(case: Case) -> None:
    jobs = host().make_jobs(case.description.replace("@CWD@", CWD))

    assert len(jobs) == len(case.ads)
    for number, job in enumerate(jobs):
        ours = {name.lower(): normal(text) for name, text in job.ad.items()}
        theirs = {name.lower(): normal(text) for name, text in expected(case, number).items()}
        if theirs.get("requestmemory") == normal(MEMORY_24):
            theirs["requestmemory"] = "128"
        if case.name in HELD:
            assert job.on_hold
            assert ours.pop("holdreasoncode") == "13"
            theirs["jobstatus"] = ours["jobstatus"]
            del ours["holdreason"], ours["holdreasonsubcode"]
        # the schedd rounds it up, and keeps what was asked for
        ours["imagesize"] = ours["imagesize_raw"]
        apart = ADDED | ELSEWHERE | set(DIFFERENT.get(case.name, {}))
        assert without(apart, ours) == without(apart, theirs)
        assert job.ad.number("QDate") == NOW


@pytest.mark.parametrize("lines", REFUSED)
def test_what_cannot_be_honoured_is_refused_with_a_reason(lines: str) -> None:
    description = f"executable = agent.sh\n{lines}\nqueue\n"
    answer = host().submit(description.replace("@CWD@", CWD))

    assert answer.code == 1
    assert answer.stderr.startswith("\nERROR: ")
    assert REFUSED[lines] in answer.stderr


def test_the_lists_of_exceptions_name_real_cases() -> None:
    names = {case.name for case in CASES}
    assert not (HELD | set(DIFFERENT)) - names


#: Refused by HTCondor for another reason than ours, or with words of an older release.
OTHER_WORDS = {
    "universe = docker": _IMAGE,
    "universe = java": "the java universe is not supported here",
    "universe = parallel": "a job runs in one pilot",
    "universe = mpi": "a job runs in one pilot",
    "universe = vm": "pilots start no virtual machines",
    "+Foo": "on Line 2 of e.sub",
    "image_size = foo": "ERROR: Image Size must be positive\nERROR: 'foo' is not valid",
}


@pytest.mark.parametrize("case", FAILED, ids=name)
def test_a_bad_value_is_refused_in_htcondors_words(case: Case) -> None:
    answer = host().submit(case.description.replace("@CWD@", CWD))

    assert (answer.code, answer.stdout) == (1, "Submitting job(s)")
    if case.name in OTHER_WORDS:
        assert OTHER_WORDS[case.name] in answer.stderr
        return
    printed, _, raised = case.error.replace("@CWD@", CWD).partition("EXCEPTION ")
    if printed:
        assert answer.stderr == printed
    else:
        # the command puts ERROR: before what the library raises
        assert answer.stderr == "ERROR: " + raised.removesuffix("\n") + "\n"
