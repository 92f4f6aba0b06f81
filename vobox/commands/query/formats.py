"""Render whole ads as ``-long``, ``-json``, ``-jsonl`` and ``-xml``."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any

from vobox.classad.ad import Ad, ParseError, literal
from vobox.classad.literals import (
    ERROR,
    NOT_LITERAL,
    UNDEFINED,
    escape_string,
    expression_text,
    literal_value,
    real_text,
)

#: Characters that no XML document can hold, not even escaped.
_NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff]")
_ABSOLUTE_TIME = re.compile(r'absTime\("([^"\\]*)"\)\Z')
#: Writes JSON on one line; ``json.dumps`` would make an encoder for each value.
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ": ")).encode
XML_HEAD = '<?xml version="1.0"?>\n<!DOCTYPE classads SYSTEM "classads.dtd">\n<classads>\n'
XML_TAIL = "</classads>\n"


class Projection:
    """The attributes to print: all with ``extra``, or those named that the job has."""

    def __init__(self, names: Sequence[str] | None, extra: Ad, as_named: bool = False) -> None:
        """``as_named``: print the names as they are spelled here, not as the ad writes them."""
        #: by the name in lower case, how it is printed if not as the ad writes it
        self._names = None if names is None else {name.lower(): as_named and name for name in names}
        self._extra = extra

    def select(self, ad: Ad) -> list[tuple[str, str]]:
        """Return (name, expression text) pairs, sorted by name."""
        # Where a job has an attribute of its own, the extra one is not printed.
        items = {**self._extra.by_lower_name(), **ad.by_lower_name()}
        names = self._names
        if names is None:
            return [items[low] for low in sorted(items)]
        lows = sorted(items.keys() & names.keys())
        return [(names[low] or items[low][0], items[low][1]) for low in lows]


def render_long(ads: Iterable[Ad], projection: Projection) -> Iterator[str]:
    """Yield ``Attr = value`` lines, with an empty line after each ad."""
    for ad in ads:
        yield "".join(map(_format_long, projection.select(ad))) + "\n"


def render_json(ads: Iterable[Ad], projection: Projection, empty: str) -> Iterator[str]:
    """Yield a list of objects; ``empty`` if there is no ad at all.

    ``projection``: the attributes that are printed.
    """
    opening = "[\n"
    for ad in ads:
        members = ",\n".join(map(_format_json, projection.select(ad)))
        yield opening + "{\n" + members + ("\n}\n" if members else "}\n")
        opening = ",\n"
    yield empty if opening == "[\n" else "]\n"


def render_json_lines(ads: Iterable[Ad], projection: Projection) -> Iterator[str]:
    """Yield one JSON object on a line for each ad."""
    for ad in ads:
        yield "{" + ",".join(map(_format_compact_json, projection.select(ad))) + "}\n"


def render_xml(ads: Iterable[Ad], projection: Projection, gap: str, edge_gap: str) -> Iterator[str]:
    """Yield HTCondor's XML document.

    ``gap``: what follows each ad; ``edge_gap``: what follows the head and the tail.
    """
    yield XML_HEAD + edge_gap
    for ad in ads:
        yield "<c>\n" + "".join(map(_format_xml, projection.select(ad))) + "</c>\n" + gap
    yield XML_TAIL + edge_gap


# Jobs have most attributes in common: each of these is made once for many of them. A user's texts
# may be long, so few are kept.


@lru_cache(maxsize=512)
def _format_long(attribute: tuple[str, str]) -> str:
    name, text = attribute
    return f"{name} = {expression_text(text)}\n"


@lru_cache(maxsize=512)
def _format_json(attribute: tuple[str, str]) -> str:
    name, text = attribute
    return f"  {_encode(name)}: {format_json_value(text)}"


@lru_cache(maxsize=512)
def _format_compact_json(attribute: tuple[str, str]) -> str:
    name, text = attribute
    value = json.loads(format_json_value(text))
    return f"{_encode(name)}: {_encode(value)}"


@lru_cache(maxsize=512)
def _format_xml(attribute: tuple[str, str]) -> str:
    name, text = attribute
    return f'    <a n="{_escape_xml(name)}">{format_xml_value(text)}</a>\n'


def format_json_value(text: str) -> str:
    r"""Return an expression in JSON, as the ClassAd library writes it: ``"\/Expr(...)\/"``."""
    value = literal_value(text)
    if isinstance(value, str):
        return _encode(value)
    if value is UNDEFINED:
        return "null"
    if value is not NOT_LITERAL and value is not ERROR:
        return real_text(value) if isinstance(value, float) else _encode(value)
    try:
        # {⏎  "X": value⏎}
        return str(Ad({"X": text}).classad().printJson()).strip()[1:-1].partition(":")[2].strip()
    except (ParseError, ValueError):
        return _encode(f"/Expr({text})/").replace("/", "\\/")


def format_xml_value(text: str) -> str:
    """Return an expression as an element of HTCondor's XML."""
    value = literal_value(text)
    if isinstance(value, str):
        return f"<s>{_escape_xml(escape_string(value))}</s>"
    if value is UNDEFINED:
        return "<un/>"
    if value is ERROR:
        return "<er/>"
    if isinstance(value, bool):
        return f'<b v="{"t" if value else "f"}"/>'
    if isinstance(value, int):
        return f"<i>{value}</i>"
    if isinstance(value, float):
        return f"<r>{value:.15E}</r>" if value else "<r>0.0</r>"
    if text.startswith(("{", "[")):
        return _format_xml_json(json.loads(format_json_value(text)), 4)
    written = expression_text(text)
    if moment := _ABSOLUTE_TIME.match(written):
        return f"<at>{moment[1]}</at>"
    return f"<e>{_escape_xml(written)}</e>"


def _format_xml_json(value: Any, indent: int) -> str:
    """Return a list or record as XML, from the library's JSON of it; ``indent``: blanks."""
    if isinstance(value, list):
        return f"<l>{''.join(_format_xml_json(each, indent) for each in value)}</l>"
    if isinstance(value, dict):
        members = (
            f'{" " * (indent + 4)}<a n="{_escape_xml(name)}">'
            f"{_format_xml_json(each, indent + 4)}</a>\n"
            for name, each in value.items()
        )
        return f"<c>\n{''.join(members)}{' ' * indent}</c>"
    if isinstance(value, str) and value.startswith("/Expr(") and value.endswith(")/"):
        return f"<e>{_escape_xml(value[len('/Expr(') : -len(')/')])}</e>"
    return format_xml_value("undefined" if value is None else literal(value))


def _escape_xml(text: str) -> str:
    text = _NOT_XML.sub("", text)
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
