"""Complete Requirements and Rank as HTCondor does."""

from __future__ import annotations

import re

from vobox.classad.ad import Ad, convert_old_syntax
from vobox.classad.expressions import is_number
from vobox.classad.literals import literal_value
from vobox.client.version import ARCH

from .expressions import canonicalize, find_constant
from .job_commands import Commands
from .universe import Universe

_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
#: An attribute's name: no function's, and none that is looked up in something else.
_NAME = re.compile(r"(?<![\w.])(?:(?:my|target)\s*\.\s*)?([a-z_]\w*)(?!\w|\s*\()", re.IGNORECASE)
#: Attributes that request a resource: of two characters at the least.
_REQUEST = re.compile(r"request[^_]\w", re.IGNORECASE)
_HINT = (
    "This is obsolete. Set request_{0} and condor_submit will modify the Requirements expression "
    "as needed.\n"
)
#: Attributes that requirements should not name, in lower case, and what HTCondor says of them.
_OBSOLETE = {
    "disk": "WARNING: Your Requirements expression refers to TARGET.Disk. " + _HINT.format("disk"),
    "memory": "WARNING: your Requirements expression refers to TARGET.Memory. "
    + _HINT.format("memory"),
}
_OVERRIDDEN = (
    "WARNING: Use of MY.Requirements or +Requirements  overrides requirements. "
    "You should remove one of these statements from your submit file.\n"
)
_PLATFORM = {"opsys", "opsysandver", "opsyslongname", "opsysname", "opsysshortname"}


def record_requirements(commands: Commands, ad: Ad, kind: Universe) -> list[str]:
    """Record Requirements and Rank; return warnings. Raises SubmitError.

    ``ad``: of the job, with what it requests.
    """
    rank = commands.get("rank", "preferences")
    ad["Rank"] = canonicalize("Rank", rank) if rank else "0.0"
    user = commands.get("requirements")
    if any(value and name.lower() == "requirements" for name, value in commands.list_custom()):
        return [_OVERRIDDEN] if user else []
    if kind.is_grid and not kind.to_condor:
        ad["Requirements"] = canonicalize("Requirements", user) if user else "true"
        return []
    code = _STRING.sub('""', convert_old_syntax(user or ""))
    mentioned = {name.lower() for name in _NAME.findall(code)}
    clauses = [f"({user})"] if user else []
    if "arch" not in mentioned:
        clauses.append(f'(TARGET.Arch == "{ARCH}")')
    if not _PLATFORM & mentioned:
        clauses.append('(TARGET.OpSys == "LINUX")')
    requests = _list_requests(commands, ad)
    clauses += _build_disk_and_memory_clauses(requests)
    if not kind.is_grid and "cpus" not in mentioned:
        clauses += _build_cpus_clause(requests)
    clauses += _build_custom_clauses(requests, mentioned, "RequireGPUs" in ad)
    if not kind.is_grid:
        clauses += _build_transfer_clause(ad, mentioned)
    ad["Requirements"] = canonicalize("Requirements", " && ".join(clauses))
    return [text for name, text in _OBSOLETE.items() if name in mentioned]


def _list_requests(commands: Commands, ad: Ad) -> Ad:
    """Return what the job requests: by commands, and by ``+Request…``, which win over them."""
    requests = Ad({name: ad[name] for name in ad if _REQUEST.match(name)})
    for name, expression in commands.list_custom():
        if _REQUEST.match(name):
            requests[name] = canonicalize(name, expression) if expression else "undefined"
    return requests


def _build_disk_and_memory_clauses(requests: Ad) -> list[str]:
    clauses = []
    if "RequestDisk" not in requests:
        clauses.append("(TARGET.Disk >= DiskUsage)")
    elif _find_literal(requests["RequestDisk"]) != 0:
        clauses.append("(TARGET.Disk >= RequestDisk)")
    memory = requests.get("RequestMemory")
    if memory is not None and ((number := _find_literal(memory)) is None or number > 1):
        clauses.append("(TARGET.Memory >= RequestMemory)")
    return clauses


def _build_cpus_clause(requests: Ad) -> list[str]:
    cpus = requests.get("RequestCpus")
    if cpus is None or ((number := _find_literal(cpus)) is not None and number <= 1):
        return []
    return ["(TARGET.Cpus >= RequestCpus)"]


def _find_literal(expression: str) -> float | None:
    """Return the number that is written there; None for any other expression, also of numbers."""
    value: float = literal_value(expression.strip("()"))
    return value if is_number(value) else None


def _build_custom_clauses(requests: Ad, mentioned: set[str], requires_gpus: bool) -> list[str]:
    """Build those of GPUs and of resources that only the site knows, by their names."""
    clauses = []
    for attribute in sorted(requests, key=str.lower):
        tag = attribute[len("Request") :]
        if tag.lower() in mentioned or tag.lower() in ("cpus", "disk", "memory"):
            continue
        value = find_constant(requests[attribute])
        if isinstance(value, str):
            clauses += [f"regexp({attribute},TARGET.{tag})"] * bool(value)
        elif attribute == "RequestGPUs" and requires_gpus and value != 0:
            clauses.append("(countMatches(MY.RequireGPUs,TARGET.AvailableGPUs) >= RequestGPUs)")
        elif value is None or (isinstance(value, (int, float)) and value > 0 and value is not True):
            clauses.append(f"(TARGET.{tag} >= {attribute})")
    return clauses


def _build_transfer_clause(ad: Ad, mentioned: set[str]) -> list[str]:
    should = ad.text("ShouldTransferFiles")
    same = "(TARGET.FileSystemDomain == MY.FileSystemDomain)"
    if should == "NO":
        return [] if "filesystemdomain" in mentioned else [same]
    if "hasfiletransfer" in mentioned:
        return []
    if should == "YES" or "filesystemdomain" in mentioned:
        return ["(TARGET.HasFileTransfer)"]
    return [f"({same} || (TARGET.HasFileTransfer))"]
