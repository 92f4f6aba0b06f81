"""Load ``config.yaml``: the keys of 2017, the new ones, and every message about a mistake."""

import os
import re
from pathlib import Path

import pytest

from plancton.cli.check import schema
from plancton.config.computed_keys import max_docks
from plancton.config.expressions import BadExpression, compute, render
from plancton.config.model import Config, list_notes
from plancton.engine.pilot_spec import make_name, make_spec
from plancton.errors import ConfigError, ExitCode
from plancton.model import HostFacts
from plancton.preflight import load_config, parse_config
from tests.support.fake_node import FACTS

BAD_SIZE = "must be a number of bytes, or one with a unit, as 2GB or 2GiB, "
BAD_TIME = "must be a number of seconds, or one with a unit, as 90s, 30min or 12h, "
TOO_MUCH = "input should be less than or equal to 9223372036854775807, "

ROOT = Path(__file__).parents[3]

#: The defaults of Plancton 0.6.0; docks_per_loop was 4 and is now unset.
OF_2017 = {
    "influxdb_url": None,
    "updateconfig": 60,
    "image_expiration": 43200,
    "main_sleep": 30,
    "grace_kill": 120,
    "grace_spawn": 60,
    "cpus_per_dock": 1,
    "max_docks": "ncpus - 2",
    "docks_per_loop": None,
    "max_ttl": 43200,
    "docker_image": "busybox",
    "docker_cmd": "/bin/sleep 60",
    "docker_privileged": False,
    "max_dock_mem": 2000000000,
    "max_dock_swap": 0,
    "user_group": "0:0",
    "binds": (),
    "devices": (),
    "capabilities": (),
    "security_opts": (),
}
FILE_OF_2017 = """\
influxdb_url: ["http://u:p@influx:8086#plancton", "insecure_https://other:8086#db"]
updateconfig: 60
image_expiration: 43200
main_sleep: 30
grace_kill: 120
grace_spawn: 60
cpus_per_dock: 0.5
max_docks: (ram_bytes + swap_bytes) / (max_dock_mem + max_dock_swap)
docks_per_loop: 4
max_ttl: 43200
docker_image: alisw/slc6-builder:latest
docker_cmd: ["/bin/bash", "-c", "exec thyme-worker"]
docker_privileged: false
max_dock_mem: 4000000000
max_dock_swap: 1000000000
user_group: 0:0
binds: [/cvmfs]
devices: ["/dev/fuse:/dev/fuse:rwm"]
capabilities: [SYS_ADMIN, -MKNOD]
security_opts: ["apparmor:docker-allow-ptrace"]
"""


def problem(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parse_config(text, "config.yaml", FACTS)
    assert caught.value.exit_code == ExitCode.CONFIG == 4
    return str(caught.value)


def test_every_key_of_2017_is_there_with_its_default() -> None:
    config = Config()
    assert {key: getattr(config, key) for key in OF_2017} == OF_2017


def test_a_file_of_2017_is_read_unchanged() -> None:
    config = parse_config(FILE_OF_2017, "config.yaml", FACTS)
    assert config.docker_cmd == ("/bin/bash", "-c", "exec thyme-worker")
    assert config.docks_per_loop == 4
    assert config.user_group == "0:0"
    assert max_docks(config, FACTS) == 12


def test_a_configuration_without_max_dock_mem_still_gives_pilots() -> None:
    """2017 fault 4: it gave zero slots."""
    config = parse_config("max_docks: ram_bytes // max_dock_mem", "config.yaml", FACTS)
    assert max_docks(config, FACTS) == 32


def test_an_empty_file_is_all_defaults() -> None:
    assert parse_config("# nothing yet\n", "config.yaml", FACTS) == Config()


def test_an_unknown_key_is_named_with_its_line_and_the_nearest_right_one() -> None:
    assert problem("engine: process\nmax_dokcs: 3\n") == (
        "config.yaml:2: unknown key 'max_dokcs'; did you mean 'max_docks'?"
    )


def test_an_unknown_key_like_no_other_names_the_place_of_the_list() -> None:
    assert problem("colour: red") == (
        "config.yaml:1: unknown key 'colour'; `planctonctl help` names the page with all keys"
    )


def test_of_many_and_long_problems_only_so_much_is_told() -> None:
    told = problem("\n".join(f"k{n}: 1" for n in range(2000))).splitlines()
    assert len(told) == 51
    assert told[49].startswith("config.yaml:50: unknown key 'k49'; ")
    assert told[50] == "and 1950 more problems"
    told_of_one = problem("max_docks: " + "(" * 20_000 + "1" + ")" * 20_000)
    assert told_of_one.startswith("config.yaml:1: max_docks: cannot compute '((((((")
    assert told_of_one.endswith("))))': 40001 characters; the limit is 4096")
    assert len(told_of_one) == 500


def test_every_problem_is_reported_in_a_line_of_its_own() -> None:
    assert problem("main_slep: 3\ngrace_kill: soon\n").splitlines() == [
        f"config.yaml:2: grace_kill: {BAD_TIME}not 'soon'",
        "config.yaml:1: unknown key 'main_slep'; did you mean 'main_sleep'?",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("max_docks: [1]", "1: max_docks: must be a whole number or an expression, not [1]"),
        ("max_docks: 2.5", "1: max_docks: must be a whole number or an expression, not 2.5"),
        ("main_sleep: 0", "1: main_sleep: input should be greater than or equal to 0.05, not 0"),
        ("main_sleep: 10ms", "1: main_sleep: input should be greater than or equal to 0.05, not "
         "'10ms'"),
        ("max_dock_mem: 2g", f"1: max_dock_mem: {BAD_SIZE}not '2g'"),
        (f"max_dock_mem: {'9' * 20}GB", f"1: max_dock_mem: {BAD_SIZE}not '{'9' * 20}GB'"),
        ("max_dock_mem: 0GB", "1: max_dock_mem: input should be greater than 0, not '0GB'"),
        ("max_dock_mem: 10000000TB", f"1: max_dock_mem: {TOO_MUCH}not '10000000TB'"),
        (f"mem_reserve: {10**300}", f"1: mem_reserve: {TOO_MUCH}not {10**300}"),
        (f"max_ttl: {'9' * 310}h", "1: max_ttl: input should be a finite number, not "
         f"'{'9' * 310}h'"),
        ("main_sleep: .inf", "1: main_sleep: input should be a finite number, not inf"),
        ("main_sleep: true", "1: main_sleep: input should be a valid number, not True"),
        ("cpus_per_dock: -1", "1: cpus_per_dock: input should be greater than 0, not -1"),
        ("user_group: 10:20", '1: user_group: YAML reads it as a number; quote it: "uid:gid"'),
        ("docker_cmd: 5", "1: docker_cmd: must be a string or a list of strings, not 5"),
        ("exit_failure: [4, 900]", "1: exit_failure[1]: input should be less than or equal to "
         "255, not 900"),
        ("exit_failure: [3]", "1: exit_failure: exit code 3 is in exit_no_work too"),
        ("exit_no_work: [0]", "1: exit_no_work: exit code 0 is a normal end"),
        ("docks_per_loop: 0", "1: docks_per_loop: input should be greater than or equal to 1, "
         "not 0"),
        ("engine: podman", "1: engine: input should be 'docker' or 'process', not 'podman'"),
        ("binds: [1, 2]", "1: binds[0]: input should be a valid string, not 1"),
        ("environment: {A: x, B: null, C: 1}", "1: environment['B']: input should be a valid "
         "string, not None"),
        ("influxdb_url: [5, 6]", "1: influxdb_url: must be a URL or a list of URLs, not 6"),
        ("pilots_memory: [1]", "1: pilots_memory: must be a size or an expression, not [1]"),
        ("gpus: [1]", "1: gpus: must be `all`, a number or `device=ID,ID`, not [1]"),
        ("site: a\non: x", "2: unknown key 'on'; `planctonctl help` names the page with all keys"),
        ("site: a\n.nan: x", "2: unknown key '.nan'; `planctonctl help` names the page with all "
         "keys"),
        ("site: a\nmax_docks 5\n", "2: not YAML: could not find expected ':'"),
        ("site: a\nbinds: [a, b\n\n", "2: not YAML: expected ',' or ']', but got "
         "'<stream end>'"),
        ("site: 'a\nmax_docks: 2\n", "1: not YAML: found unexpected end of stream"),
        ("scratch_dir: ~/pilots", "1: scratch_dir: '~/pilots' is not an absolute path"),
        ("registry_config: a.json", "1: registry_config: 'a.json' is not an absolute path"),
        ("docker_cmd: 'run {{ ncpus'", "1: docker_cmd: unexpected end of the expression, expected "
         "'}}'."),
        ("- a\n- b", "1: must be `key: value` lines"),
        ("hello", "1: must be `key: value` lines"),
        ("site: a\nenvironment:\n  A: x\n  A: y", "4: A is given twice (first in line 3)"),
        ("site: a\ndocker_image: \"a\x1b\"", "2: not YAML: holds the control character '\\x1b'"),
        ("site: a\npids_limit: " + "9" * 5000, "2: '" + "9" * 40 + "' is no number or date that "
         "can be read"),
        ("site: a\nstops: [2026-11-45]", "2: '2026-11-45' is no number or date that can be read"),
        ("binds: /a:/b", "1: binds: must be a list, as [a, b], not '/a:/b'"),
        ("environment: [A]", "1: environment: must be a mapping, as {name: value}, not ['A']"),
        ("prometheus: 127.0.0.1", "1: prometheus: write ADDRESS:PORT, e.g. 127.0.0.1:9095, not "
         "'127.0.0.1'"),
        ('influxdb_url: "http://x\\n:8086/#db"', "1: influxdb_url: the URL of an InfluxDB holds "
         "a blank or a control character; write "
         "http[s]://[USER[:PASSWORD]@]HOST[:PORT][/?OPTIONS]#DATABASE, and characters like "
         "/ ? # @ % in a password as %XX"),
        ("name: {{ hostname }}", "1: not YAML: found unhashable key"),
        ("a: b: c", "1: not YAML: mapping values are not allowed here"),
        ("main_sleep: 3\nmain_sleep: 4", "2: main_sleep is given twice (first in line 1)"),
        ("max_docks: ncpu - 2", "1: max_docks: cannot compute 'ncpu - 2': 'ncpu' is undefined; "
         "known: max_dock_mem, max_dock_swap, ncpus, ram_bytes, swap_bytes"),
        ("max_docks: memory * 0.5", "1: max_docks: cannot compute 'memory * 0.5': 'memory' is "
         "undefined; known: max_dock_mem, max_dock_swap, ncpus, ram_bytes, swap_bytes"),
        ("max_docks: ncpus 2", "1: max_docks: cannot compute 'ncpus 2': there is more after the "
         "expression's end"),
        ("max_docks: ncpus -", "1: max_docks: cannot compute 'ncpus -': unexpected end of "
         "the expression"),
        ("max_docks: 1 / swap_bytes", "1: max_docks: cannot compute '1 / swap_bytes': division "
         "by zero"),
        ("max_docks: \"'many'\"", "1: max_docks: cannot compute \"'many'\": gives 'many', not a "
         "number"),
        ("docker_cmd: 'run {{ nprocs }}'", "1: docker_cmd: 'nprocs' is undefined; known: "
         "cpus_per_dock, hostname, max_dock_mem, max_dock_swap, ncpus, pilot, ram_bytes, "
         "swap_bytes"),
        ("docker_cmd: \"sh -c 'open\"", "1: docker_cmd: No closing quotation in \"sh -c 'open\""),
        ("docker_cmd: []", "1: docker_cmd: is empty; give the command that a pilot runs"),
        ("environment: {A B: x}", "1: environment: 'A B' is not a name for a variable"),
        ("environment: {A: '{{ x }}'}", "1: environment: A: 'x' is undefined; known: "
         "cpus_per_dock, hostname, max_dock_mem, max_dock_swap, ncpus, pilot, ram_bytes, "
         "swap_bytes"),
    ],
)  # fmt: skip
def test_a_bad_value_is_one_clear_line(text: str, expected: str) -> None:
    assert problem(text) == f"config.yaml:{expected}"


def test_a_missing_file_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(tmp_path / "config.yaml", FACTS)
    assert str(caught.value) == (
        f"{tmp_path}/config.yaml: no such file; write one (keys: planctonctl validate --schema) "
        "or name its directory with --confdir"
    )


def test_a_file_that_is_no_text_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_bytes(b"site: a\nuser_group: caf\xe9\n")
    with pytest.raises(ConfigError, match=r"config\.yaml:2: is not UTF-8; store the file in that"):
        load_config(tmp_path / "config.yaml", FACTS)


def test_a_file_that_is_too_long_is_one_clear_line(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_bytes(b"#" * 1_000_001)
    with pytest.raises(
        ConfigError,
        match=r"config\.yaml: has more than 1000000 bytes, the most of a configuration$",
    ):
        load_config(path, FACTS)


@pytest.mark.parametrize("kind", ["device", "pipe"])
def test_a_file_without_end_is_one_clear_line(tmp_path: Path, kind: str) -> None:
    """The daemon, which reads it again when it changes, waited for the pipe's other end."""
    path = tmp_path / "config.yaml"
    os.mkfifo(path) if kind == "pipe" else path.symlink_to("/dev/zero")
    with pytest.raises(
        ConfigError, match=r"config\.yaml: cannot be read: is not a regular file; remove it$"
    ):
        load_config(path, FACTS)


def test_lists_in_lists_without_end_are_one_clear_line() -> None:
    assert problem("[" * 100_000) == (
        "config.yaml: not YAML: lists or mappings in each other too deep"
    )


def test_a_merged_mapping_may_be_changed() -> None:
    text = "environment: {<<: {A: a, B: b}, A: c}"
    assert parse_config(text, "config.yaml", FACTS).environment == {"A": "c", "B": "b"}


# Expressions


@pytest.mark.parametrize(
    "expression",
    [
        "ncpus.__class__.__mro__[1].__subclasses__()",
        "cycler.__init__.__globals__.os.popen('id').read()",
        "__import__('os').system('id')",
        "9 ** (9 ** 9)",
        "2 ** 64 ** 64 ** 64 ** 64 ** 64",
        "'x' | center(1000000000)",
        "lipsum(n=10000000)",
        "'x' * 1000000000",
        "'%1000000000d' % 1",
        "'{0:>300000000}'.format(ncpus)",
        "[ncpus][0]",
        "'x' ~ ncpus",
        "{'a': 1} | max",
        "'nan' | float",
        "1e400",
        "-" * 4000 + "1",
        "(" * 2000 + "1" + ")" * 2000,
        "1" + " + 1" * 2000,
        "round(5, -10**9)",
        "5|round(-999999999)",
        "range(9)",
        "min(*[1, 2])",
        "min(1, key=2)",
        "(1).bit_length()",
        "int(ncpus)(1)",
        "max.__self__",
        "min()",
    ],
)
def test_an_expression_cannot_run_code_nor_hang(expression: str) -> None:
    with pytest.raises(BadExpression):
        compute(expression, {"ncpus": 8})


def test_a_negative_result_counts_as_none_and_fractions_are_cut() -> None:
    assert compute("ncpus - 20", {"ncpus": 8}) == 0
    assert compute("ncpus * 0.99", {"ncpus": 8}) == 7


def test_text_may_hold_names_and_nothing_else() -> None:
    assert render("x={{ ncpus }} on {{ hostname }}", {"ncpus": 8, "hostname": "n"}) == "x=8 on n"
    with pytest.raises(BadExpression):
        render("{{ hostname.__class__.__mro__ }}", {"hostname": "n"})
    for loop in (
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        "{% for c in hostname %}{{ c }}{% endfor %}",
        "{{ hostname.ljust(300000000) }}",
        "{{ '" + "x" * 5000 + "' }}",
    ):
        with pytest.raises(BadExpression):
            render(loop, {"hostname": "n"})


# One pilot


def test_a_pilot_gets_its_name_its_command_and_its_environment() -> None:
    config = Config(
        docker_cmd="run --cpus {{ ncpus }} 'two words' {{ pilot }}",
        environment={"WHERE": "{{ hostname }}"},
    )
    one = make_spec(config, FACTS, "plancton-worker-abc123")
    assert one.command == ("run", "--cpus", "8", "two words", "plancton-worker-abc123")
    assert one.environment == {"WHERE": "node1"}
    assert one.hostname == "plancton-node1-abc123"


def test_a_long_host_name_is_cut_as_in_2017() -> None:
    facts = HostFacts("h" * 63, 1, 1, 0)
    assert len(make_spec(Config(), facts, "plancton-worker-abc123").hostname) == 40 + 16


def test_names_are_new_each_time() -> None:
    names = {make_name() for _ in range(100)}
    assert len(names) == 100
    assert all(len(name) == len("plancton-worker-") + 6 for name in names)


# What has no effect is said


def test_what_an_engine_does_not_use_is_said_and_nothing_else() -> None:
    config = Config(engine="process", binds=("/cvmfs",))
    assert list_notes(config)[0] == "binds has no effect with engine: process"
    assert list_notes(Config(engine="docker", binds=("/cvmfs",))) == ()


def test_the_schema_knows_every_key_and_no_other() -> None:
    written = schema()
    properties = written["properties"]
    assert isinstance(properties, dict)
    assert set(properties) == set(Config.model_fields)
    assert written["additionalProperties"] is False
    assert written["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert properties["main_sleep"]["anyOf"][0] == {"type": "number", "minimum": 0.05}
    assert properties["engine"]["enum"] == ["docker", "process"]
    assert all(value.get("description") for value in properties.values())


# The examples


def test_the_first_example_is_a_good_configuration() -> None:
    config = load_config(ROOT / "examples/plancton/config.yaml", FACTS)
    assert config.engine == "process"
    assert max_docks(config, FACTS) == 8


@pytest.mark.parametrize("path", sorted((ROOT / "examples/plancton").glob("*.yaml")), ids=str)
def test_every_example_is_a_good_configuration(path: Path) -> None:
    load_config(path, FACTS)


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ("min(ncpus - 2, int(ram_bytes / max_dock_mem))", 6),
        ("max(1, ncpus - 20)", 1),
        ("round(ncpus * 0.7)", 6),
        ("round(ncpus / 3, 1)", 2),
        ("abs(2 - ncpus)", 6),
        ("int(float(ncpus) / 3)", 2),
        ("[ncpus - 2, 4]|min", 4),
    ],
)
def test_the_functions_that_2017_allowed_in_expressions_are_there(
    expression: str, found: int
) -> None:
    config = parse_config(f"max_docks: {expression!r}", "config.yaml", FACTS)
    assert max_docks(config, FACTS) == found


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("max_dock_mem: 2GB", 2_000_000_000),
        ("pilots_memory: 8GB", 8_000_000_000),
        ("max_ttl: 12h", 43200.0),
    ],
)
def test_sizes_and_times_may_have_a_unit(line: str, value: float) -> None:
    config = parse_config(line, "config.yaml", FACTS)
    assert getattr(config, line.partition(":")[0]) == value


def test_every_size_and_time_may_have_a_unit_in_the_schema() -> None:
    schema = Config.model_json_schema()["properties"]
    checked = set()
    for name, field in Config.model_fields.items():
        extra = field.json_schema_extra
        assert isinstance(extra, dict)
        if extra["unit"] in ("bytes", "s"):
            kinds = {one["type"]: one for one in schema[name]["anyOf"]}
            assert "string" in kinds, name
            written = "2GB" if extra["unit"] == "bytes" else "12h"
            if name != "pilots_memory":  # any expression
                assert re.search(str(kinds["string"]["pattern"]), written), name
            assert parse_config(f"{name}: {written}", "c", FACTS)
            checked.add(extra["unit"])
    assert checked == {"bytes", "s"}
