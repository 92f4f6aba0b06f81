"""Parse what the engine reports of containers: states, labels, names, times, reasons."""

import pytest

from plancton.engine.docker import listing
from plancton.engine.docker.listing import ContainerPhase, StopRequest
from tests.support.container_listing import NAME, list_container


@pytest.mark.parametrize(
    ("state", "phase"),
    [
        ("created", ContainerPhase.MADE),
        ("configured", ContainerPhase.MADE),
        ("running", ContainerPhase.ALIVE),
        ("restarting", ContainerPhase.ALIVE),
        ("stopping", ContainerPhase.ALIVE),
        ("something-new", ContainerPhase.ALIVE),
        ("paused", ContainerPhase.PAUSED),
        ("exited", ContainerPhase.OVER),
        ("dead", ContainerPhase.OVER),
        ("removing", ContainerPhase.OVER),
    ],
)
def test_every_state_of_docker_and_podman_has_a_meaning(state: str, phase: ContainerPhase) -> None:
    (row,) = listing.parse_list([list_container(state)])
    assert (row.phase, row.name, row.id) == (phase, NAME, "c1")


def test_a_container_without_our_labels_is_no_pilot() -> None:
    others = [
        {"Id": "x", "Names": [f"/{NAME}"], "State": "running", "Labels": {}},
        {"Id": "y", "Names": ["/b"], "State": "running", "Labels": None},
        {"Id": "z", "Names": ["/c"], "State": "running", "Labels": {"plancton.node": "n"}},
    ]
    assert listing.parse_list(others) == []


def test_a_container_of_plancton_0_6_is_known_by_its_name_and_host_name() -> None:
    labelled = list_container("running")
    listed = [
        {"Id": "x", "Names": ["/plancton-worker-q1W2e3"], "State": "running", "Labels": None},
        {"Id": "y", "Names": ["/plancton-worker-1"], "State": "running", "Labels": {}},
        {"Id": "z", "Names": ["/plancton-worker-run-q1W2e3"], "State": "running", "Labels": {}},
        {"Id": "v", "Names": ["/my-plancton-worker-q1W2e3"], "State": "running", "Labels": {}},
        # asked to end by a new Plancton
        {"Id": "w", "Names": ["/plancton-worker-abcdef.asked.7.30"], "State": "running"},
        labelled,
    ]

    rows = listing.parse_old_list(listed)

    assert [(row.id, row.name) for row in rows] == [
        ("x", "plancton-worker-q1W2e3"), ("w", "plancton-worker-abcdef"),
    ]  # fmt: skip
    assert rows[1].asked == StopRequest(at=7, grace=30.0)
    for host, is_old in (
        ("plancton-farm7-q1W2e3", True), ("plancton-farm7-000000", False), ("q1W2e3", False),
    ):  # fmt: skip
        inspected = {"Config": {"Hostname": host}}
        assert listing.has_host_name("plancton-worker-q1W2e3", inspected) == is_old


def test_the_digest_of_the_label_comes_before_the_id_of_the_image() -> None:
    (row,) = listing.parse_list(
        [list_container("running", **{"plancton.image.digest": "sha256:d"})]
    )
    assert row.image == "sha256:d"
    (row,) = listing.parse_list([list_container("running")])
    assert row.image == "sha256:i"


@pytest.mark.parametrize(
    ("container", "is_named"),
    [(NAME, True), (f"{NAME}.asked.1000.30", True), ("bob", False), (f"{NAME}.debug", False)],
)
def test_a_container_has_its_pilots_name_or_another(container: str, is_named: bool) -> None:
    (row,) = listing.parse_list([list_container("running", (f"/{container}",))])
    assert (row.name, row.is_named) == (NAME, is_named)


def test_that_a_pilot_was_asked_is_read_from_its_containers_name() -> None:
    renamed = listing.encode_stop_request(NAME, StopRequest(at=1000, grace=30.0))
    (row,) = listing.parse_list([list_container("running", (f"/{renamed}",))])
    assert row.name == NAME
    assert row.asked == StopRequest(1000, 30.0)


@pytest.mark.parametrize(
    ("wall", "left"), [(1000.0, 30.0), (1010.0, 20.0), (1100.0, 0.0), (5.0, 30.0), (9e9, 0.0)]
)
def test_the_time_left_stays_within_the_grace_whatever_the_clock_did(
    wall: float, left: float
) -> None:
    assert StopRequest(1000, 30.0).left(wall) == left


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2026-11-22T15:32:42.267260003Z", 1795361562.26726),
        ("2026-11-22T15:32:42Z", 1795361562.0),
        ("2026-11-22T16:32:42.5+01:00", 1795361562.5),
        ("0001-01-01T00:00:00Z", None),
        ("", None),
        ("yesterday", None),
    ],
)
def test_moments_of_the_api(text: str, seconds: float | None) -> None:
    assert listing.parse_time(text) == (seconds and pytest.approx(seconds))


def test_what_an_inspection_tells() -> None:
    state = {"Status": "exited", "Pid": 0, "ExitCode": 137, "OOMKilled": True}
    times = {"StartedAt": "2026-11-22T15:32:42Z", "FinishedAt": "2026-11-22T15:32:44Z"}
    told = listing.parse_inspection({"State": {**state, **times}})
    assert (told.exit_code, told.pid) == (137, None)
    assert told.started is not None and told.finished is not None
    assert told.finished - told.started == 2.0
    assert told.detail.startswith("killed for lack of memory")
    never = listing.parse_inspection({"State": {"Status": "created", "ExitCode": 0}})
    assert never.exit_code is None, "what never ran has no exit code, and 0 would say success"


_APPARMOR = "AppArmor enabled on system but the docker-default profile could not be loaded:"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            'OCI runtime create failed: runc: exec: "/x/y": stat /x/y: no such file or directory',
            (127, "cannot run '/x/y': No such file or directory"),
        ),
        (
            'runc: exec: "y": executable file not found in $PATH: unknown',
            (127, "cannot run 'y': No such file or directory"),
        ),
        ('exec: "/etc": permission denied', (126, "cannot run '/etc': Permission denied")),
        (
            "invalid mount config for type \"bind\": bind source path does not exist: /x",
            (None, 'not started: invalid mount config for type "bind": '
                   "bind source path does not exist: /x"),
        ),
        (
            f"{_APPARMOR} running `apparmor_parser --version` failed with output: \n"
            'error: exec: "apparmor_parser": executable file not found in $PATH',
            (None, "not started: AppArmor is on in this kernel, and the engine has no "
                   "apparmor_parser to load its profile with; install the package apparmor and "
                   "restart the engine"),
        ),
        (
            f"{_APPARMOR} running `apparmor_parser -Kr /x` failed with output: syntax\nerror",
            (None, f"not started: {_APPARMOR} running `apparmor_parser -Kr /x` failed with output: "
                   "syntax error"),
        ),
    ],
)  # fmt: skip
def test_why_a_container_did_not_start(text: str, expected: tuple[int | None, str]) -> None:
    assert listing.explain_failed_start(text) == expected


def test_a_failed_start_that_is_being_cleared_away_is_a_pilot_that_never_ran() -> None:
    [row] = listing.parse_list([list_container("removing")])
    state = {"Status": "removing", "StartedAt": "0001-01-01T00:00:00Z", "ExitCode": 127}
    reason = 'exec: "/x": stat /x: no such file or directory: unknown'
    failed = listing.parse_inspection({"State": {**state, "Error": reason}})
    pilot = listing.make_ended_pilot(row, failed, asked=False, lived=None)
    assert (pilot.exit_code, pilot.never_ran) == (127, True)
    assert pilot.detail == "cannot run '/x': No such file or directory"
    # made, never started, and removed by somebody: it tells nothing of the node
    gone = listing.make_ended_pilot(
        row, listing.parse_inspection({"State": state}), asked=False, lived=None
    )
    assert (gone.exit_code, gone.never_ran) == (None, False)
