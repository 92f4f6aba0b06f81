"""What one job reads of its description: the commands, expanded."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from .description import Symbols
from .macros import Expander, references

Get = Callable[..., "str | None"]


class Commands:
    """The commands of one job. A command that is empty counts as not given."""

    def __init__(
        self,
        symbols: Symbols,
        variables: Mapping[str, str],
        builtin: Mapping[str, str],
        env: Mapping[str, str],
    ) -> None:
        """``variables``: the job's own macros, ``builtin``: the others; by lower-case name."""
        self._symbols = symbols
        self._variables = variables
        self._builtin = builtin
        self._expander = Expander(self._lookup, env)
        self.used: set[str] = set()  #: keys that were asked for, lower case

    def get(self, *names: str) -> str | None:
        """The value of the first of these commands that has one; raises Refusal."""
        for name in names:
            key = name.lower()
            self.used.add(key)
            raw = self._lookup(key)
            if raw:
                value = self._expander.expand(raw).strip()
                if value:
                    return value
        return None

    def custom(self) -> list[tuple[str, str]]:
        """``+Attr`` and ``MY.Attr`` in the order given: attribute, expanded expression."""
        found = []
        for key, symbol in self._symbols.items():
            if key.startswith("my."):
                self.used.add(key)
                found.append((symbol.key[3:], self._expander.expand(symbol.value).strip()))
        return found

    def names(self, prefix: str) -> list[str]:
        """Keys (as typed) that begin with ``prefix``, in any case."""
        return [s.key for key, s in self._symbols.items() if key.startswith(prefix)]

    def _lookup(self, name: str) -> str | None:
        key = name.lower()
        if key in self._variables:
            return self._variables[key]
        if key in self._symbols:
            return self._symbols[key].value
        return self._builtin.get(key)


def unused(symbols: Symbols, variables: set[str], used: set[str]) -> list[str]:
    """What nothing asked for or mentioned, as the warnings name it.

    ``variables``: the queue statement's own; ``used``: keys in lower case.
    """
    seen = used.union(*(references(symbol.value) for symbol in symbols.values()))
    lines = [
        f"the line '{symbol.key} = {symbol.value}'"
        for key, symbol in symbols.items()
        if key not in seen and not key.startswith("my.")
    ]
    return lines + [f"the Queue variable '{name}'" for name in sorted(variables - seen)]
