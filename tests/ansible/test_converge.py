"""A site of three hosts, rolled out and looked after by its playbooks.

Pilots are processes here; test_containers has the others.
"""

import json
import re
from pathlib import Path

import pytest
import yaml

from tests.ansible import mirror
from tests.ansible.conftest import NODES
from tests.ansible.jobs import queued, submit, wait_for_jobs
from tests.ansible.site import Site
from tests.support.waiting import wait_until

#: Ansible starts a Python on a host for each task: minutes, where others use the CPUs, too.
pytestmark = pytest.mark.timeout(1800)


def test_agents_complete_on_every_node_of_a_new_site(site: Site) -> None:
    # Each keeps its pilot for a while, so that no node can take them all.
    submit(site, 6, "hostname; sleep 15", "first")
    wait_for_jobs(site)
    ran = site.hosts.run("head", "cat /tmp/first.*[0-9]").split()
    assert sorted(set(ran)) == sorted(NODES)
    assert len(ran) == 6
    assert site.hosts.run("head", "grep -c 'Job terminated' /tmp/first.log").strip() == "6"


def test_a_second_run_changes_nothing(site: Site) -> None:
    before = {node: site.status(node)["daemon"]["pid"] for node in NODES}
    run = site.well("site")
    changes = [line for line in run.output.splitlines() if line.startswith(("TASK", "changed"))]
    assert run.changed == 0, "\n".join(changes)
    assert sorted(run.recap) == sorted(NODES)
    assert {node: site.status(node)["daemon"]["pid"] for node in NODES} == before


def test_the_metrics_arrive(site: Site) -> None:
    password = (site.secrets / "influxdb-grafana").read_text().strip()
    ask = (
        "import base64, json, ssl, urllib.parse, urllib.request as u\n"
        f"r = u.Request('https://head:8086/query?db=plancton&q=' + urllib.parse.quote("
        "'SHOW TAG VALUES FROM daemon WITH KEY = hostname'))\n"
        f"who = base64.b64encode(b'grafana:{password}').decode()\n"
        "r.add_header('Authorization', 'Basic ' + who)\n"
        "c = ssl.create_default_context(cafile='/etc/influxdb/ca.pem')\n"
        "print(u.urlopen(r, context=c).read().decode())\n"
    )

    def nodes() -> bool:
        answer = json.loads(site.hosts.run("head", f"python3 - <<'E'\n{ask}E"))
        series = answer["results"][0].get("series", [{"values": []}])
        return {value for _key, value in series[0]["values"]} == set(NODES)

    wait_until(nodes, "points of every node", timeout=60)


def test_grafana_finds_its_dashboards_and_rules(site: Site) -> None:
    found = site.hosts.run("head", "cd /etc/grafana && find . -name '*.json' -o -name '*.yml'")
    made = ("plancton-dashboards/site.json", "provisioning/alerting/rules.yml")
    assert {
        f"./{name}"
        for name in (*made, "provisioning/dashboards/plancton.yml",
                     "provisioning/datasources/influxdb.yml")
    } <= set(found.split())  # fmt: skip
    dashboard, rules = (site.hosts.run("head", f"cat /etc/grafana/{name}") for name in made)
    assert json.loads(dashboard)["title"] == "Plancton: Site"
    assert len(yaml.safe_load(rules)["groups"][0]["rules"]) > 10


#: Prints the ports on which anything listens for other hosts.
OPEN_PORTS = """
import pathlib
ports = set()
for path in ("/proc/net/tcp", "/proc/net/tcp6"):
    for line in pathlib.Path(path).read_text().splitlines()[1:]:
        address, port = line.split()[1].split(":")
        loopback = address.endswith("7F") or address == "0" * 24 + "01000000"
        if line.split()[3] == "0A" and not loopback:
            ports.add(int(port, 16))
print(*sorted(ports))
"""


def test_only_what_others_need_listens_on_the_network(site: Site) -> None:
    ports = site.hosts.run("head", f"python3 - <<'E'\n{OPEN_PORTS}E").split()
    # ssh, RabbitMQ with TLS, InfluxDB
    assert ports == ["22", "5671", "8086"]
    assert "GF_SERVER_HTTP_ADDR=127.0.0.1" in site.hosts.run(
        "head", "cat /etc/default/grafana-server"
    )


def test_influxdb_had_an_administrator_before_others_could_reach_it(site: Site) -> None:
    said = site.hosts.run("head", "journalctl --no-pager -o cat -u influxdb")
    addresses = re.findall(r"Listening on HTTP.*\baddr=(\S+)", said)
    assert addresses[:1] == ["127.0.0.1:8086"], said
    assert addresses[1:] == ["[::]:8086"]


def test_no_password_is_where_others_can_read_it(site: Site) -> None:
    passwords = [one.read_text().strip() for one in site.secrets.glob("influxdb-*")]
    urls = site.hosts.run("head", "cat /etc/thyme-roles/*.url").split()
    passwords += [url.split("://")[1].split("@")[0].split(":")[1] for url in urls]
    assert len(passwords) >= 6
    assert site.first is not None
    for node in NODES:
        open_to_all = site.hosts.run(
            node, "find / -xdev \\( -path /proc -o -path /sys -o -path /usr -o -path '/opt/*' \\) "
            "-prune -o -type f -perm -004 -exec cat {} + 2>/dev/null; ps axww -o args; "
            # What was logged is for nobody, not even for root.
            "cat /var/log/*.out; journalctl --no-pager -o cat 2>/dev/null", check=False,
        )  # fmt: skip
        for password in passwords:
            assert password not in open_to_all, node
            assert password not in site.first.output


def test_drained_nodes_take_no_agents_until_they_are_resumed(site: Site) -> None:
    site.well("drain", "--limit", "light", drain_wait=60)
    try:
        submit(site, 3, "hostname", "drained")
        wait_for_jobs(site)
        assert set(site.hosts.run("head", "cat /tmp/drained.*[0-9]").split()) == {"head"}
        assert [site.status(node)["mode"] for node in NODES] == ["active", "drain", "drain"]
        assert site.well("drain", "--limit", "light").changed == 0
    finally:
        site.well("resume")
    wait_until(
        lambda: [site.status(node)["mode"] for node in NODES] == ["active"] * 3,
        "all nodes to take pilots again",
    )
    assert site.well("resume").changed == 0


def test_the_status_is_one_table_with_the_nodes_that_do_not_answer(site: Site) -> None:
    site.hosts.run("node1", "service plancton stop")
    try:
        output = site.well("status").output
    finally:
        site.hosts.run("node1", "service plancton start")
    rows = [line.strip(" -'\"") for line in output.splitlines()]
    assert next(row.split()[:2] for row in rows if row.startswith("head ")) == ["head", "active"]
    (stopped,) = [row for row in rows if row.startswith("node1 ") and "ok=" not in row]
    assert "does not run" in stopped
    assert any(
        row.startswith("3 nodes, ") and row.endswith("1 nodes with problems") for row in rows
    )


def test_a_closed_window_is_stored_in_the_inventory_and_kept_by_the_next_rollout(
    site: Site,
) -> None:
    stop = "2020-01-01 - 2090-01-01"
    site.well("windows", target="light", stops=[stop])
    kept = site.inventory / "group_vars/light/windows.yml"
    try:
        assert stop in kept.read_text()
        for node in ("node1", "node2"):
            wait_until(
                lambda node=node: site.status(node)["window"]["phase"] != "open",
                f"{node} to be closed",
                state=lambda node=node: site.hosts.run(node, "planctonctl explain"),
            )
        assert site.status("head")["window"]["phase"] == "open"
        assert site.well("nodes", "--limit", "node1", "--tags", "plancton").changed == 0
    finally:
        site.well("windows", target="light", stops=[])
    wait_until(lambda: site.status("node1")["window"]["phase"] == "open", "node1 to be open")


def test_an_update_keeps_running_pilots(site: Site, tmp_path: Path) -> None:
    wheel = mirror.wheel(tmp_path / "next", "1.0.1")
    submit(site, 1, "hostname; while [ ! -e /srv/go ]; do sleep 0.2; done", "long")
    wait_until(lambda: [job for job in queued(site) if job["JobStatus"] == 2], "it to run", 90)
    busy = next(node for node in NODES if "/srv/go" in site.hosts.run(node, "ps axww"))
    (shell,) = site.hosts.run(busy, "pgrep -f -- '-c hostname; while'").split()
    before = {node: site.status(node)["daemon"]["pid"] for node in NODES}

    # Another configuration, too.
    site.well("update", site_plancton_wheel=str(wheel), update_batch=1, plancton_max_docks=3)

    for node in NODES:
        assert site.status(node)["plancton"] == "1.0.1"
        assert site.status(node)["daemon"]["pid"] != before[node]
    assert site.hosts.run(busy, "pgrep -f -- '-c hostname; while'").split() == [shell]
    site.hosts.run(busy, "touch /srv/go")
    wait_for_jobs(site)
    assert site.hosts.run("head", "cat /tmp/long.0").split() == [busy]
    assert site.hosts.run("head", "grep -c 'Job executing' /tmp/long.log").strip() == "1"


def test_an_update_stops_at_the_first_unhealthy_node(site: Site, tmp_path: Path) -> None:
    look = "readlink /opt/plancton/current; cat /etc/plancton/config.yaml"
    before = {node: site.hosts.run(node, look) for node in NODES}
    bad = mirror.wheel(tmp_path / "bad", "1.0.2", broken=True)
    run = site.play(
        "update",
        site_plancton_wheel=str(bad),
        update_batch=1,
        plancton_healthy_within=9,
        plancton_max_docks=4,
    )
    assert run.code != 0
    assert list(run.recap) == ["head"]
    assert "was rolled back to" in run.output
    assert {node: site.hosts.run(node, look) for node in NODES} == before
    wait_until(lambda: site.hosts.code("head", "planctonctl health") == 0, "head to be well", 60)


def test_a_wrong_setting_never_reaches_a_node(site: Site) -> None:
    before = site.hosts.run("node1", "cat /etc/plancton/config.yaml")
    run = site.play(
        "nodes", "--limit", "node1", "--tags", "plancton", plancton_max_docks="ncpu - 2"
    )
    assert run.code != 0
    assert "max_docks" in run.output, run.output[-3000:]
    assert site.hosts.run("node1", "cat /etc/plancton/config.yaml") == before


def test_check_mode_changes_nothing(site: Site) -> None:
    before = site.hosts.run(
        "node2", "cat /etc/plancton/config.yaml; readlink /opt/plancton/current"
    )
    run = site.well(
        "nodes", "--check", "--limit", "node2", "--tags", "plancton", plancton_max_docks=1
    )
    assert run.changed > 0
    assert before == site.hosts.run(
        "node2", "cat /etc/plancton/config.yaml; readlink /opt/plancton/current"
    )


def test_removing_requires_consent_and_leaves_nothing(site: Site) -> None:
    assert site.play("remove", "--limit", "node2").code != 0
    assert site.status("node2")["mode"] == "active"
    site.well("remove", remove=True, remove_services=True)
    for node in NODES:
        left = site.hosts.run(
            node, "find / -xdev \\( -path /proc -o -path /sys \\) -prune -o "
            "\\( -iname '*plancton*' -o -iname '*thyme*' \\) -print; ps axww -o args | "
            "grep -E 'plancton|thyme|beam|influxd' | grep -v grep; true",
        )  # fmt: skip
        assert left == "", node
    assert site.hosts.code("head", "test -e /var/lib/rabbitmq -o -e /var/lib/influxdb") != 0
