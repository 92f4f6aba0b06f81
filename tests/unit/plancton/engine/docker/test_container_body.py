"""The API's description of a pilot's container: safe unless the configuration says otherwise."""

import json
from pathlib import Path
from typing import Any

import pytest

from plancton import preflight
from plancton.config.model import Config
from plancton.engine.docker import container_body
from plancton.engine.docker.container_body import EngineFacts
from plancton.engine.pilot_spec import make_spec
from plancton.errors import ConfigError
from tests.support.fake_node import FACTS

NAME = "plancton-worker-abc123"
DOCKER = EngineFacts(name="Docker 20.10", ncpus=8, log_driver="json-file")


def body(facts: EngineFacts = DOCKER, **values: Any) -> dict[str, Any]:
    one = make_spec(Config.model_validate(values), FACTS, NAME)
    return container_body.build_body(
        one, image="busybox", digest="sha256:12", facts=facts, cgroup_parent="/plancton"
    )


def host(facts: EngineFacts = DOCKER, **values: Any) -> dict[str, Any]:
    found: dict[str, Any] = body(facts, **values)["HostConfig"]
    return found


def test_by_default_a_pilot_has_no_rights_and_its_2017_limits() -> None:
    made = host()
    assert (made["CapAdd"], made["CapDrop"]) == ([], ["ALL"])
    assert made["SecurityOpt"] == ["no-new-privileges"]
    assert made["Privileged"] is False
    assert (made["NanoCpus"], made["Memory"], made["MemorySwap"]) == (10**9, 2 * 10**9, 2 * 10**9)
    assert (made["Binds"], made["Mounts"], made["Devices"]) == ([], [], [])
    assert made["OomScoreAdj"] == 900
    assert made["PidsLimit"] == 2048
    assert made["CgroupParent"] == "/plancton"
    assert made["RestartPolicy"] == {"Name": "no"}


def test_a_container_carries_what_a_later_daemon_needs_to_find_it() -> None:
    made = body(docker_image="repo/worker:3", labels={"site": "{{ hostname }}"})
    labels = made["Labels"]
    assert (
        labels.pop("plancton.config")
        == make_spec(
            Config(docker_image="repo/worker:3", labels={"site": "{{ hostname }}"}), FACTS, "other"
        ).labels["plancton.config"]
    ), "the same for every pilot of one configuration"
    assert labels == {
        "site": "node1",
        "plancton.node": "node1",
        "plancton.pilot": NAME,
        "plancton.image": "repo/worker:3",
        "plancton.image.digest": "sha256:12",
        "plancton.node.cgroup": "/plancton",
    }
    assert made["Hostname"] == "plancton-node1-abc123"


def test_command_user_and_environment() -> None:
    made = body(docker_cmd="run {{ ncpus }}", user_group="10:20", environment={"A": "{{ pilot }}"})
    assert (made["Cmd"], made["User"], made["Env"]) == (["run", "8"], "10:20", [f"A={NAME}"])
    assert made["StopSignal"] == "SIGTERM"


#: What the node mounts later shows in the pilot.
FOLLOWS = {"BindOptions": {"Propagation": "rslave"}}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/a", {"Source": "/a", "Target": "/a", "ReadOnly": True, **FOLLOWS}),
        ("/a:/b", {"Source": "/a", "Target": "/b", "ReadOnly": True, **FOLLOWS}),
        ("/a:/b:ro", {"Source": "/a", "Target": "/b", "ReadOnly": True, **FOLLOWS}),
        ("/a:/b:rw", {"Source": "/a", "Target": "/b", "ReadOnly": False, **FOLLOWS}),
        (
            "/cvmfs:/cvmfs:rshared",
            {"Source": "/cvmfs", "Target": "/cvmfs", "ReadOnly": True,
             "BindOptions": {"Propagation": "rshared"}},
        ),
        (
            "/a:/b:private",
            {"Source": "/a", "Target": "/b", "ReadOnly": True,
             "BindOptions": {"Propagation": "private"}},
        ),
    ],
)  # fmt: skip
def test_a_bind_is_read_only_unless_rw_is_written(text: str, expected: dict[str, Any]) -> None:
    assert host(binds=(text,))["Mounts"] == [{"Type": "bind", **expected}]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/a:/b:Z", "/a:/b:ro,rslave,Z"),
        ("/a:/b:rw,shared,Z", "/a:/b:rw,shared,Z"),  # what 2017 did with every bind
    ],
)
def test_a_bind_that_is_relabelled_is_read_only_too(text: str, expected: str) -> None:
    made = host(binds=(text,))
    assert (made["Binds"], made["Mounts"]) == ([expected], [])


def test_where_mounts_cannot_be_passed_on_only_what_is_written_is_asked_for() -> None:
    private = EngineFacts(passes_mounts_on=False)
    made = host(private, binds=("/a:/b", "/c:/c:rslave"))["Mounts"]
    assert [mount.get("BindOptions") for mount in made] == [None, {"Propagation": "rslave"}]


def test_with_selinux_binds_get_the_label_that_containers_share() -> None:
    on = EngineFacts(selinux=True)
    made = host(on, binds=("/data:/data:rw", "/x:/x:Z", "/cvmfs", "/etc:/host"))
    assert made["Binds"] == ["/data:/data:rw,rslave,z", "/x:/x:ro,rslave,Z"]
    assert [mount["Source"] for mount in made["Mounts"]] == ["/cvmfs", "/etc"]
    assert host(on, binds=("/d:/d",), security_opts=("label:disable",))["Binds"] == []
    assert host(on, binds=("/d:/d",), docker_privileged=True)["Binds"] == []


def test_user_namespaces_are_allowed_by_a_profile_unless_another_is_named() -> None:
    facts = EngineFacts(user_namespaces="seccomp=OURS")
    assert host(facts)["SecurityOpt"] == ["no-new-privileges"]
    assert host(facts, user_namespaces=True)["SecurityOpt"] == ["seccomp=OURS", "no-new-privileges"]
    own = host(facts, user_namespaces=True, security_opts=("seccomp:unconfined",))
    assert own["SecurityOpt"] == ["seccomp=unconfined", "no-new-privileges"]


def test_the_profile_allows_what_apptainer_needs_and_nothing_of_the_nodes_kernel() -> None:
    profile = Path(container_body.__file__).with_name("profiles") / "user_namespaces.json"
    rules = json.loads(profile.read_text())
    assert rules["defaultAction"] == "SCMP_ACT_ERRNO"
    allowed = {
        name for rule in rules["syscalls"] if rule["action"] == "SCMP_ACT_ALLOW"
        and not rule.get("args") for name in rule["names"]
    }  # fmt: skip
    assert {"clone", "clone3", "unshare", "setns", "mount", "umount2", "pivot_root"} <= allowed
    assert not allowed & {
        "init_module", "finit_module", "delete_module", "kexec_load", "kexec_file_load", "reboot",
        "bpf", "perf_event_open", "keyctl", "add_key", "request_key", "swapon", "acct", "syslog",
        "open_by_handle_at", "userfaultfd", "io_uring_setup", "clock_settime", "settimeofday",
        "iopl", "ioperm", "quotactl", "fanotify_init", "personality", "socket",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("given", "add", "drop"),
    [
        (("SYS_ADMIN",), ["SYS_ADMIN"], ["ALL"]),
        (("cap_sys_admin", "-NET_RAW"), ["SYS_ADMIN"], ["ALL"]),
        (("-CHOWN", "CHOWN"), [], ["ALL"]),
        (("DEFAULT", "-NET_RAW"), [], ["NET_RAW"]),
        (("DEFAULT", "SYS_PTRACE"), ["SYS_PTRACE"], []),
        (("ALL", "-SYS_MODULE"), ["ALL"], ["SYS_MODULE"]),
    ],
)
def test_capabilities(given: tuple[str, ...], add: list[str], drop: list[str]) -> None:
    made = host(capabilities=given)
    assert (made["CapAdd"], made["CapDrop"]) == (add, drop)


def test_an_apparmor_profile_is_used_only_where_apparmor_is_on() -> None:
    options = ("apparmor:mine", "label:disable")
    assert host(security_opts=options)["SecurityOpt"] == ["label=disable", "no-new-privileges"]
    on = EngineFacts(apparmor=True)
    assert "apparmor=mine" in host(on, security_opts=options)["SecurityOpt"]


def test_privileged_is_privileged() -> None:
    made = host(docker_privileged=True, capabilities=("CHOWN",))
    assert made["Privileged"] is True
    assert "CapDrop" not in made and "SecurityOpt" not in made


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/dev/fuse", ("/dev/fuse", "/dev/fuse", "rwm")),
        ("/dev/fuse:r", ("/dev/fuse", "/dev/fuse", "r")),
        ("/dev/a:/dev/b", ("/dev/a", "/dev/b", "rwm")),
        ("/dev/a:/dev/b:rm", ("/dev/a", "/dev/b", "rm")),
    ],
)
def test_devices(text: str, expected: tuple[str, str, str]) -> None:
    (made,) = host(devices=(text,))["Devices"]
    assert tuple(made.values()) == expected


def test_the_further_settings() -> None:
    made = host(
        tmpfs={"/tmp": "size=100m"},
        ulimits={"nofile": 4096, "core": "0:-1"},
        shm_size=64_000_000,
        read_only=True,
        init=True,
        networks=("batch", "monitor"),
        gpus="device=0,1",
        max_dock_swap=500,
        oom_score_adj=300,
        pids_limit=0,
    )
    assert made["Tmpfs"] == {"/tmp": "size=100m"}
    assert made["Ulimits"] == [
        {"Name": "nofile", "Soft": 4096, "Hard": 4096},
        {"Name": "core", "Soft": 0, "Hard": -1},
    ]
    assert (made["ShmSize"], made["ReadonlyRootfs"], made["Init"]) == (64_000_000, True, True)
    assert made["NetworkMode"] == "batch"
    assert container_body.list_further_networks(Config(networks=("batch", "monitor"))) == (
        "monitor",
    )
    assert made["DeviceRequests"][0]["DeviceIDs"] == ["0", "1"]
    assert made["MemorySwap"] == 2_000_000_500
    assert made["OomScoreAdj"] == 300
    assert made["PidsLimit"] == -1


@pytest.mark.parametrize(("gpus", "count"), [("all", -1), ("2", 2), (2, 2)])
def test_gpus_by_number(gpus: int | str, count: int) -> None:
    assert host(gpus=gpus)["DeviceRequests"][0]["Count"] == count


def test_cpus_are_kept_within_what_the_engine_takes() -> None:
    assert host(cpus_per_dock=0.001)["NanoCpus"] == 10_000_000
    assert host(cpus_per_dock=64.0)["NanoCpus"] == 8_000_000_000


def test_what_a_pilot_prints_cannot_fill_the_disk_where_we_know_how_to_say_so() -> None:
    assert host()["LogConfig"]["Config"] == {"max-size": "10m"}
    assert host(EngineFacts(log_driver="journald"))["LogConfig"]["Config"] == {}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("binds: ['/a:']", "1: binds: '/a:' is not host:container[:options]"),
        ("binds: [a:/b]", "1: binds: 'a' is not an absolute path"),
        ("binds: [/a:/b:wr]", "1: binds: '/a:/b:wr' has an unknown option, 'wr'"),
        ("binds: ['/a:/b:ro,rw']", "1: binds: '/a:/b:ro,rw' cannot be both ro and rw"),
        ("binds: ['{{ x }}:/b']", "1: binds: 'x' is undefined; known: "),
        ("devices: [/dev/a:/dev/b:x]", "1: devices: '/dev/a:/dev/b:x' is not host:container"),
        ("capabilities: ['SYS ADMIN']", "1: capabilities: 'SYS ADMIN' is no capability"),
        (
            "capabilities: [SETUID, '-SETUIDD']",
            "1: capabilities: '-SETUIDD' is no capability, did you mean 'SETUID'?",
        ),
        ("ulimits: {nofile: many}", "1: ulimits: nofile: 'many' is not a number or soft:hard"),
        ("ulimits: {nofile: '5:1'}", "1: ulimits: nofile: '5:1' has a soft limit above the hard"),
        ("ulimits: {nofile: '-1:1'}", "1: ulimits: nofile: '-1:1' has a soft limit above the hard"),
        ("ulimits: {nofiles: 5}", "1: ulimits: nofiles: is no limit; known: as, core, cpu, "),
        (f"ulimits: {{nofile: {10**19}}}", f"1: ulimits: nofile: {10**19} is more than the kernel"),
        ("gpus: -1", "1: gpus: '-1' is not `all`, a number or `device=ID,ID`"),
        ("gpus: some", "1: gpus: 'some' is not `all`, a number or `device=ID,ID`"),
        ("networks: [host, b]", "1: networks: 'host' cannot be joined with another network"),
        ("user_group: 'a b'", "1: user_group: 'a b' is not uid:gid"),
        ("user_group: '-1:-1'", "1: user_group: '-1:-1' is not uid:gid"),
        ("docker_host: /run/x.sock", "1: docker_host: '/run/x.sock' is not unix:///PATH or tcp://"),
        ("docker_host: 'tcp://'", "1: docker_host: 'tcp://' is not unix:///PATH or tcp://HOST"),
        ("labels: {plancton.node: x}", "1: labels: 'plancton.node': labels that begin with"),
        ("max_dock_mem: 1000", "1: max_dock_mem: a container needs at least 6291456 bytes"),
        ("docker_image: 'a b'", "1: docker_image: 'a b' is no image's name"),
        ("cgroup_parent: ../x", "1: cgroup_parent: '../x' is no group's name"),
        ("tmpfs: {tmp: ''}", "1: tmpfs: 'tmp' is not an absolute path"),
        ("pilots_memory: 1 +", "1: pilots_memory: cannot compute '1 +': "),
        ("oom_score_adj: 2000", "1: oom_score_adj: input should be less than or equal to 1000"),
    ],
)
def test_a_bad_value_is_one_clear_line(text: str, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        preflight.parse_config(text, "c.yaml", FACTS)
    (problem,) = caught.value.problems
    assert expected in problem


@pytest.mark.parametrize(
    "name",
    ["a:b:c", "a//b", "a/B", "-x", "a:", "http://h/x", "../x", "a/../b", "a@sha256:xx", "a/_b"],
)
def test_an_images_name_that_no_engine_takes_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=f"docker_image: '{name}' is no image's name"):
        preflight.parse_config(f"docker_image: '{name}'", "c.yaml", FACTS)


@pytest.mark.parametrize(
    "name",
    [
        "busybox", "localhost/a-b:1", "Host.example:5000/a/b_c__d.e--f:V1.0-x", "[::1]:5000/x",
        "0123456789ab", "a:1@sha256:" + "0" * 64, "sha256:" + "a" * 64,
    ],
)  # fmt: skip
def test_an_images_name_that_engines_take_is_good(name: str) -> None:
    assert preflight.parse_config(f"docker_image: '{name}'", "c.yaml", FACTS).docker_image == name


def test_a_value_that_only_containers_use_does_not_hold_up_processes() -> None:
    text = "engine: process\nmax_dock_mem: 1000"
    assert preflight.parse_config(text, "c.yaml", FACTS).max_dock_mem == 1000
