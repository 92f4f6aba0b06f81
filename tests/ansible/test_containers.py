"""A site with a broker of three nodes, whose pilots are containers.

node1 has Docker, and the daemon in a container of its own; node2 has Podman, and the daemon from
pip. All images come from a registry of the site's own, with a password and its authority.
"""

import json
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

import plancton
from tests.ansible.conftest import NODES, make_site
from tests.ansible.jobs import queued, submit, wait_for_jobs
from tests.ansible.site import NODE_SETTINGS, Site
from tests.setup.needs import needs
from tests.support.services.image_builds import BUILD_SECONDS, BuiltImages
from tests.support.services.registry import PASSWORD, USER, Registry
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.long, pytest.mark.timeout(BUILD_SECONDS + 1800)]
GROUPS = {
    "brokers": NODES,
    "voboxes": ["head"],
    "dockers": ["node1"],
    "podmans": ["node2"],
    "nodes": ["dockers", "podmans"],
}
#: A tag is not pulled again here: the release that the update goes to is another one.
NEXT = "next"


def settings(registry: Registry, gateway: str) -> dict[str, dict[str, Any]]:
    tag = plancton.__version__
    login = {"registry": registry.name, "username": USER, "password": PASSWORD}
    return {
        "nodes": {
            **NODE_SETTINGS,
            "plancton_pilot_image": f"{registry.name}/worker-el9:{tag}",
            "plancton_max_dock_mem": 200_000_000,
            # A job can read there which node it is on.
            "plancton_binds": ["/etc/hostname:/node"],
            "docker_registry_logins": [login],
            "docker_registry_cas": {registry.name: str(registry.authority)},
            "site_no_proxy": f"localhost,127.0.0.1,{gateway}",
            # Names are in /etc/hosts here, and a network of the engine's own would not know them.
            "plancton_settings": {**NODE_SETTINGS["plancton_settings"], "networks": ["host"]},
        },
        "dockers": {
            "plancton_install": "container",
            "plancton_image": f"{registry.name}/plancton:{tag}",
        },
        "podmans": {
            "docker_engine": "podman",
            # crun, which Debian has for it, refuses the tests' machine's control groups.
            "docker_packages": ["podman", "runc"],
            "docker_podman_settings": {"runtime": "runc", "cgroup_manager": "cgroupfs"},
        },
    }


@pytest.fixture(scope="module")
@needs("docker", "hosts", "registry")
def site(built_images: BuiltImages, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """After the first ``site.yml``; each test leaves it as it found it."""
    with ExitStack() as stack:
        site = stack.enter_context(
            make_site(tmp_path_factory, GROUPS, {}, engines=["node1", "node2"])
        )
        gateway, authority = site.hosts.gateway, site.mirror.authority
        registry = Registry(
            tmp_path_factory.mktemp("registry"),
            gateway,
            authority.signed("registry", gateway),
            authority.certificate,
        )
        stack.callback(registry.clean)
        registry.up()
        for name in ("plancton", "worker-el9"):
            _push(built_images, name, registry)
        for group, variables in settings(registry, gateway).items():
            site.write(f"group_vars/{group}/main.yml", variables)
        site.first = site.well("site", "-v")
        yield site


def _push(images: BuiltImages, name: str, registry: Registry) -> None:
    client = images.engine.client
    try:
        with tempfile.TemporaryFile() as saved:
            for part in client.get_image(images.names[name]):
                saved.write(part)
            saved.seek(0)
            registry.push_saved(name, [plancton.__version__, NEXT], saved)
    finally:
        client.close()


def ask(site: Site, node: str, command: str) -> Any:
    return json.loads(site.hosts.run(node, command))


def test_agents_run_in_containers_of_docker_and_of_podman(site: Site) -> None:
    submit(site, 6, "cat /node; sleep 5", "first")
    wait_for_jobs(site)
    ran = site.hosts.run("head", "cat /tmp/first.*[0-9]").split()
    assert sorted(set(ran)) == ["node1", "node2"]
    assert len(ran) == 6
    daemons = site.hosts.run("node1", "docker ps --format '{{.Names}}'").split()
    assert "plancton" in daemons
    for node in ("node1", "node2"):
        status = site.status(node)
        # A note says so where pilots are not isolated.
        assert (status["engine"]["isolation"], status["engine"]["problem"]) == ("", "")
        assert status["protection"]["cpu"], status["protection"]
        assert status["protection"]["memory"], status["protection"]


def test_a_second_run_changes_nothing(site: Site) -> None:
    before = {node: site.status(node)["daemon"]["pid"] for node in ("node1", "node2")}
    run = site.well("site")
    changes = [line for line in run.output.splitlines() if line.startswith(("TASK", "changed"))]
    assert run.changed == 0, "\n".join(changes)
    assert {node: site.status(node)["daemon"]["pid"] for node in ("node1", "node2")} == before


def test_no_password_is_in_the_output(site: Site) -> None:
    urls = site.hosts.run("head", "cat /etc/thyme-roles/*.url").split()
    assert urls
    assert all(url.count("@") == 3 or url.count(",") == 2 for url in urls), "three hosts"
    passwords = {url.split("://")[1].split("@")[0].split(":")[1] for url in urls}
    passwords |= {(site.secrets / "rabbitmq-cookie").read_text().strip()}
    assert site.first is not None
    for node in NODES:
        logs = site.hosts.run(node, "journalctl --no-pager -o cat; ps axww -o args", check=False)
        assert not [one for one in passwords if one in logs or one in site.first.output], node


def test_agents_complete_while_one_broker_of_three_is_down(site: Site) -> None:
    queues = ask(site, "head", "rabbitmqctl -q list_queues name type members --formatter json")
    pool = next(one for one in queues if one["name"] == "thyme.jobs.alien_jobs")
    assert pool["type"] == "quorum"
    assert sorted(pool["members"]) == [f"rabbit@{node}" for node in sorted(NODES)]
    site.hosts.run("node2", "systemctl stop rabbitmq-server")
    try:
        submit(site, 4, "cat /node", "away")
        wait_for_jobs(site)
        assert len(site.hosts.run("head", "cat /tmp/away.*[0-9]").split()) == 4
    finally:
        site.hosts.run("node2", "systemctl start rabbitmq-server")
    status = "rabbitmqctl -q cluster_status --formatter json"
    wait_until(
        lambda: sorted(ask(site, "head", status)["running_nodes"]) == sorted(pool["members"]),
        "the cluster to be whole",
        timeout=90,
    )


def test_a_new_daemon_adopts_the_pilots(site: Site) -> None:
    submit(site, 1, "cat /node; while [ ! -e /tmp/go ]; do sleep 0.2; done", "long")
    wait_until(lambda: [job for job in queued(site) if job["JobStatus"] == 2], "it to run", 90)
    busy = next(node for node in ("node1", "node2") if "/tmp/go" in site.hosts.run(node, "ps axww"))
    (shell,) = site.hosts.run(busy, "pgrep -f -- '-c cat /node; while'").split()
    image = site.image("node1", "plancton").rsplit(":", 1)[0]

    site.well("update", "--limit", "dockers", plancton_image=f"{image}:{NEXT}")
    site.well("update", "--limit", "podmans", plancton_restart=True)

    assert site.image("node1", "plancton").endswith(f":{NEXT}")
    assert site.hosts.run(busy, "pgrep -f -- '-c cat /node; while'").split() == [shell]
    site.hosts.run(busy, f"touch /proc/{shell}/root/tmp/go")
    wait_for_jobs(site)
    assert site.hosts.run("head", "cat /tmp/long.0").split() == [busy]
    assert site.hosts.run("head", "grep -c 'Job executing' /tmp/long.log").strip() == "1"


def test_docker_restarted_by_a_changed_option_leaves_pilots_alone(site: Site) -> None:
    # A pilot without a job would end by itself meanwhile: all four have one.
    submit(site, 4, "while [ ! -e /tmp/go ]; do sleep 0.2; done", "through")
    wait_until(
        lambda: [job["JobStatus"] for job in queued(site)] == [2] * 4, "jobs on all pilots", 90
    )
    list_pilots = "docker ps -q --filter label=plancton.node"
    daemon = site.hosts.run("node1", "cat /run/docker.pid")
    before = set(site.hosts.run("node1", list_pilots).split())
    options = {"debug": True}
    site.well("nodes", "--limit", "node1", "--tags", "docker", docker_daemon_options=options)
    assert site.hosts.run("node1", "cat /run/docker.pid") != daemon
    assert set(site.hosts.run("node1", list_pilots).split()) == before
    wait_until(lambda: site.hosts.code("node1", "planctonctl health") == 0, "it to be well", 90)
    # Not the shell that looks for them.
    let_go = "for pid in $(pgrep -f -- '[-]c while'); do touch /proc/$pid/root/tmp/go; done"
    for node in ("node1", "node2"):
        site.hosts.run(node, let_go)
    wait_for_jobs(site)
    assert site.hosts.run("head", "grep -c 'Job executing' /tmp/through.log").strip() == "4"


def test_removing_leaves_no_container_and_no_image(site: Site) -> None:
    site.well("remove", remove=True, remove_services=True)
    for node, engine in (("node1", "docker"), ("node2", "podman")):
        assert site.hosts.run(node, f"{engine} ps -aq") == ""
        assert site.hosts.run(node, f"{engine} images -q") == ""
    for node in NODES:
        left = site.hosts.run(
            node, "find / -xdev \\( -path /proc -o -path /sys \\) -prune -o "
            "\\( -iname '*plancton*' -o -iname '*thyme*' \\) -print; ps axww -o args | "
            "grep -E 'plancton|thyme|beam' | grep -v grep; true",
        )  # fmt: skip
        assert left == "", node
