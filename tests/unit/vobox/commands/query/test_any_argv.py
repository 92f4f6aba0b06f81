"""Whatever is typed: an answer, never an exception."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.support.fake_query_queue import Command, FakeQueue, ask, job
from tests.support.schedd_parts import Expression
from vobox.commands.query import condor_history, condor_q, condor_status
from vobox.commands.query.condor_history_options import OPTIONS as HISTORY
from vobox.commands.query.condor_q_options import OPTIONS as QUEUE
from vobox.commands.query.condor_status_options import OPTIONS as STATUS

ADS = [
    job(1, 0, 1),
    job(1, 1, 2, Odd=Expression("[a = {1, x}]"), Name='"\n'),
    job(2, 0, 5, HoldReason="é\x7f", Big=1e300, QDate=10**17),
    job(3, 0, 4, Broken=Expression("1 +"), Owner="bob", CompletionDate=-1,
        ImageSize=Expression("1/0")),
    job(4, 0, 3, QDate=Expression("undefined"), JobPrio=Expression('"x"'), Cmd=Expression("Nope")),
    job(5, 0, 99),
]  # fmt: skip
VIEW = FakeQueue(ADS, ADS[::-1])
NAMES = sorted({option.name for option in (*QUEUE, *HISTORY, *STATUS)} - {"file"})
# Not -file: random names would read random files of this machine.
PREFIXES = st.builds(
    lambda name, length: name[: length + 1], st.sampled_from(NAMES), st.integers(0, 9)
)
OPTION = st.builds(
    lambda dash, name, letters: dash + name + letters,
    st.sampled_from(["-", "-", "-", "--"]),
    st.one_of(st.sampled_from(NAMES), PREFIXES),
    st.sampled_from(["", "", "", ":j", ":lng", ":h", ":jhlV", ":r,t", ":TY", ":"]),
).filter(lambda word: not word.startswith("-f") and not word.startswith("--file"))
EXPRESSION = st.sampled_from(
    ["JobStatus == 1", "Odd", "Broken", "Name", "1 +", "MY", "TARGET.x", "a.b.c", "1/0", "x[0]", ""]
)
FORMAT = st.one_of(
    st.text('%-+ 0#.*123sdxfvVrTYcnl\\"', max_size=8),
    st.sampled_from(["%d", "%s\n", "%v", "%V", "%r", "%T", "%Y", "%c", "%10.3f", "%5s", ","]),
)
WORD = st.one_of(
    st.sampled_from(["", "1", "1.0", "3", "bob", "games", "-", "99999999999999999999", "a,b"]),
    EXPRESSION,
    FORMAT,
    st.text(max_size=12),
    st.text(st.characters(min_codepoint=0xD800, max_codepoint=0xDFFF), max_size=2),
)
LINE = st.lists(
    st.one_of(
        OPTION.map(lambda word: [word]),
        WORD.map(lambda word: [word]),
        st.tuples(st.just("-format"), FORMAT, EXPRESSION).map(list),
        st.tuples(st.sampled_from(["-af", "-af:h", "-af:jlng"]), EXPRESSION).map(list),
        st.tuples(st.sampled_from(["-const", "-since"]), EXPRESSION).map(list),
        st.tuples(st.sampled_from(["-limit", "-match"]), WORD).map(list),
        st.sampled_from([["-long"], ["-json"], ["-xml"], ["-nobatch"], ["-hold"], ["-run"]]),
        st.sampled_from([["-totals"], ["-all"], ["-schedd"], ["-global"], ["-cputime"]]),
    ),
    max_size=6,
).map(lambda parts: [word for part in parts for word in part])


@pytest.mark.parametrize("command", [condor_q.answer, condor_history.answer, condor_status.answer])
@given(LINE, st.sampled_from(["", "no broker"]), st.floats(0, 2**40))
@example(["-format", "%d", "\ud800"], "", 0.0)
@example(["-af", "a\0b"], "", 0.0)
@settings(max_examples=600, deadline=None)
def test_any_command_line_gets_an_answer(
    command: Command, argv: list[str], trouble: str, now: float
) -> None:
    if any(word.startswith(("-f", "--f")) and word != "-format" for word in argv):
        return
    VIEW.trouble = trouble
    answer = ask(command, VIEW, *argv, now=now, env={"_condor_CONDOR_Q_ONLY_MY_JOBS": "no"})
    assert answer.code in (0, 1)
    assert answer.code == 0 or answer.stderr
    answer.stdout.encode()
    answer.stderr.encode()
