"""Compute the configuration's expressions and templates in jinja2's sandbox; never with ``eval``.

A configuration may come from a web server, so it must not be able to run
code: only arithmetic over a few numbers, and text with those numbers in it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from jinja2 import StrictUndefined, Undefined, nodes
from jinja2.filters import do_round
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

#: A larger exponent only makes a number no node has, and takes too long to compute.
MAX_EXPONENT = 64
MAX_OPERAND = 1e18
#: Characters of an expression or a template.
MAX_LENGTH = 4096
#: More digits than a float has, and a rounding to 10**9 digits would never end.
MAX_DIGITS = 30
#: Numbers, names, arithmetic, comparisons, the filters and the functions below. No attribute, item,
#: macro, loop or string operation: each can fill the memory or take very long.
_ALLOWED = (
    nodes.Template, nodes.Output, nodes.TemplateData, nodes.Name, nodes.Const, nodes.BinExpr,
    nodes.UnaryExpr, nodes.Compare, nodes.Operand, nodes.CondExpr, nodes.Filter, nodes.List,
    nodes.Tuple, nodes.Call,
)  # fmt: skip
#: Enough for numbers and names; the others can loop or pad without end.
_FILTERS = ("abs", "float", "int", "lower", "max", "min", "round", "upper")


class BadExpression(ValueError):
    """An expression cannot be parsed or computed; the message says why, in half a line."""


class _Sandbox(ImmutableSandboxedEnvironment):
    """A sandbox whose arithmetic is bounded."""

    intercepted_binops = frozenset(["**", "*", "%"])

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Compute one operation on numbers; raises BadExpression for the rest."""
        if isinstance(left, Undefined) or isinstance(right, Undefined):
            return super().call_binop(context, operator, left, right)  # raises, with the name
        # "x" * 10**9 and 9**9**9 are how arithmetic alone can hang or fill a daemon.
        if not all(isinstance(value, (int, float)) for value in (left, right)):
            raise BadExpression(f"{operator!r} is for numbers")
        if operator == "**" and abs(right) > MAX_EXPONENT:
            raise BadExpression(f"an exponent over {MAX_EXPONENT}")
        if max(abs(left), abs(right)) > MAX_OPERAND:
            raise BadExpression(f"{operator!r} with a number over {MAX_OPERAND:g}")
        return super().call_binop(context, operator, left, right)


_ENVIRONMENT = _Sandbox(undefined=StrictUndefined, autoescape=False, keep_trailing_newline=True)


def _round(value: Any, precision: int = 0, method: Any = "common") -> float:
    if abs(precision) > MAX_DIGITS:
        raise BadExpression(f"'round' to more than {MAX_DIGITS} digits")
    return do_round(value, precision, method)


#: What expressions of 2017 used, when they were Python: ``min(ncpus - 2, int(ram_bytes / 2e9))``.
_FUNCTIONS = {"abs": abs, "float": float, "int": int, "max": max, "min": min, "round": _round}

_ENVIRONMENT.globals.clear()
_ENVIRONMENT.globals.update(_FUNCTIONS)
_ENVIRONMENT.filters = {name: _ENVIRONMENT.filters[name] for name in _FILTERS} | {"round": _round}


def _check_length(text: str) -> None:
    if len(text) > MAX_LENGTH:
        raise BadExpression(f"{len(text)} characters; the limit is {MAX_LENGTH}")


def _check_nodes(template: str) -> None:
    """Raise BadExpression for what does more than a configuration needs."""
    for node in _ENVIRONMENT.parse(template).find_all(nodes.Node):
        if not isinstance(node, _ALLOWED) or not _is_plain_call(node):
            raise BadExpression(
                f"{type(node).__name__.lower()} is not allowed: only names, numbers, arithmetic, "
                f"comparisons, the filters {', '.join(_FILTERS)} and the functions "
                f"{', '.join(_FUNCTIONS)}"
            )


def _is_plain_call(node: nodes.Node) -> bool:
    """Tell whether a call is one of a function above, with plain arguments; true of the rest."""
    if not isinstance(node, nodes.Call):
        return True
    named = isinstance(node.node, nodes.Name) and node.node.name in _FUNCTIONS
    return named and not (node.kwargs or node.dyn_args or node.dyn_kwargs)


@lru_cache(maxsize=64)
def _compiled(expression: str) -> Any:
    _check_length(expression)
    compiled = _ENVIRONMENT.compile_expression(expression, undefined_to_none=False)
    _check_nodes("{{ " + expression + " }}")
    return compiled


@lru_cache(maxsize=64)
def _template(text: str) -> Any:
    _check_length(text)
    _check_nodes(text)
    return _ENVIRONMENT.from_string(text)


def compute(expression: str, names: Mapping[str, float]) -> int:
    """Return the value of ``expression`` as a whole number, cut towards zero; never below 0.

    Raises BadExpression.
    """
    try:
        value = _compiled(expression)(**names)
        if isinstance(value, Undefined):
            raise BadExpression(f"unknown name; known: {', '.join(sorted(names))}")
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise BadExpression(f"gives {value!r}, not a number")
        return max(0, int(value))
    except BadExpression:
        raise
    except Exception as error:  # jinja2 makes Python of it, which may fail in any way
        raise BadExpression(_one_line(error, names)) from error


def render(template: str, names: Mapping[str, str | float]) -> str:
    """Return ``template`` with its ``{{ name }}`` filled in.  Raises BadExpression."""
    if "{" not in template:
        return template
    try:
        return str(_template(template).render(**names))
    except BadExpression:
        raise
    except Exception as error:  # as above
        raise BadExpression(_one_line(error, names)) from error


def _one_line(error: Exception, names: Mapping[str, object]) -> str:
    if isinstance(error, NameError):  # how Python spells an infinite number that jinja2 computed
        return "gives a number that is not finite"
    text = " ".join(str(error).split()) or type(error).__name__
    text = re.sub(r"'?end of print statement'?", "'}}'", text)
    text = re.sub(r"'?end of template'?", "end of the expression", text)
    text = text.replace("chunk after expression", "there is more after the expression's end")
    if "is undefined" in text:
        text += f"; known: {', '.join(sorted(names))}"
    return text
