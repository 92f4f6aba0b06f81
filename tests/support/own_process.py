"""Runs tests that kill all their child processes in a process of their own."""

import os
import traceback

import pytest

from thyme import privileges
from thyme.worker import processes
from thyme.worker.users import JobUser

PASSED, FAILED, SKIPPED = range(3)


def guard_services() -> None:
    """Fail a test that would kill all children of *this* process, services included."""
    main, kill = os.getpid(), processes.kill_descendants

    def guarded(user: JobUser | None = None) -> bool:
        assert os.getpid() != main, "a test that runs jobs in its process is marked own_process"
        return kill(user)

    processes.kill_descendants = guarded


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a test marked ``own_process`` in a fork.

    The services that the session started are children of pytest itself.
    """
    if pyfuncitem.get_closest_marker("own_process") is None:
        return None
    names = pyfuncitem._fixtureinfo.argnames
    arguments = {name: pyfuncitem.funcargs[name] for name in names}
    told, tell = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(told)
        _be_the_test(pyfuncitem, arguments, tell)
    os.close(tell)
    with os.fdopen(told, "rb") as pipe:
        text = pipe.read().decode(errors="replace")
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if code == SKIPPED:
        pytest.skip(text)
    if code != PASSED:
        pytest.fail(text or f"the test's process ended with {code}", pytrace=False)
    return True


def _be_the_test(item: pytest.Function, arguments: dict[str, object], tell: int) -> None:
    code, text = PASSED, ""
    try:
        privileges.become_subreaper()
        item.obj(**arguments)
    except pytest.skip.Exception as skipped:
        code, text = SKIPPED, str(skipped)
    except BaseException:
        code, text = FAILED, traceback.format_exc()
    finally:
        try:
            processes.kill_descendants()
        finally:
            os.write(tell, text.encode(errors="replace")[-60_000:])
            os._exit(code)
