"""The command ``thyme-admin``."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from commandline.parser import add_version, describe_missing_library
from thyme.arguments import Parser, read_broker_url
from thyme.broker import Transport, connect
from thyme.broker.lanes import check_pool, get_pool, list_queues, read_bounds
from thyme.broker.users import DEFAULT_POOL
from thyme.errors import BadInvocation, ThymeError

from . import queues
from .errors import AdminExitCode, NotDone
from .output import Output
from .roles_files import write_roles

EPILOG = """\
The broker is named by --url, THYME_URL_FILE (a file that holds the URL) or THYME_URL, as for
thyme-worker. Every command but `roles` needs it; `status` works as any user, the others as vobox.

exit codes:
  0  done
  1  not done, or not all of it: the text says what
  4  broker unreachable, or it refused us
  5  `roles` cannot read or write a file
  6  bad invocation, or no usable URL of a broker
"""


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    made = Parser(
        prog="thyme-admin",
        description="Look after the broker: users, queues, dead letters.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_version(made)
    commands = made.add_subparsers(dest="command", metavar="COMMAND", required=True)

    def command(name: str, run: Callable[..., int], text: str) -> argparse.ArgumentParser:
        one = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        one.set_defaults(run=run)
        one.add_argument("--json", action="store_true", help="print one JSON document")
        if run is not _run_roles:
            one.add_argument("--url", help="the broker")
        return one

    def lanes(one: argparse.ArgumentParser) -> None:
        one.add_argument("--lanes", metavar="TIMES", help="of each pool, as 10m,1h (THYME_LANES)")

    def pools(one: argparse.ArgumentParser, what: str) -> None:
        lanes(one)
        one.add_argument(
            "--pool", action="append", metavar="POOL", help=f"{what} (THYME_QUEUE; {DEFAULT_POOL})"
        )

    one = command(
        "topology", _run_topology, "make what is missing on the broker, and check the rest"
    )
    pools(one, "a pool to make; may be given several times")
    one = command("status", _run_status, "show what waits in the queues, and who waits for it")
    pools(one, "a pool to show; may be given several times")
    command(
        "dead", _run_dead, "list the dead letters: messages that no worker could read or survive"
    )
    one = command("requeue-dead", _run_requeue_dead, "queue dead letters again")
    one.add_argument("ids", nargs="*", metavar="ID", help="as `thyme-admin dead` shows them")
    one.add_argument("--all", action="store_true", help="all of them")
    one = command(
        "purge", _run_purge, "put a pool's queued jobs aside (they are held), or drop the dead"
    )
    one.add_argument("what", metavar="POOL|dead", help="a pool's name, or a lane's, or `dead`")
    lanes(one)
    one.add_argument(
        "--yes", action="store_true", help="do it; without, only say what would happen"
    )
    one = command("roles", _run_roles, "write the broker's users, and a file with each one's URL")
    option = one.add_argument
    option("--dir", type=Path, required=True, help="directory of the files; made if missing")
    option("--pool", action="append", default=[], metavar="POOL",
           help=f"a pool; each further one has workers of its own ({DEFAULT_POOL})")  # fmt: skip
    option(
        "--host",
        type=_check_host,
        action="append",
        metavar="HOST[:PORT]",
        help="the broker, tried in turn",
    )
    option("--vhost", type=_check_vhost, help="virtual host (/)")
    option("--tls", action=argparse.BooleanOptionalAction, default=None, help="amqps://")
    option(
        "--ca",
        type=_check_path,
        metavar="FILE",
        help="the authority's certificate, where the users run",
    )
    lanes(one)
    option("--force", action="store_true", help="rewrite files that differ; passwords stay")
    return made


def _check_vhost(text: str) -> str:
    if not text or not text.isprintable():
        raise argparse.ArgumentTypeError("give a name of printable characters; the default is /")
    return text


def _check_host(text: str) -> str:
    if not text or any(each in "@/?#," or each.isspace() for each in text):
        # not repeated: there may be a password before the @
        raise argparse.ArgumentTypeError("give a name or an address, with :PORT if need be")
    return text


def _check_path(text: str) -> str:
    if text and not Path(text).is_absolute():
        # the users' programs work in other directories
        raise argparse.ArgumentTypeError(f"give an absolute path, not {text!r}")
    return text


def main(argv: Sequence[str] | None = None) -> int:
    """Carry out one command; returns the exit code."""
    try:
        options = make_parser().parse_args(argv)
        return int(options.run(options, Output(options.json)))
    except ModuleNotFoundError as error:
        print(f"thyme-admin: {describe_missing_library(error, 'worker')}", file=sys.stderr)
        return AdminExitCode.NOT_DONE
    except ThymeError as error:
        print(f"thyme-admin: {error}", file=sys.stderr)
        return int(getattr(error, "admin_exit", error.exit_code))
    except BrokenPipeError:
        # our reader has ended; nothing more may be written at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return AdminExitCode.NOT_DONE
    except KeyboardInterrupt:
        return 130


@contextlib.contextmanager
def _connect(options: argparse.Namespace, make: bool = False) -> Iterator[Transport]:
    transport = connect(read_broker_url(options.url, os.environ), make)
    try:
        yield transport
    finally:
        transport.close()


def _list_queues(options: argparse.Namespace) -> list[str]:
    """Return the names of all job queues of the pools that are meant."""
    lanes = read_bounds(options.lanes, os.environ)
    pools = options.pool or [os.environ.get("THYME_QUEUE") or DEFAULT_POOL]
    return [queue for pool in pools for queue in list_queues(check_pool(pool), lanes)]


def _run_topology(options: argparse.Namespace, output: Output) -> int:
    pools = _list_queues(options)
    with _connect(options, make=True) as transport:
        missing = queues.list_missing(transport, pools)
        transport.declare_topology(pools)
        output.print_queues(
            queues.summarize_queues(transport, pools), queues.describe_topology(missing)
        )
    return AdminExitCode.OK


def _run_status(options: argparse.Namespace, output: Output) -> int:
    with _connect(options) as transport:
        output.print_queues(queues.summarize_queues(transport, _list_queues(options)))
    return AdminExitCode.OK


def _run_dead(options: argparse.Namespace, output: Output) -> int:
    with _connect(options) as transport:
        output.print_letters(
            [queues.summarize_letter(letter) for letter in transport.list_dead_letters()]
        )
    return AdminExitCode.OK


def _run_requeue_dead(options: argparse.Namespace, output: Output) -> int:
    if bool(options.ids) == options.all:
        raise BadInvocation("requeue-dead: give the ids that `thyme-admin dead` shows, or --all")
    with _connect(options) as transport:
        missing = []
        if not options.all:
            known = {letter.id for letter in transport.list_dead_letters()}
            missing = [each for each in options.ids if each not in known]
        count = transport.requeue_dead_letters(None if options.all else options.ids)
    output.print_done("requeued", count, _tell(count, "dead letter", "queued again"))
    if missing:
        raise NotDone(f"no dead letter {', '.join(missing)}")
    return AdminExitCode.OK


def _run_purge(options: argparse.Namespace, output: Output) -> int:
    is_pool = get_pool(options.what) == options.what
    names = list_queues(options.what, read_bounds(options.lanes, os.environ) if is_pool else ())
    with _connect(options) as transport:
        if options.what == "dead":
            if not options.yes:
                raise NotDone(
                    queues.describe_dead_letter_purge(transport.get_dead_letter_state().ready)
                )
            count = transport.purge_dead_letters()
            output.print_done("purged", count, _tell(count, "dead letter", "gone"))
            return AdminExitCode.OK
        if not options.yes:
            count = sum(transport.get_queue_state(each).ready for each in names)
            raise NotDone(queues.describe_purge(options.what, count))
        count = sum(queues.put_pool_aside(transport, each) for each in names)
    text = f"{count} messages of {options.what} are dead letters; their jobs are held"
    if count == 1:
        text = f"1 message of {options.what} is a dead letter; its job is held"
    if not count:
        text = f"no message waits in {options.what}: nothing was done"
    output.print_done("put_aside", count, text)
    return AdminExitCode.OK


def _tell(count: int, what: str, now: str) -> str:
    return f"{queues.count_of(count, what)} {'is' if count == 1 else 'are'} {now}"


def _run_roles(options: argparse.Namespace, output: Output) -> int:
    given = {
        "hosts": tuple(options.host) if options.host else None,
        "vhost": options.vhost,
        "tls": options.tls,
        "ca": options.ca,
    }
    asked = {name: value for name, value in given.items() if value is not None}
    pools = [check_pool(pool) for pool in options.pool]
    output.print_files(
        write_roles(
            options.dir, asked, pools, options.force, read_bounds(options.lanes, os.environ)
        )
    )
    return AdminExitCode.OK


if __name__ == "__main__":
    sys.exit(main())
