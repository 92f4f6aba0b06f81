"""A whole site from docker-compose.yml and our images: used, harmed, updated, stopped.

The tests are one story, in the file's order: a site takes half a minute to start.
"""

import json
import tempfile
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

import pytest

from demo_ce.proxy import make_demo_credential
from tests.e2e.site_compose import NODE, ComposeSite
from tests.e2e.site_engine import METADATA, REPORTS_PORT, WORLD, machine
from tests.setup.needs import needs
from tests.support.services.fixtures import CGROUPS
from tests.support.services.image_builds import BUILD_SECONDS, BuiltImages
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.root, pytest.mark.timeout(BUILD_SECONDS)]

SERVICES = ("rabbitmq", "influxdb", "schedd", "vobox", "pilot-guard", "plancton")
INFLUX_USERS = ("admin", "plancton", "schedd", "grafana")
#: Says outside of the site that it begins and that it ends: nothing of ours is needed for that.
AGENT = f"""\
#!/bin/bash
set -eu
batch=$1 number=$2 seconds=$3
say() {{
    exec 3<>/dev/tcp/{WORLD}/{REPORTS_PORT}
    echo "$batch $number $1" >&3
    read -r answer <&3
    exec 3>&-
    [ "$answer" = ok ]
}}
say begin
echo "input: $(cat "input.$((number % 3))")"
echo "proxy: $(head -n 1 "$X509_USER_PROXY") $(stat -c %a "$X509_USER_PROXY")"
sleep "$seconds"
echo "$number" > "result.$number"
say end
"""
INPUT = {f"input.{n}": f"number {n}" for n in range(3)}
DESCRIPTION = """\
universe = vanilla
executable = agent
arguments = {batch} $(Process) {seconds}
transfer_input_files = input.0,input.1,input.2
should_transfer_files = YES
when_to_transfer_output = ON_EXIT
x509userproxy = proxy
output = out/$(Process).out
error = out/$(Process).err
log = log
queue {ones}
request_cpus = 8
queue {eights}
"""


@pytest.fixture(scope="module")
@needs("docker", "site", "compose")
def site(built_images: BuiltImages, cgroup_name: str) -> Iterator[ComposeSite]:
    with machine(built_images) as engine, tempfile.TemporaryDirectory(prefix="compose-") as place:
        made = ComposeSite(engine, Path(place), built_images.names, cgroup_name)
        yield made


def submit(site: ComposeSite, batch: str, ones: int, eights: int, seconds: int) -> int:
    text = DESCRIPTION.format(batch=batch, ones=ones, eights=eights, seconds=seconds)
    proxy = make_demo_credential(datetime.now(timezone.utc)).decode()
    return site.submit(batch, text, {"agent": AGENT, "proxy": proxy, **INPUT})


def check(site: ComposeSite, batch: str, cluster: int, count: int) -> None:
    """Each job ran once, by what it said itself, and all that it left is here."""
    told = site.reports(batch)
    assert sorted(told, key=int) == [str(n) for n in range(count)]
    twice = {job: words for job, words in told.items() if words != ["begin", "end"]}
    assert twice == {}, site.ce(f"condor_history {cluster} -af ProcId NumJobStarts")
    ads = site.history(cluster, "JobStatus", "ExitCode", "Owner")
    assert {ad["ProcId"] for ad in ads} == set(range(count))
    assert {(ad["JobStatus"], ad["ExitCode"], ad["Owner"]) for ad in ads} == {(4, 0, "ce")}
    said = site.ce(f"cd {batch}; grep -H . out/*.out result.*; cat out/*.err >&2").splitlines()
    wanted = []
    for n in range(count):
        wanted += [
            f"out/{n}.out:input: number {n % 3}",
            f"out/{n}.out:proxy: -----BEGIN CERTIFICATE----- 600",
            f"result.{n}:{n}",
        ]
    assert sorted(said) == sorted(wanted)
    events = logged(site.ce(f"cat {batch}/log"))
    for event in ("000", "005"):
        jobs = sorted(job for number, job, _ in events if number == event)
        again = {job for job in jobs if jobs.count(job) > 1}
        doubled = [text for _, job, text in events if job in again]
        assert jobs == list(range(count)), (event, doubled, site.logs("schedd"))
    begun, taken_back = (
        [job for number, job, _ in events if number == event] for event in ("001", "004")
    )
    # a worker that lost the broker before it began the job has given it back
    assert sorted(begun) == sorted([*range(count), *taken_back]), site.ce(f"cat {batch}/log")


def logged(log: str) -> list[tuple[str, int, str]]:
    """Return the events of a user log: number, process, whole text."""
    found = []
    for text in log.split("\n...\n"):
        if text.strip():
            number, job = text.split(maxsplit=2)[:2]
            found.append((number, int(job.strip("()").split(".")[1]), text))
    return found


def all_well(site: ComposeSite) -> bool:
    return all(site.health(service) == "healthy" for service in SERVICES)


def test_plain_compose_brings_a_site_up_from_nothing(site: ComposeSite) -> None:
    site.compose("up", "-d")

    wait_until(lambda: all_well(site), "all to be healthy", timeout=120.0, state=site.shows)
    folder = site.directory / "secrets"
    assert (folder.stat().st_mode & 0o777, folder.stat().st_uid) == (0o700, 0)
    # each service finds what it needs and no more
    for service, wanted in {
        "rabbitmq": {"definitions.json"},
        "influxdb": {f"influxdb-{user}-password" for user in INFLUX_USERS},
        "schedd": {"thyme-vobox-url", "influxdb-schedd-password"},
        "plancton": {"thyme-worker-url", "influxdb-plancton-password"},
    }.items():
        place = "/run/thyme" if service == "rabbitmq" else "/run/secrets"
        assert set(site.exec(service, "ls", "-A", place).split()) == wanted
    assert "no such file" in site.exec("vobox", "sh", "-c", "ls /run/secrets 2>&1 || true").lower()


def test_make_up_finds_it_healthy_and_changes_nothing(site: ComposeSite) -> None:
    files = [path for path in (site.directory / "secrets").rglob("*") if path.is_file()]
    before, secrets = site.containers(), {path: path.read_bytes() for path in files}

    done = site.make("up")

    assert done.returncode == 0, done.stdout
    assert "secrets: nothing was missing" in done.stdout
    assert "the site is up" in done.stdout
    assert site.containers() == before
    assert {path: path.read_bytes() for path in files} == secrets


def test_sixty_agents_run_some_of_them_on_eight_cores(site: ComposeSite) -> None:
    cluster = submit(site, "first", ones=48, eights=12, seconds=0)

    queued = site.ce(f"condor_q {cluster} -af ProcId RequestCpus")

    eights = {line.split()[0] for line in queued.splitlines() if line.split()[1] == "8"}
    assert eights <= {str(n) for n in range(48, 60)}
    site.wait_for(cluster, 60, timeout=240.0)
    check(site, "first", cluster, 60)
    asked = site.history(cluster, "RequestCpus")
    assert sorted(ad["RequestCpus"] for ad in asked) == [1] * 48 + [8] * 12


def influx(site: ComposeSite, user: str, query: str, *more: str) -> str:
    secret = site.directory / "secrets" / f"influxdb-{user}-password"
    command = ["influx", *more, "-username", user, "-password", secret.read_text().strip()]
    options = ["-database", "plancton", "-format", "json", "-execute", query]
    return site.run("docker", "exec", site.container("influxdb"), *command, *options).stdout


def series(site: ComposeSite, *more: str) -> set[str]:
    """Who has written what, since InfluxDB's container was made."""
    since = site.inspect(site.container("influxdb"))["State"]["StartedAt"]
    query = f"SELECT * FROM /./ WHERE time > '{since}' GROUP BY * LIMIT 1"
    said = json.loads(influx(site, "grafana", query, *more))["results"][0].get("series", [])
    return {f"{one['name']} {one.get('tags', {})}" for one in said}


def figures_arrive(site: ComposeSite, *more: str) -> None:
    def both() -> bool:
        found = series(site, *more)
        return any(NODE in one for one in found) and any("schedd" in one for one in found)

    wait_until(
        both, "series of the node and of the schedd",
        timeout=60.0, state=lambda: influx(site, "grafana", "SHOW SERIES", *more),
    )  # fmt: skip


def test_the_series_of_node_and_schedd_are_in_influxdb(site: ComposeSite) -> None:
    figures_arrive(site)


def test_each_user_of_influxdb_may_do_its_own_work_only(site: ComposeSite) -> None:
    refused = {
        ("grafana", "CREATE DATABASE other"),
        ("plancton", "SELECT * FROM daemon LIMIT 1"),
        ("schedd", "SELECT * FROM daemon LIMIT 1"),
        ("schedd", "DROP DATABASE plancton"),
    }
    for user, query in refused:
        said = influx(site, user, query)
        assert "not authorized" in said or "privilege" in said, (user, query, said)
    write = "INSERT forged value=1"
    assert "not authorized" in influx(site, "grafana", write)
    nobody = site.run(
        "docker", "exec", site.container("influxdb"), "influx", "-execute", "SHOW DATABASES"
    )
    assert "unable to parse authentication credentials" in nobody.stdout, nobody.stdout


PROBE = """\
#!/bin/bash
open() { timeout 10 bash -c "exec 3<>/dev/tcp/${1%:*}/${1##*:}" 2>/dev/null && echo "open $1"; }
# all at once: where packets are dropped each takes its whole time
for target in $* rabbitmq:{5672,5671,4369,15672,15692,25672}; do open "$target" & done
for name in influxdb grafana schedd plancton vobox; do
    { getent hosts $name && echo "resolves $name"; } &
done
wait
for file in /run/secrets/thyme-worker-url /proc/1/environ /var/run/docker.sock /run/thyme; do
    [ -e $file ] && cat $file 2>/dev/null && echo "read $file"
done
env | grep ^THYME
[ "$(id -u)" != 0 ] && echo "not root"
exit 0
"""


def test_a_pilot_reaches_no_service_but_the_broker(site: ComposeSite) -> None:
    # given the addresses of everything, as an attacker may have read them elsewhere
    targets = [f"{METADATA}:80", f"{WORLD}:{REPORTS_PORT}"]
    for service in ("influxdb", "schedd", "plancton", "vobox"):
        networks = site.inspect(site.container(service))["NetworkSettings"]["Networks"]
        for network in networks.values():
            targets += [f"{network['IPAddress']}:{port}" for port in (8086, 3000, 80, 22)]
            targets += [
                f"{network['Gateway']}:{port}" for port in (8086, 3000) if network["Gateway"]
            ]
    assert site.engine.reaches(METADATA, 80)
    text = (
        "executable = agent\narguments = " + " ".join(targets) + "\n"
        "output = out/probe\nerror = out/err\nqueue\n"
    )

    cluster = site.submit("probe", text, {"agent": PROBE})
    site.wait_for(cluster, 1, timeout=120.0)

    said = site.ce("cat probe/out/probe").splitlines()
    assert sorted(said) == ["not root", f"open {WORLD}:{REPORTS_PORT}", "open rabbitmq:5672"]


def test_only_plancton_has_the_engines_socket(site: ComposeSite) -> None:
    for service in SERVICES:
        mounts = {mount["Source"] for mount in site.inspect(site.container(service))["Mounts"]}
        assert (str(site.engine.socket) in mounts) == (service == "plancton")
        assert not site.inspect(site.container(service))["HostConfig"]["Privileged"]


def test_no_secret_is_in_a_containers_description_or_log(site: ComposeSite) -> None:
    folder = site.directory / "secrets"
    secrets = [path.read_text().strip() for path in folder.glob("*password")]
    secrets += [path.read_text().split(":")[2].split("@")[0] for path in folder.glob("*.url")]
    assert len(secrets) == 8
    for container in [site.container(service) for service in SERVICES]:
        told = json.dumps(site.inspect(container)) + site.run("docker", "logs", container).stdout
        assert not [secret for secret in secrets if secret in told], container
    for pilot in site.pilots():
        assert not [secret for secret in secrets if secret in json.dumps(site.inspect(pilot["Id"]))]


@pytest.mark.timeout(900)
def test_killing_each_service_in_turn_loses_and_duplicates_no_job(site: ComposeSite) -> None:
    cluster = submit(site, "second", ones=40, eights=8, seconds=6)
    wait_until(lambda: site.reports("second"), "the first jobs to begin", timeout=60.0)

    for service in SERVICES:
        site.kill_and_recreate(service)

    # one whose worker lost the broker before it heard that it may start waits for its lease (300 s)
    site.wait_for(cluster, 48, timeout=600.0)
    check(site, "second", cluster, 48)


def test_new_pilots_run_the_new_worker_and_old_ones_end_by_themselves(site: ComposeSite) -> None:
    # given another build of the worker, and old pilots with jobs
    repository, _, tag = site.worker.rpartition(":")
    client = site.engine.client
    made = client.create_container(site.worker, ["true"], labels={"release": "next"})["Id"]
    client.commit(made, repository=repository, tag="e2e-next")
    client.remove_container(made)
    client.close()
    cluster = submit(site, "update", ones=2, eights=0, seconds=15)
    wait_until(lambda: len(site.reports("update")) == 2, "old pilots with jobs", timeout=60.0)
    old = {pilot["Id"] for pilot in site.pilots()}

    done = site.make("update-workers", "TAG=e2e-next")

    assert done.returncode == 0, done.stdout
    assert f"new pilots run {repository}:e2e-next" in done.stdout
    assert f"WORKER_TAG={tag}" not in (site.directory / ".env").read_text()
    after = submit(site, "updated", ones=10, eights=0, seconds=0)
    site.wait_for(after, 10, timeout=120.0)
    site.wait_for(cluster, 2, timeout=90.0)
    # the jobs of the old pilots were not disturbed
    check(site, "update", cluster, 2)

    def releases() -> list[str]:
        return [pilot["Labels"].get("release", "old") for pilot in site.pilots()]

    wait_until(
        lambda: "next" in releases() and "old" not in releases(),
        "old pilots to end", timeout=90.0, state=releases,
    )  # fmt: skip
    assert not old & {pilot["Id"] for pilot in site.pilots()}


def test_plancton_in_its_container_protects_the_owner(site: ComposeSite) -> None:
    site.set({"CGROUPS": str(CGROUPS)})

    site.compose("up", "-d", "--no-deps", "plancton")

    wait_until(
        lambda: site.health("plancton") == "healthy" and "pilots get the CPU" in site.explain(),
        "the owner's protection",
        timeout=60.0,
        state=lambda: site.logs("plancton"),
    )
    site.set({"CGROUPS": str(site.directory / "no-cgroups")})
    site.compose("up", "-d", "--no-deps", "plancton")


def test_an_update_to_a_missing_version_changes_nothing(site: ComposeSite) -> None:
    before = (site.directory / ".env").read_text()

    done = site.make("update-workers", "TAG=never-built")

    assert done.returncode != 0
    assert "there is no image plancton/worker-el9:never-built here" in done.stdout
    assert (site.directory / ".env").read_text() == before


def test_down_gives_running_jobs_back_and_docker_compose_1_29_goes_on_with_them(
    site: ComposeSite,
) -> None:
    cluster = submit(site, "last", ones=4, eights=0, seconds=20)
    wait_until(lambda: len(site.reports("last")) == 4, "all jobs to begin", timeout=60.0)

    down = site.make("down")

    assert down.returncode == 0, down.stdout
    client = site.engine.client
    left = client.containers(all=True)
    client.close()
    assert left == []
    site.use_v1()
    site.compose("up", "-d")
    wait_until(lambda: all_well(site), "all to be healthy", timeout=120.0, state=site.shows)
    site.wait_for(cluster, 4, timeout=120.0)
    ends = {job: words.count("end") for job, words in site.reports("last").items()}
    assert ends == {str(n): 1 for n in range(4)}


def test_with_tls_the_agents_of_the_demo_ce_complete_and_series_arrive(site: ComposeSite) -> None:
    settings = {
        "COMPOSE_FILE": "docker-compose.yml:docker-compose.tls.yml",
        "COMPOSE_PROFILES": "demo-ce",
        "DEMO_ARGS": "--agents 4 --seconds 1 --interval 1",
        "TLS": "yes",
        "BROKER_HOST": "site.example.org",
        "BROKER_LISTEN": "127.0.0.1:45671",
        "INFLUXDB_SCHEME": "https",
        "INFLUXDB_LISTEN": "127.0.0.1:48086",
        "INFLUXDB_CA": "ca_file=/run/secrets/site-ca&",
    }
    site.set(settings)

    # the URLs and the broker's users would change, so it does not do it by itself
    refused = site.make("up")
    made = site.make("secrets", "SECRETS_ARGS=--force")
    # pilots that run know the old URL
    site.make("down")
    up = site.make("up")

    assert refused.returncode != 0
    assert "make secrets SECRETS_ARGS=--force" in refused.stdout
    assert made.returncode == 0, made.stdout
    assert "secrets/worker.url" in made.stdout
    assert up.returncode == 0, up.stdout
    url = (site.directory / "secrets/worker.url").read_text()
    assert url.startswith("amqps://worker:")
    said = site.inspect(site.container("demo-ce"))["State"]["Health"]["Log"][-1]["Output"]
    wait_until(
        lambda: "4 of 4 agents submitted, 4 completed" in site.logs("demo-ce"),
        "the agents to come back", timeout=120.0, state=lambda: site.logs("demo-ce") + said,
    )  # fmt: skip
    figures_arrive(site, "-ssl", "-unsafeSsl")
    # from outside, as another node would, by the name in the certificate
    for address in ("127.0.0.1:45671", "127.0.0.1:48086"):
        shaken = site.engine.inside(
            "openssl", "s_client", "-connect", address, "-verify_return_error", "-brief",
            "-verify_hostname", "site.example.org",
            "-CAfile", str(site.directory / "secrets/ca.pem"),
        )  # fmt: skip
        assert "Verification: OK" in shaken.stderr, shaken.stderr
    assert not site.engine.reaches("127.0.0.1", 5672)


def test_down_removes_all_containers_and_keeps_the_volumes(site: ComposeSite) -> None:
    down = site.make("down")

    assert down.returncode == 0, down.stdout
    client = site.engine.client
    left, volumes = client.containers(all=True), client.volumes()["Volumes"]
    client.close()
    assert left == []
    assert {"plancton_rabbitmq", "plancton_influxdb"} <= {volume["Name"] for volume in volumes}
