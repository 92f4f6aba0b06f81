"""``thyme-admin roles``: users, passwords and files, without a broker."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from thyme.admin import cli, passwords
from thyme.admin.roles import Role, list_roles
from thyme.broker.amqp import topology
from thyme.broker.lanes import list_queues, parse_bounds


def run(directory: Path, *options: str) -> int:
    return cli.main(["roles", "--dir", str(directory), *options])


def content(directory: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in directory.iterdir()}


def role(user: str, *pools: str) -> Role:
    return next(each for each in list_roles(pools or ("alien_jobs",)) if each.user == user)


def loaded(directory: Path) -> dict[str, Any]:
    document = json.loads((directory / "definitions.json").read_text())
    assert isinstance(document, dict)
    return document


# --- passwords -----------------------------------------------------------------------


def test_a_password_is_hashed_as_rabbitmq_hashes_it() -> None:
    # the example of https://www.rabbitmq.com/docs/passwords
    expected = "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR"
    assert passwords.hash_password("test12", bytes.fromhex("908DC60A")) == expected
    assert passwords.matches_hash("test12", expected)
    assert not passwords.matches_hash("test13", expected)
    for malformed in ("", "no base64!", "AAAA", "ü"):
        assert not passwords.matches_hash("test12", malformed)


def test_no_two_passwords_are_the_same() -> None:
    assert len({passwords.generate_password() for _ in range(100)}) == 100


# --- what each may do ------------------------------------------------------------------


def test_a_worker_reads_its_pools_lanes_where_there_are_some() -> None:
    lanes = list_queues("alien_jobs", parse_bounds("10m"))
    plain = role("worker", "alien_jobs", "other")
    laned = role("worker", *lanes, "other")
    for lane in (*lanes[1:], "alien_jobs.lane.7200"):
        assert not re.search(plain.read, f"thyme.jobs.{lane}")
        assert not re.search(plain.topics["thyme.work"][0], f"dead.{lane}")
        assert re.search(laned.read, f"thyme.jobs.{lane}")
        assert re.search(laned.topics["thyme.work"][0], f"dead.{lane}")
    for queue in ("other", "other.lane.600", "alien_jobs.lane", "alien_jobs.lane.6.7"):
        assert not re.search(laned.read, f"thyme.jobs.{queue}")
    assert role("worker-other", *lanes, "other") == role("worker-other", "alien_jobs", "other")
    assert [each.user for each in list_roles(lanes)] == ["vobox", "monitor", "worker"]


def test_a_pool_named_like_a_pattern_opens_no_other_pool() -> None:
    worker = role("worker-.%2A", ".*")
    assert re.search(worker.read, topology.make_job_queue_name(".*"))
    assert not re.search(worker.read, "thyme.jobs.alien_jobs")
    assert not re.search(worker.topics["thyme.work"][0], "dead.alien_jobs")


# --- files -------------------------------------------------------------------------------


def test_lanes_are_added_to_all_pools_and_stay(tmp_path: Path) -> None:
    def queues() -> list[str]:
        names = [queue["name"] for queue in loaded(tmp_path)["queues"]]
        return [name for name in names if name.startswith("thyme.jobs.")]

    assert run(tmp_path, "--pool", "a", "--pool", "b") == 0
    before = content(tmp_path)
    assert run(tmp_path, "--lanes", "1h") == 0

    assert sorted(queues()) == sorted(
        f"thyme.jobs.{pool}{lane}"
        for pool in ("a", "b")
        for lane in ("", ".lane.3600", ".lane.long", ".lane.overdue")
    )
    after = content(tmp_path)
    assert {name for name in after if after[name] != before.get(name)} == {"definitions.json"}
    assert run(tmp_path) == 0
    assert content(tmp_path) == after


def test_a_pool_named_like_a_lane_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, "--pool", "a.lane.600") == 6
    assert capsys.readouterr().err == (
        "thyme-admin: pool 'a.lane.600': '.lane.' in a name is that of a lane; name the pool, 'a'\n"
    )


def test_every_user_gets_a_file_that_only_its_owner_can_read(tmp_path: Path) -> None:
    directory = tmp_path / "broker"
    assert run(directory, "--host", "broker.example.org") == 0
    names = {"vobox.url", "worker.url", "monitor.url", "definitions.json"}
    assert {path.name for path in directory.iterdir()} == names
    assert {path.stat().st_mode & 0o777 for path in directory.iterdir()} == {0o600}
    assert directory.stat().st_mode & 0o777 == 0o700
    hashes = {each["name"]: each["password_hash"] for each in loaded(directory)["users"]}
    for user in ("vobox", "worker", "monitor"):
        text = (directory / f"{user}.url").read_text()
        found = re.fullmatch(rf"amqp://{user}:([\w-]{{32}})@broker\.example\.org/%2F\n", text)
        assert found is not None
        assert passwords.matches_hash(found[1], hashes[user])
        assert found[1] not in (directory / "definitions.json").read_text()


def test_running_it_again_changes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = "--host a:5671 --host b:5671 --tls --ca /etc/ca.pem --vhost g"
    run(tmp_path, *options.split())
    before = content(tmp_path)
    capsys.readouterr()
    assert run(tmp_path) == 0
    assert content(tmp_path) == before
    said = capsys.readouterr().out
    assert [line.split()[0] for line in said.splitlines()] == ["kept"] * 4
    assert before["worker.url"].endswith("@a:5671,b:5671/g?cafile=/etc/ca.pem\n")


def test_a_file_that_others_can_read_is_made_private_with_its_content(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(tmp_path)
    before = content(tmp_path)
    (tmp_path / "worker.url").chmod(0o644)
    (tmp_path / "vobox.url").chmod(0o400)
    capsys.readouterr()
    assert run(tmp_path) == 0
    assert content(tmp_path) == before
    said = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [path for what, path in said if what != "kept"] == [str(tmp_path / "worker.url")]
    assert (tmp_path / "worker.url").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "vobox.url").stat().st_mode & 0o777 == 0o400


def test_a_file_that_cannot_be_read_is_named_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "definitions.json").mkdir()
    assert run(tmp_path) == 5
    assert capsys.readouterr().err == (
        f"thyme-admin: {tmp_path}/definitions.json: cannot be read: Is a directory\n"
    )


def test_a_further_pool_gets_workers_of_its_own_and_all_passwords_stay(tmp_path: Path) -> None:
    run(tmp_path)
    before = content(tmp_path)
    assert run(tmp_path, "--pool", "big/mem") == 0
    after = content(tmp_path)
    assert set(after) - set(before) == {"worker-big%2Fmem.url"}
    assert all(after[name] == before[name] for name in before if name.endswith(".url"))
    queues = [each["name"] for each in loaded(tmp_path)["queues"]]
    assert "thyme.jobs.alien_jobs" in queues
    assert "thyme.jobs.big/mem" in queues
    # and the next run knows it without being told
    assert run(tmp_path) == 0
    assert content(tmp_path) == after


def test_only_the_user_whose_file_was_removed_gets_a_new_password(tmp_path: Path) -> None:
    run(tmp_path)
    before, hashes = content(tmp_path), loaded(tmp_path)["users"]
    (tmp_path / "worker.url").unlink()
    assert run(tmp_path) == 0
    after = content(tmp_path)
    assert after["worker.url"] != before["worker.url"]
    assert after["vobox.url"] == before["vobox.url"]
    changed = {
        new["name"]
        for new, old in zip(loaded(tmp_path)["users"], hashes, strict=True)
        if new != old
    }
    assert changed == {"worker"}


def test_another_host_is_written_only_with_force_and_keeps_the_passwords(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(tmp_path, "--host", "a")
    before = content(tmp_path)
    assert run(tmp_path, "--host", "b") == 1
    said = capsys.readouterr().err
    assert said == (
        f"thyme-admin: {tmp_path}/vobox.url would change: it names another place or has other "
        "options; --force writes it again, with the passwords that are there\n"
    )
    assert content(tmp_path) == before
    assert run(tmp_path, "--host", "b", "--force") == 0
    assert content(tmp_path)["vobox.url"] == before["vobox.url"].replace("@a/", "@b/")


def test_definitions_changed_by_hand_are_left_alone_without_force(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(tmp_path)
    path = tmp_path / "definitions.json"
    document = loaded(tmp_path)
    document["users"].append({"name": "admin", "password_hash": "x", "tags": ["administrator"]})
    path.write_text(json.dumps(document))
    assert run(tmp_path, "--pool", "new") == 1
    assert f"{path} was changed by hand" in capsys.readouterr().err
    assert loaded(tmp_path) == document
    assert not (tmp_path / "worker-new.url").exists()
    assert run(tmp_path, "--pool", "new", "--force") == 0
    assert "admin" not in {each["name"] for each in loaded(tmp_path)["users"]}


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("worker.url", "amqp://somebody:hush@h/v", "holds no URL of worker with a password"),
        ("worker.url", "hush", "holds no URL of worker with a password"),
        ("vobox.url", "http://vobox:hush@h/", "holds no broker URL"),
        ("definitions.json", "{hush", "not JSON"),
        ("definitions.json", "[" * 100_000 + "hush", "not JSON"),
        ("definitions.json", '{"users": "hush"}', "not RabbitMQ's definitions"),
    ],
)
def test_a_file_that_holds_something_else_is_named_and_never_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, text: str, says: str
) -> None:
    run(tmp_path)
    (tmp_path / name).write_text(text)
    before = content(tmp_path)
    assert run(tmp_path) == 5
    said = capsys.readouterr().err
    assert f"thyme-admin: {tmp_path}/{name}: {says}" in said
    assert said.count("\n") == 1
    assert ("name all --pool and --lanes again" in said) is (name == "definitions.json")
    assert "hush" not in said
    assert content(tmp_path) == before


def test_a_directory_that_cannot_be_made_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert run(tmp_path / "file" / "broker") == 5
    assert capsys.readouterr().err == (
        f"thyme-admin: {tmp_path}/file/broker: cannot be made: Not a directory\n"
    )


@pytest.mark.parametrize(
    "options",
    [["--host", "a b"], ["--host", "me:secret@h"], ["--host", "h:99999"], ["--host", "h/v"],
     ["--host", ""], ["--vhost", ""], ["--vhost", "x\ny"],
     ["--ca", "/etc/ca.pem"], ["--pool", "x" * 250]],
)  # fmt: skip
def test_a_place_that_no_url_can_name_is_refused_before_anything_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str]
) -> None:
    assert run(tmp_path, *options) == 6
    said = capsys.readouterr().err
    assert said.startswith("thyme-admin: ")
    assert said.count("\n") == 1
    assert "secret" not in said
    assert content(tmp_path) == {}


def test_no_password_is_ever_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(tmp_path, "--json")
    run(tmp_path, "--host", "other")
    said = "".join(capsys.readouterr())
    for user in ("vobox", "worker", "monitor"):
        assert (tmp_path / f"{user}.url").read_text().split(":")[2].split("@")[0] not in said
