"""Convert events of HTCondor's user log from its text form to its XML form (``log_xml = true``).

The XML form is the event as a ClassAd. The events are made as text only (``user_log_events.py``),
and HTCondor's reader finds the same in both forms, which a test compares.
"""

from __future__ import annotations

from xml.sax.saxutils import escape

from vobox.classad.literals import escape_string
from vobox.client.log_attributes import read_event


def convert_to_xml(text: str) -> str:
    """Return one event, with its closing line, in XML; what is no event stays as it is."""
    attributes = read_event(text)
    if attributes is None:
        return text
    return _format(attributes, "") + "\n"


def _format(value: object, indent: str) -> str:
    if isinstance(value, dict):
        inner = indent + "    "
        lines = [f'{inner}<a n="{n}">{_format(each, inner)}</a>\n' for n, each in value.items()]
        return "<c>\n" + "".join(lines) + f"{indent}</c>"
    if isinstance(value, bool):
        return f'<b v="{"t" if value else "f"}"/>'
    if isinstance(value, int):
        return f"<i>{value}</i>"
    if isinstance(value, float):
        return f"<r>{value:.15E}</r>" if value else "<r>0.0</r>"
    return f"<s>{escape(escape_string(str(value)))}</s>"
