"""The commands of one job, with their macros expanded."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping

from .budget import spend_nothing
from .description import Macros, Symbols
from .macros import Expander, find_references

#: Macros that differ from job to job; the queue statement's own variables do, too.
_JOB_MACROS = frozenset({"process", "procid", "jobid", "step", "row", "itemindex", "item"})
_WORD = re.compile(r"[A-Za-z_][\w.]*")
#: A name that is made of macros, or a random value: unknown beforehand.
_UNPREDICTABLE = re.compile(r"\$[A-Za-z_]*\([^()]*\$|\$RANDOM_", re.IGNORECASE)


class Commands:
    """The commands of one job at a time. An empty command counts as not given."""

    def __init__(
        self,
        symbols: Symbols,
        variables: Mapping[str, str],
        builtin: Mapping[str, str],
        env: Mapping[str, str],
        spend: Callable[[int], None] = spend_nothing,
    ) -> None:
        """Begin with the first job.

        :param symbols: the description's assignments
        :param variables: the job's own macros, by lower-case name
        :param builtin: the other macros, by lower-case name
        :param env: the submitter's environment
        :param spend: ``Budget.spend``
        """
        self._symbols = symbols
        self._macros = Macros(symbols, builtin, variables)
        self._expander = Expander(self._macros.find, env, spend=spend)
        self._shared: dict[str, str] = {}  #: values that are the same for all jobs
        self.used: set[str] = set()  #: keys that were asked for, lower case
        self.composed = self._expander.composed  #: as ``used``, by names that were made of macros
        #: keys whose value may be another for the next job
        self.varying = _find_varying(symbols, _JOB_MACROS.union(variables))

    def next_job(self, variables: Mapping[str, str], builtin: Mapping[str, str]) -> None:
        """Go on to the next job of the same queue statement."""
        self._macros.variables = variables
        self._macros.builtin = builtin

    def get(self, *names: str) -> str | None:
        """Return the value of the first of these commands that is there; raises SubmitError.

        An empty one hides the others: ``arguments =`` is no arguments, whatever ``args`` says.
        """
        for name in names:
            key = name.lower()
            self.used.add(key)
            if self._macros.find(key) is not None:
                return self._value(key) or None
        return None

    def list_custom(self) -> list[tuple[str, str]]:
        """Return ``+Attr`` and ``MY.Attr`` in the order given: attribute, expanded expression."""
        found = []
        for key, symbol in self._symbols.items():
            if key.startswith("my."):
                self.used.add(key)
                found.append((symbol.key[3:], self._expander.expand(symbol.value).strip()))
        return found

    def find_names(self, prefix: str) -> list[str]:
        """Return the keys (as typed) that begin with ``prefix``, in any case."""
        return [s.key for key, s in self._symbols.items() if key.startswith(prefix)]

    def _value(self, key: str) -> str:
        if key in self._shared:
            return self._shared[key]
        raw = self._macros.find(key)
        value = self._expander.expand(raw).strip() if raw else ""
        if key not in self.varying:
            self._shared[key] = value
        return value


def _find_varying(symbols: Symbols, names: Collection[str]) -> frozenset[str]:
    """Return the keys that mention one of ``names``, directly or not; rather too many."""
    found = set(names)
    users: defaultdict[str, list[str]] = defaultdict(list)  # of a word: the keys that mention it
    for key, symbol in symbols.items():
        if "$" not in symbol.value:
            continue
        if _UNPREDICTABLE.search(symbol.value):
            found.add(key)
        else:
            for word in {word.lower() for word in _WORD.findall(symbol.value)}:
                users[word].append(key)
    pending = list(found)
    for name in pending:
        more = set(users.pop(name, ())) - found
        found |= more
        pending += more
    return frozenset(found)


def find_unused(symbols: Symbols, variables: set[str], used: set[str]) -> list[tuple[str, str]]:
    """Return what nothing asked for or mentioned: as the warnings name it, and its name.

    ``variables``: the queue statement's own, as written; ``used``: keys in lower case.
    """
    seen = used.union(*(find_references(symbol.value) for symbol in symbols.values()))
    found = {
        key: f"the line '{symbol.key} = {symbol.value}'"
        for key, symbol in symbols.items()
        if key not in seen and "." not in key
    }
    for name in variables:
        key = name.lower()
        if key in found:  # as HTCondor, whose variables replace the assignments
            found[key] = f"the line '{symbols[key].key} = '"
        elif key not in seen:
            found[key] = f"the Queue variable '{name}'"
    return [(found[key], key) for key in sorted(found, reverse=True)]
