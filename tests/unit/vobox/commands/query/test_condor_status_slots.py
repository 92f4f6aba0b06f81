"""condor_status for machines: the pilots are the slots (contract, sections 4.4 and 7)."""

import json

import pytest

from tests.support.fake_query_queue import FakeQueue, ask, out
from tests.support.schedd_parts import NOW
from thyme.protocol.events import Machine
from thyme.protocol.mail import Waiting
from vobox.classad.ad import Ad, literal
from vobox.commands.query.condor_status import answer as condor_status
from vobox.workers.slot_ads import slot_ads
from vobox.workers.slots import Slots

MACHINE = Machine(1, 2000, 10**6, "X86_64", "LINUX", "AlmaLinux9", 0.25)
ARM = Machine(8, 257750, 10**7, "aarch64", "LINUX", "Debian12", 12.5)


def job(cluster: int, status: int, host: str, user: str = "games@example.org") -> Ad:
    return Ad(
        {
            "ClusterId": str(cluster), "ProcId": "0", "JobStatus": str(status),
            "GlobalJobId": literal(f"vobox1#{cluster}.0#1"), "User": literal(user),
            "RemoteHost": literal(host), "JobCurrentStartDate": str(int(NOW) - 90061),
            "EnteredCurrentStatus": str(int(NOW) - 90061),
        }
    )  # fmt: skip


def pool() -> FakeQueue:
    """Three waiting workers on two nodes, two that run jobs, one that is ending one."""
    slots = Slots()
    for worker, host, machine in (
        ("a", "slot1_10@node1.example.org", MACHINE),
        ("b", "slot1_9@node1.example.org", MACHINE),
        ("c", "slot1_1@node2", ARM),
        ("d", "", MACHINE),
        ("e", "", MACHINE),
        ("f", "", ARM),
    ):
        slots.record_waiting(Waiting(worker, host or "x", "p", NOW - 61, 60.0, machine), 0.0)
    busy = [
        ("d", job(7, 2, "slot1_2@node1.example.org")),
        ("e", job(8, 7, "slot1_1@node1.example.org", "bob@example.org")),
        ("f", job(9, 3, "slot1_2@node2")),
    ]
    return FakeQueue(machines=list(slot_ads(slots, busy, "vobox1.example.org", 1.0, NOW)))


POOL = pool()


def test_the_table_is_htcondors() -> None:
    waiting = FakeQueue(machines=[ad for ad in POOL.machines if ad.text("State") == "Unclaimed"])
    assert out(condor_status, waiting) == (
        "Name                               OpSys      Arch     State     Activity LoadAv "
        "Mem     ActvtyTime\n"
        "\n"
        "slot1_9@node1.example.org          LINUX      X86_64   Unclaimed Idle      0.250 "
        "  2000  0+00:01:01\n"
        "slot1_10@node1.example.org         LINUX      X86_64   Unclaimed Idle      0.250 "
        "  2000  0+00:01:01\n"
        "slot1_1@node2                      LINUX      aarch64  Unclaimed Idle     12.500 "
        "257750  0+00:01:01\n"
        "\n"
        "               Total Owner Claimed Unclaimed Matched Preempting  Drain Backfill BkIdle\n"
        "\n"
        "  X86_64/LINUX     2     0       0         2       0          0      0        0      0\n"
        " aarch64/LINUX     1     0       0         1       0          0      0        0      0\n"
        "\n"
        "         Total     3     0       0         3       0          0      0        0      0\n"
    )


def test_the_state_is_as_wide_as_what_is_in_it_and_other_columns_are_not() -> None:
    table = out(condor_status, POOL)
    assert (
        "slot1_1@node1.example.org          LINUX      X86_64   Claimed    Suspended  0.250 "
        "  2000  1+01:01:01\n"
        "slot1_2@node1.example.org          LINUX      X86_64   Claimed    Busy      0.250 "
        "  2000  1+01:01:01\n"
    ) in table
    assert (
        "slot1_2@node2                      LINUX      aarch64  Preempting Vacating 12.500 "
        "257750  1+01:01:01\n"
    ) in table
    assert "  X86_64/LINUX     4     0       2         2       0          0" in table
    assert " aarch64/LINUX     2     0       0         1       0          1" in table
    assert "         Total     6     0       2         3       0          1" in table


def test_total_is_the_latter_part_of_the_table() -> None:
    assert out(condor_status, POOL).endswith(out(condor_status, POOL, "-total"))
    assert out(condor_status, POOL, "-total").startswith("\n               Total Owner Claimed ")


def test_an_empty_pool_prints_nothing_and_ends_well() -> None:
    for asked in ([], ["-total"], ["-af", "Name"], ["-json"], ["-claimed"], ["-long"]):
        assert out(condor_status, FakeQueue(), *asked) == ""


def test_arcs_questions_are_answered() -> None:
    machine = ["-format", "Name = %V\n", "Name", "-format", "Machine = %V\n", "Machine"]
    asked = [*machine, "-format", "State = %V\n", "State", "-format", "Cpus = %V\n", "Cpus"]
    asked += [
        "-format",
        "TotalCpus = %V\n",
        "TotalCpus",
        "-format",
        "SlotType = %V\n\n",
        "SlotType",
    ]

    blocks = out(condor_status, POOL, *asked).split("\n\n")

    assert blocks[0] == (
        'Name = "slot1_1@node1.example.org"\nMachine = "node1.example.org"\nState = "Claimed"\n'
        'Cpus = 1\nTotalCpus = 1\nSlotType = "Static"'
    )
    assert len(blocks) == 7
    assert blocks[-1] == ""
    machines = out(
        condor_status, POOL, "-format", "%s\n", "Machine",
        "-constraint", 'OpSys == "LINUX" && Arch == "AARCH64"',
    )  # fmt: skip
    assert machines == "node2\nnode2\n"


def test_tardis_asks_for_columns_of_slots_collector_and_masters() -> None:
    asked = ("-af:t", "Machine", "State", "Cpus", "Missing")
    assert out(condor_status, POOL, *asked, "-constraint", 'State == "Unclaimed"') == (
        "node1.example.org\tUnclaimed\t1\tundefined\n"
        "node1.example.org\tUnclaimed\t1\tundefined\n"
        "node2\tUnclaimed\t8\tundefined\n"
    )
    assert out(condor_status, POOL, "-af:t", "Machine", "-collector") == "vobox1.example.org\n"
    assert out(condor_status, POOL, "-af:t", "Machine", "-master") == (
        "node1.example.org\nnode2\nvobox1.example.org\n"
    )
    assert out(condor_status, POOL, "-collector", "-af", "HostsTotal", "RunningJobs") == "6 0\n"
    assert out(condor_status, POOL, "-collector").splitlines()[2].split() == [
        "vobox1.example.org", "vobox1.example.org", "0", "0", "6",
    ]  # fmt: skip
    assert out(condor_status, POOL, "-master") == (
        "Name\n\nnode1.example.org\nnode2\nvobox1.example.org\n"
    )


def test_submitters_are_the_users_with_jobs() -> None:
    queue = FakeQueue([job(1, 1, ""), job(2, 2, "x"), job(3, 5, "", "bob@example.org")])
    asked = ("-submitters", "-af", "Name", "RunningJobs", "IdleJobs", "HeldJobs")
    assert out(condor_status, queue, *asked) == ("bob@example.org 0 0 1\ngames@example.org 1 1 0\n")
    table = out(condor_status, queue, "-submitters").splitlines()
    assert table[2].split() == ["bob@example.org", "vobox1.example.org", "0", "0", "1"]
    assert table[-1].split() == ["Total", "1", "1", "1"]


def test_a_compact_table_has_a_row_for_each_machine() -> None:
    lines = out(condor_status, POOL, "-compact").splitlines()
    rows = {line.split()[0]: line.split() for line in lines[2:4]}
    # as a script of the field adds up CPUs: awk '{if (NR > 2) print $4}'
    assert rows["node1.example.org"][1:5] == ["x64/AlmaLinux9", "4", "4", "7.81"]
    assert rows["node2"][1:4] == ["aarch64/Debian12", "2", "16"]
    assert lines[0].split()[:4] == ["Machine", "Platform", "Slots", "Cpus"]
    # the platform's column is as wide as its widest
    assert lines[0].startswith("Machine           Platform         Slots Cpus Gpus ")
    assert lines[2].startswith("node1.example.org x64/AlmaLinux9       4    4 ")
    assert " ** " in lines[2]


def test_the_column_of_activities_is_as_wide_as_the_widest() -> None:
    lines = out(condor_status, POOL, "-state").splitlines()
    assert lines[0].endswith("  Activ       ActvtyTime")
    assert lines[2].endswith(" Suspended   1+01:01:01")
    assert lines[3].endswith(" Busy        1+01:01:01")


def test_a_busy_slot_is_shown_with_its_job() -> None:
    assert set(out(condor_status, POOL, "-af:j", "State").split("\n")) == {
        "7.0 Claimed", "8.0 Claimed", "9.0 Preempting", " Unclaimed", ""
    }  # fmt: skip


def test_the_other_kinds_answer_with_what_there_is() -> None:
    assert out(condor_status, POOL, "-run").split()[-5:] == [
        "vobox1.example.org",
        "0",
        "0",
        "0",
        "0",
    ]
    assert out(condor_status, POOL, "-negotiator") == ""
    kinds = out(condor_status, POOL, "-any", "-af", "MyType").split()
    assert {"Collector", "Scheduler", "DaemonMaster", "Machine"} == set(kinds)
    state = out(condor_status, POOL, "-state").splitlines()
    assert state[0].split() == [
        "Name", "Cpu", "Mem", "LoadAv", "KbdIdle", "State", "StateTime", "Activ", "ActvtyTime",
    ]  # fmt: skip
    assert len([line for line in state if line.startswith("slot")]) == 6


@pytest.mark.parametrize(
    ("argv", "found"),
    [
        (["-claimed"], "7.0 8.0"),
        (["-avail"], "undefined undefined undefined"),
        (["-startd", "-limit", "2"], "8.0 7.0"),
        (["node2"], "undefined 9.0"),
        (["NODE1"], "8.0 7.0 undefined undefined"),
        (["slot1_2@node2", "slot1_1@node1.example.org"], "8.0 9.0"),
        (["-name", "slot1_2@node2"], "9.0"),
        (["-direct", "node2"], "undefined 9.0"),
        (["nowhere"], ""),
        (["-sort", "JobId"], "7.0 8.0 9.0"),
        (["-sort", "Nope"], ""),
        (["-const", "JobId =!= undefined", "-sort", "-Cpus"], "9.0 7.0 8.0"),
        (["-const", "JobId =!= undefined", "-sort", "no"], "7.0 8.0 9.0"),
        (["-const", "RemoteOwner == \"bob@example.org\""], "8.0"),
    ],
)  # fmt: skip
def test_which_slots(argv: list[str], found: str) -> None:
    printed = out(condor_status, POOL, *argv, "-af", "JobId").split()
    if argv == ["-claimed"]:
        printed.sort()
    assert " ".join(printed) == found


def test_claimed_slots_are_shown_with_who_has_them() -> None:
    lines = out(condor_status, POOL, "-claimed").splitlines()

    assert lines[0].split() == [
        "Name", "OpSys", "Arch", "LoadAv", "RemoteUser", "ClientMachine",
    ]  # fmt: skip
    assert lines[2].split() == [
        "slot1_1@node1.example.org", "LINUX", "X86_64", "0.250", "bob@example.org",
        "vobox1.example.org",
    ]  # fmt: skip
    assert lines[-1].split()[:4] == ["Total", "2", "0", "2"]


def test_slots_in_the_other_forms() -> None:
    ads = json.loads(out(condor_status, POOL, "-json"))
    assert [ad["Name"] for ad in ads][:2] == [
        "slot1_1@node1.example.org", "slot1_2@node1.example.org",
    ]  # fmt: skip
    assert ads[1]["JobId"] == "7.0"
    lines = out(condor_status, POOL, "-jsonl", "-attributes", "Cpus").splitlines()
    assert [json.loads(line)["Cpus"] for line in lines] == [1, 1, 1, 1, 8, 8]
    long = out(condor_status, POOL, "-long", "slot1_1@node2").splitlines()
    assert 'State = "Unclaimed"' in long
    assert long == [*sorted(long[:-1], key=str.lower), ""]
    xml = out(condor_status, POOL, "-xml", "-attributes", "SlotID", "-limit", "2")
    ad = '<c>\n    <a n="SlotID"><i>1</i></a>\n</c>\n\n'  # as HTCondor
    assert xml.endswith(f"<classads>\n{ad}{ad}</classads>\n")


def test_a_machine_that_was_never_reported_is_unknown_and_not_empty() -> None:
    slots = Slots()
    busy = [("w", job(7, 2, "slot1@n"))]
    queue = FakeQueue(machines=list(slot_ads(slots, busy, "vobox1", 1.0, NOW)))

    printed = out(condor_status, queue)

    # as HTCondor prints a slot without OpSys, Arch, CondorLoadAvg and Memory
    assert printed.splitlines()[2] == (
        f"{'slot1@n':34} {'':10} {'':8} Claimed   Busy     [????] [????]  1+01:01:01"
    )
    assert "(Omitted 1 malformed ads in computed attribute totals)" in printed
    assert out(condor_status, queue, "-af", "Cpus", "Memory") == "undefined undefined\n"


def test_slots_that_cannot_be_known_are_an_error_and_not_an_empty_pool() -> None:
    queue = FakeQueue(machines=list(POOL.machines), trouble="no broker for 42 s")

    for asked in ([], ["-total"], ["-af", "Name"], ["-collector", "-af", "Name"]):
        answer = ask(condor_status, queue, *asked)
        assert (answer.stdout, answer.code) == ("", 1)
        assert answer.stderr == (
            "Error: communication error\nThe slots are not known: no broker for 42 s\n"
        )


def test_a_daemon_that_is_not_there_is_not_found() -> None:
    answer = ask(condor_status, POOL, "-direct", "nowhere")
    assert (answer.stdout, answer.stderr, answer.code) == (
        "", "Error: Failed to locate startd nowhere\n", 1,
    )  # fmt: skip
    assert ask(condor_status, POOL, "-schedd", "-direct", "nowhere").stderr == (
        "Error: Failed to locate schedd nowhere\n"
    )
    assert out(condor_status, POOL, "-schedd", "-direct", "vobox1", "-af", "Name") == (
        "vobox1.example.org\n"
    )


def test_eight_thousand_slots_are_one_answer() -> None:
    slots = Slots()
    for number in range(8000):
        slots.record_waiting(
            Waiting(f"w{number}", f"slot1@n{number}", "p", NOW, 60.0, MACHINE), 0.0
        )
    queue = FakeQueue(machines=list(slot_ads(slots, [], "vobox1", 1.0, NOW)))

    names = out(condor_status, queue, "-af", "Machine").split()

    assert names == [f"n{number}" for number in range(8000)]


@pytest.mark.parametrize("form", ["-af", "-long"])
def test_a_long_answer_comes_in_pieces(form: str) -> None:
    names = ["Name"] * 1000
    many = FakeQueue(machines=[Ad({"Name": f'"slot1@node{number}"'}) for number in range(10_000)])
    answer = ask(condor_status, many, form, *(names[:-1] if form == "-af" else []))
    assert answer.more is not None
    assert len(answer.stdout) < 200_000
    rest = "".join(part.stdout for part in answer.more)
    assert (answer.stdout + rest).count("slot1@node9999") == (999 if form == "-af" else 1)
