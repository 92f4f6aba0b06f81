"""HTCondor's own ClassAd functions are known from the start.

Each program runs in a process of its own: in this one the library may be set up already.
The values are those of HTCondor 25.14.0 (condor_q -af and the like on a personal pool).
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[4]
VALUES = {
    'stringListMember("a", "a,b")': "True",
    'stringListIMember("A", "a,b")': "True",
    'stringListSize("a,b")': "2",
    'stringListSum("1,2")': "3",
    'stringListAvg("1,2")': "1",
    'stringListMin("2,1")': "1",
    'stringListSubsetMatch("a", "a,b")': "True",
    'stringList_regexpMember("a.*", "ab,c")': "True",
    'split("s#7.0#17", "#")[1]': "'7.0'",
    'splitUserName("alice@here")': "['alice', 'here']",
    'splitSlotName("slot1@node")': "['slot1', 'node']",
    'userHome("root")': "'/root'",
    'mergeEnvironment("A=1", "B=2")': "'A=1 B=2'",
    'envV1ToV2("A=1;B=2")': "'A=1 B=2'",
    'listToArgs({"a", "b"})': "'a b'",
    'argsToList("a b")': "['a', 'b']",
    "countMatches(Ok, {[Ok = true], [Ok = false]})": "1",
    "evalInEachContext(N, {[N = 1], [N = 2]})": "[1, 2]",
}
PROGRAM = """
import sys
from vobox.classad.ad import Ad, evaluate
for text in sys.argv[1:]:
    print(repr(evaluate(text, Ad(), 0)))
"""


def run(program: str, *argv: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program, *argv],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), **env},
    )


def test_a_process_that_has_just_started_knows_the_functions() -> None:
    assert run(PROGRAM, *VALUES).stdout.splitlines() == list(VALUES.values())


@pytest.mark.parametrize("config", ["/nope", "/etc/passwd", str(ROOT)])
def test_the_configuration_of_an_htcondor_on_this_host_is_not_read(config: str) -> None:
    done = run(PROGRAM, 'stringListSize("a,b")', CONDOR_CONFIG=config)
    assert (done.stdout, done.stderr) == ("2\n", "")


def test_the_environment_is_left_as_it_was() -> None:
    program = "import os, vobox.classad.ad; print(os.environ.get('CONDOR_CONFIG'))"
    assert run(program, CONDOR_CONFIG="/x").stdout == "/x\n"


def test_a_policy_that_was_parsed_first_fires() -> None:
    program = """
from vobox.classad.ad import Ad
from vobox.classad.expressions import Evaluator
ad = Ad({"Tags": '"a,b"'})
print(Evaluator(0).holds(ad, 'stringListMember("a", Tags)'))
"""
    assert run(program).stdout == "True\n"


@pytest.mark.parametrize(
    "text",
    [
        'countMatches(true, split("a"))',
        'evalInEachContext(1, {split("a,b")}[0] ?: {1})',
        "countMatches(true, Parts)",
        "'countMatches'(true, Parts)",
        'eval("countMatches(true, Parts)")',
        'eval("evalInEachContext(1, split(Tags))")',
        "Endless",
        "Endless == 1",
        "MY.Endless2",
        "evalInEachContext(Endless2, {[a = 1]})[0]",
    ],
)
def test_what_ends_the_process_in_htcondor_is_an_error(text: str) -> None:
    program = """
import classad2, sys
from vobox.classad.ad import Ad, evaluate
from vobox.classad.expressions import Evaluator
ad = Ad({
    "Tags": '"a,b"', "Parts": "split(Tags)", "Endless": "evalInEachContext(Endless, {[a = 1]})",
    "Endless2": "countMatches(true || MY.Endless2, {[a = 1]}) + Endless",
})
for value in (Evaluator(0).value(ad, sys.argv[1]), evaluate(sys.argv[1], ad, 0)):
    print(value is classad2.Value.Error)
"""
    assert run(program, text).stdout == "True\nTrue\n"


def test_what_is_counted_may_be_an_attribute_and_the_list_hold_attributes() -> None:
    program = """
from vobox.classad.ad import Ad
from vobox.classad.expressions import Evaluator
ad = Ad({"N": "5", "Ok": "N > 1", "D": "[N = 3]"})
for text in (
    "countMatches(Ok, {[N = 1], [N = 2], D})", "evalInEachContext(N + 1, { D , [a = 1.5] })",
    "countMatches(MY.Ok, {D})", "countMatches(N == 1, {[N = 1]}) + countMatches(N > 7, {D})",
):
    print(Evaluator(0).value(ad, text))
"""
    assert run(program).stdout == "2\n[4, 6]\n1\n1\n"
