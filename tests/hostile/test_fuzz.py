"""Any bytes, in every parser that takes somebody else's: it refuses them, or it does not, at once.

``python -m tests.hostile.fuzz TARGET`` runs one of them for as long as you like, by coverage.
"""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.fuzz_targets import TARGETS, run

#: Words and signs with which parsers do something.
PIECES = st.sampled_from(
    [
        b'{"thyme":1,"kind":"', b'"schedd":"s","job":"1.0","time":1.0,', b'"attempt":0,',
        b'"files":[', b'{"at":0,"size":9}', b'"usage":[1,1,1,1,1,1]', b'"ad":{"A":"1"}', b"}", b"]",
        b"null", b"-1", b"1e400", b"9" * 30, b'"', b"\\", b"\n", b",", b":", b"...\n",
        b"executable = /bin/true\n", b"queue\n", b"queue 2\n", b"$(", b")", b"$(x)", b"x = ",
        b"if ", b"endif\n", b"+A = ", b"requirements = ", b"&& ", b"MY.", b"TARGET.", b"A", b"{",
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


@pytest.mark.parametrize("name", TARGETS)
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=DATA)
def test_any_bytes(name: str, data: bytes) -> None:
    run(name, data)
