"""Every parser that takes bytes of somebody else, as a function that may only do what it says.

A target is given any bytes. What it raises besides its own refusals is a fault, and so is what
takes long; ``run`` checks both.
"""

import io
import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from plancton.config.expressions import compute, render
from plancton.config.yaml_file import read_yaml
from plancton.errors import ConfigError
from tests.support.fake_submit_host import CWD, FakeCaller, FakeFiles, FakeSubmitHost
from thyme.broker.amqp import url
from thyme.errors import BadInvocation, BadMessage
from thyme.protocol import codec
from vobox.classad.ad import Ad, ParseError, convert_old_syntax, parse_old
from vobox.classad.expressions import Evaluator
from vobox.classad.literals import expression_text, literal_value
from vobox.client.user_log import LogEvent
from vobox.commands.query.ad_files import read_ads, read_history, read_user_log
from vobox.commands.query.printf import BadFormat, parse_format
from vobox.commands.submit.description import read_description
from vobox.commands.submit.environment import import_variables
from vobox.commands.submit.errors import SubmitError
from vobox.commands.submit.input_files import FileCache
from vobox.commands.submit.job_commands import Commands, find_unused
from vobox.commands.submit.options import ExtraLines
from vobox.commands.submit.queue import expand_queue
from vobox.commands.submit.sources import TextSources
from vobox.files import user_log_index
from vobox.jobs import policy
from vobox.jobs.output_destination import is_output, parse_output_remaps
from vobox.ledger.stored_ad import encode_ad

Target = Callable[[bytes], object]
#: CPU seconds that one input may take, however busy the machine is.
SLOW = 5.0


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _refusing(target: Target, *refusals: type[Exception]) -> Target:
    def run(data: bytes) -> object:
        try:
            return target(data)
        except refusals:
            return None

    return run


def _decode(data: bytes) -> object:
    message = codec.decode(data)
    assert codec.decode(codec.encode(message)) == message
    return message


def _decode_body(kind: str, data: bytes) -> object:
    return _decode(b'{"thyme":1,"kind":"%s",%s' % (kind.encode(), data))


def _submit(data: bytes) -> None:
    host = FakeSubmitHost({f"{CWD}/data": b"x", f"{CWD}/common": b"x = 2\n"})
    answer = host.submit(data.decode("utf-8", "surrogateescape"))
    assert answer.code in (0, 1)
    if answer.code:
        assert "ERROR: " in answer.stderr
        assert not host.target.submitted
    else:
        assert "job(s) submitted to cluster 7." in answer.stdout or "only empty" in answer.stderr


def _read_description(data: bytes) -> None:
    """Read a description, and expand each of its values for the first jobs; makes no job."""
    files = FakeFiles({f"{CWD}/data": b"x", f"{CWD}/common": b"x = 2\n"})
    sources = TextSources(files, FileCache(files), CWD, FakeCaller())
    text = data.decode("utf-8", "surrogateescape")
    description = read_description(text, "e.sub", ExtraLines(), {}, {}, sources)
    for step in description.queue_statements:
        slots = expand_queue(step, "e.sub", sources, lambda _warnings: None, 20_000)
        for slot in itertools.islice(slots, 3):
            commands = Commands(step.symbols, slot.variables, {"procid": "0"}, {"HOME": "/"})
            commands.list_custom()
            for name in step.symbols:
                commands.get(name)
            find_unused(step.symbols, set(slot.named), commands.used)


def _evaluate(data: bytes) -> None:
    """Print, evaluate and compare an attribute of a stored ad, and use it as each policy."""
    text = convert_old_syntax(_text(data))
    expression_text(text)
    literal_value(text)
    parse_old(text)
    ad = Ad({"A": text, "JobStatus": "2", "EnteredCurrentStatus": "1", "Owner": '"alice"'})
    encode_ad(ad)
    evaluator = Evaluator(1e9)
    evaluator.holds(ad, "A")
    for name in ("PeriodicHold", "PeriodicHoldReason", "PeriodicHoldSubCode", "PeriodicRemove"):
        ad[name] = text
    ad["PeriodicHold"] = "true"
    policy.check_periodic(ad, 2, 1e9, evaluator)


def _read_history(data: bytes) -> None:
    for ad in read_history(_text(data)):
        for name in list(ad):
            expression_text(ad[name])


def _print_ads(read: Callable[[str], Sequence[Ad]], data: bytes) -> None:
    for ad in read(_text(data)):
        for name in list(ad):
            expression_text(ad[name])


def _read_user_log(data: bytes) -> None:
    events: set[int] = set()
    user_log_index._add_events(io.BytesIO(data), events)
    for text in data.decode("utf-8", "surrogateescape").split("...\n"):
        try:
            LogEvent(text).format(iso=True, utc=True, fraction=True)
        except ValueError:
            pass


def _read_config(data: bytes) -> None:
    config, _lines = read_yaml(_text(data), "page")
    config.model_dump()


def _compute(data: bytes) -> None:
    compute(_text(data), {"cpus": 8.0, "memory": 1e10})


def _render(data: bytes) -> None:
    render(_text(data), {"pilot": "a", "cpus": 8.0})


def _remap(data: bytes) -> None:
    parse_output_remaps(_text(data))
    is_output(Ad({"TransferOutput": '"a,b/"'}), _text(data))


TARGETS: Mapping[str, Target] = {
    "message": _refusing(_decode, BadMessage),
    **{
        kind: _refusing(partial(_decode_body, kind), BadMessage)
        for kind in ("submit", "started", "finished", "evicted", "claim", "heartbeat", "peeked")
    },
    "submit description": _submit,
    "submit language": _refusing(_read_description, SubmitError),
    "classad": _refusing(_evaluate, ParseError),
    "history file": _refusing(_read_history, ParseError),
    "job ads": _refusing(partial(_print_ads, read_ads), ValueError, RecursionError),
    "jobs of a user log": _refusing(partial(_print_ads, read_user_log), ValueError),
    "user log": _read_user_log,
    "print format": _refusing(lambda data: parse_format(_text(data)), BadFormat),
    "environment": lambda data: import_variables(_text(data), {"A": "1", "B_C": "2"}),
    "output remaps": _remap,
    "configuration page": _refusing(_read_config, ConfigError),
    "computed key": _refusing(_compute, ConfigError, ValueError),
    "template": _refusing(_render, ConfigError, ValueError),
    "broker url": _refusing(lambda data: url.parse(_text(data)), BadInvocation),
}


def run(name: str, data: bytes) -> None:
    """Give a target some bytes; raises what it must not raise, or AssertionError if it is slow."""
    began = time.thread_time()
    TARGETS[name](data)
    took = time.thread_time() - began
    assert took < SLOW, f"{name}: {took:.1f} s for {data[:200]!r}"
