"""The submit language held against the HTCondor wheel: macros, includes and items."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.support.fake_submit_host import CWD, FakeCaller, FakeFiles
from vobox.commands.submit.description import ExtraLines, read_description
from vobox.commands.submit.input_files import FileCache
from vobox.commands.submit.job_commands import Commands
from vobox.commands.submit.queue import expand_queue
from vobox.commands.submit.sources import TextSources

os.environ["CONDOR_CONFIG"] = "/dev/null"
htcondor2 = pytest.importorskip("htcondor2")

INCLUDED = "ee = included $(ProcId)\n# no\nif true\ngg = 1\nendif\n"
FILES = FakeFiles({f"{CWD}/inc.sub": INCLUDED.encode()})
CALLER = FakeCaller()
CALLER.programs = {
    ("echo", "ee", "=", "printed"): (0, b"ee = printed\n"),
    ("echo", "ee", "=", "piped"): (0, b"ee = piped\n"),
}
SOURCES = TextSources(FILES, FileCache(FILES), CWD, CALLER)
IDS = {"Cluster": "7", "ClusterId": "7", "Process": "3", "ProcId": "3"}

#: Lines of a text between ``key @=end`` and ``@end``.
HERE = ["one", "  two  three ", "# no", "", "joined \\", "a = b", "$(ProcId)", "@en", "if 0"]
INCLUDES = [
    "include : inc.sub",
    "INCLUDE:inc.sub",
    "include ifexist : nope.sub",
    "include command : echo ee = printed",
    "include : echo ee = piped |",
]
NAMES = ["aa", "bb", "cc", "dd", "ee"]


@st.composite
def macro(draw: st.DrawFn, below: int) -> str:
    """Return a piece of a value that names only the first ``below`` names: no circles."""
    name = draw(st.sampled_from([*NAMES[:below], "nope", "Cluster", "ProcId", "JobId"]))
    default = draw(st.sampled_from(["", ":x", ":$(nope:y)", ":"]))
    return draw(
        st.sampled_from(
            [
                f"$({name}{default})",
                f"$({name.upper()})",
                f"$Fn({name})",
                f"$Fnxq({name})",
                f"$BASENAME({name})",
                f"$DIRNAME({name})",
                f"$$({name})",
                f"$UNKNOWN({name})",
                f"$ENV(SUBMIT_{name.upper()})",
                f"$ENV(SUBMIT_{name.upper()}:def)",
                # more after it: where pieces make up a new macro together, HTCondor expands
                # that, too, and we do not (decision 030)
                "$(DOLLAR)x-",
                "plain",
                "/a/b.c",
                '"quoted"',
                " ",
                "#",
                "\\",
                "$x-",
                "=",
            ]
        )
    )


@st.composite
def description(draw: st.DrawFn) -> str:
    lines = []
    for number, name in enumerate(NAMES):
        if draw(st.booleans()):
            pieces = draw(st.lists(macro(number), max_size=4))
            key = draw(st.sampled_from([name, name.upper(), f" {name}\t"]))
            value = "".join(pieces).strip().rstrip("\\")
            lines.append(f"{key}{draw(st.sampled_from(['=', ' = ', '= ']))}{value}")
        form = draw(st.sampled_from(["", "", "here", "append", "include"]))
        if form == "here":
            inside = draw(st.lists(st.sampled_from(HERE), max_size=4))
            # of a comment after a continuation the library keeps the last letter
            inside = [part for line in inside for part in (line, "x")[: 1 + line.endswith("\\")]]
            lines += [f"{name} @=end", *inside, "@end"]
        elif form == "append":
            # HTCondor looks for "+= " alone; its value may name what it is appended to
            word = draw(st.sampled_from(["w", f"$({name})", "$(nope:x)"]))
            lines.append(f"{name.upper()} +=  {word}")
        elif form == "include":
            lines.append(draw(st.sampled_from(INCLUDES)))
        if draw(st.booleans()):
            lines.append(draw(st.sampled_from(["", "# comment", "   ", "+Attr = $(ProcId)"])))
    condition = draw(st.sampled_from(["", "if defined aa", "if true", "if 0", "if ! defined bb"]))
    if condition:
        lines += [condition, "ff = 1", "else", "ff = 2", "endif"]
    return "\n".join([*lines, "queue"])


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return the working directory, where the library finds what descriptions include and match."""
    path, before = tmp_path_factory.mktemp("here"), Path.cwd()
    (path / "inc.sub").write_text(INCLUDED)
    for name in MATCHED:
        (path / name).parent.mkdir(exist_ok=True)
        (path / name).write_text("")
    os.chdir(path)
    yield path
    os.chdir(before)


@pytest.mark.usefixtures("here")
@settings(max_examples=300, deadline=None)
@given(text=description())
@example(text="cc = $(aa)\nee = $(cc:x)\nqueue")
def test_values_expand_as_in_htcondors_library(text: str) -> None:
    os.environ["SUBMIT_AA"] = "from-the-environment"
    env = {"SUBMIT_AA": "from-the-environment"}
    theirs = htcondor2.Submit(text)
    for name, value in IDS.items():
        theirs[name] = value

    read = read_description(text, "e.sub", ExtraLines(), env, {}, SOURCES)
    (step,) = read.queue_statements
    variables = {name.lower(): value for name, value in IDS.items()} | {"jobid": "7.3"}
    ours = Commands(step.symbols, variables, {}, env)

    for name in [*NAMES, "ff", "gg"]:
        try:
            expected = theirs.expand(name)
        except KeyError:
            expected = ""
        assert (ours.get(name) or "") == expected.strip(), name


#: Files below the working directory.
MATCHED = ["a.dat", "b.dat", "d/x.dat", "d.dat/y", "c.txt"]


@st.composite
def statement(draw: st.DrawFn) -> str:
    names = draw(st.sampled_from(["", "f", "f,g", "f g,h"]))
    mode = draw(st.sampled_from(["in", "matching", "matching files", "MATCHING dirs"]))
    globs = ["*.dat", "c.*", "d", "*", "d/*", "?"]
    words = ["a", "b.dat", "1", "x y", "a,b"] if mode == "in" else globs
    items = draw(st.lists(st.sampled_from(words), min_size=1, max_size=4))
    joint = draw(st.sampled_from([", ", " ", ",", "\n  "]))
    listed = joint.join(items)
    if joint[0] == "\n":
        listed = f"(\n  {listed}\n)"
    elif draw(st.booleans()):
        listed = f"({listed})"
    count = draw(st.sampled_from(["", "2", "1 + 1"]))
    return f"queue {count} {names} {mode} {listed}"


@pytest.mark.usefixtures("here")
@settings(max_examples=300, deadline=None)
@given(queue=statement())
def test_items_are_those_of_htcondors_library(queue: str) -> None:
    found = htcondor2.Submit(f"executable = /bin/true\n{queue}\n").itemdata
    try:
        theirs = [{name.lower(): text for name, text in item.items()} for item in found()]
    except TypeError:  # its way of saying that nothing matches
        theirs = []
    files = FakeFiles({f"{CWD}/{name}": b"" for name in ("inc.sub", *MATCHED)})
    del files.files[f"{CWD}/agent.sh"]
    sources = TextSources(files, FileCache(files), CWD, CALLER)
    (step,) = read_description(queue, "e.sub", ExtraLines(), {}, {}, sources).queue_statements

    ours = [
        slot.variables
        for slot in expand_queue(step, "e.sub", sources, lambda _warnings: None, 20_000)
    ]

    counted = [ours[n] for n in range(0, len(ours), 2 if " 2 " in queue or "1 + 1" in queue else 1)]
    names = theirs[0] if theirs else ()
    assert [{name: each[name] for name in names} for each in counted] == theirs
