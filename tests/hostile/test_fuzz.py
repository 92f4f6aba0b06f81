"""Any bytes, in every parser that takes somebody else's: it refuses them, or it does not, at once.

``python -m tests.hostile.fuzz TARGET`` runs one of them for as long as you like, by coverage.
"""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.fuzz_targets import TARGETS, run
from vobox.commands.submit.commands_table import COMMAND_NAMES

#: Words and signs with which parsers do something.
PIECES = st.sampled_from(
    [
        b'{"thyme":1,"kind":"', b'"schedd":"s","job":"1.0","time":1.0,', b'"attempt":0,',
        b'"files":[', b'{"at":0,"size":9}', b'"usage":[1,1,1,1,1,1]', b'"ad":{"A":"1"}', b"}", b"]",
        b"null", b"-1", b"1e400", b"9" * 30, b'"', b"\\", b"\n", b",", b":", b"...\n",
        b"executable = /bin/true\n", b"queue\n", b"queue 2\n", b"$(", b")", b"$(x)", b"x = ",
        b"if ", b"if true\n", b"else\n", b"endif\n", b"include : common\n", b"use feature:x\n",
        b"include command : seq 3\n", b"include ifexist : nope\n", b"queue x in (a, b)\n",
        b"queue x,y from (\n", b")\n", b"queue x matching files *.sh\n", b"queue x from seq 3 |\n",
        b"y @=end\n", b"@end\n", b"x += 1\n", b" \\\n", b"# comment \\\n", b"error : no\n",
        b"warning : yes\n", b"arguments = ", b"environment = A=1;B\n", b"request_memory = 1 GB\n",
        b"universe = grid\n", b"grid_resource = condor a b\n", b"hold = true\n",
        b"max_retries = 2\n",
        b"transfer_input_files = data, nope\n", b"use_x509userproxy = true\n", b"kill_sig = NO\n",
        b"$CHOICE(9,a,b)", b"$SUBSTR(a)", b"$RANDOM_INTEGER(3,1)", b"$REAL(x)", b"$EVAL(x)",
        b"$F()", b"+A = ", b"requirements = ", b"&& ", b"MY.", b"TARGET.", b"A", b"{",
        b"regexp(\"^(a+)+$\", \"aaaaaaaaaaaaaaaaaaaa!\")", b"strcat(A,A)", b"[", b"(", b"1", b"? ",
        b"000 (001.000.000) 2026-11-28 08:00:00 x\n", b"*** \n", b"A = 1\n", b"=", b";", b"%s",
        b"max_docks: ", b"'cpus * 2'", b"{{ pilot }}", b"{% for x in range(9) %}", b"&a ", b"*a ",
        b"%*d", b"- ", b"!!python/object ", b"amqp://", b"u:p@", b"h:1", b"/v", b"?heartbeat=",
        b"\0", b"\xff",
    ]
)  # fmt: skip
DATA = st.one_of(
    st.lists(st.one_of(PIECES, st.binary(max_size=6)), max_size=20).map(b"".join),
    st.tuples(PIECES, st.integers(1, 3000)).map(lambda given: given[0] * given[1]),
    st.binary(max_size=200),
)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("classad", b"\0"),
        ("classad", b'"\\\0"'),
        ("history file", b'Owner = "a\0\\"b"\n*** \n'),
        ("submit description", b"executable = agent.sh\nqueue arguments from (\nb\xbd\n)\n"),
        ("submit description", b"executable = agent.sh\nqueue output from (\nb\0\n)\n"),
        ("user log", b"000 (001.000.000) 2026-11-28 08:00:00 x\n"),
        ("print format", b"%" + b"9" * 5000 + b"d"),
    ],
)
def test_what_once_failed(name: str, data: bytes) -> None:
    run(name, data)


@pytest.mark.parametrize("value", ["9" * 5000, "-" + "9" * 5000, "1e5000", "\u00b2", "-1e400"])
def test_a_submit_command_with_any_number(value: str) -> None:
    """It is taken or refused with HTCondor's ERROR; what cannot be a number of Python's, too."""
    lines = [f"{command} = {value}" for command in sorted(COMMAND_NAMES)]
    lines += [
        f"+A = {value}", f"if version >= {value}\nendif", f"if {value}\nendif",
        f"arguments = $SUBSTR(x,{value}) $CHOICE({value},a)", f"arguments = $INT({value})",
        f"arguments = $RANDOM_INTEGER(1,{value}) $REAL({value})",
    ]  # fmt: skip
    queues = ["queue"] * len(lines)
    for queue in (f"queue {value}", f"queue x in [{value}:] (a b)", f"queue x in [:{value}:2] (a)"):
        lines.append("")
        queues.append(queue)
    for line, queue in zip(lines, queues, strict=True):
        run("submit description", f"executable = agent.sh\n{line}\n{queue}\n".encode())


@pytest.mark.parametrize("name", TARGETS)
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=DATA)
def test_any_bytes(name: str, data: bytes) -> None:
    run(name, data)
