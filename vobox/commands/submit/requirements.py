"""Complete Requirements and Rank as HTCondor does."""

from __future__ import annotations

import re

from vobox.classad.ad import Ad, convert_old_syntax
from vobox.client.version import ARCH

from .expressions import canonicalize, find_constant_integer
from .job_commands import Commands
from .universe import Universe

_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
#: An attribute's name: no function's, and none that is looked up in something else.
_NAME = re.compile(r"(?<![\w.])(?:(?:my|target)\s*\.\s*)?([a-z_]\w*)(?!\w|\s*\()", re.IGNORECASE)
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
_PLATFORM = {"opsys", "opsysandver", "opsyslongname", "opsysname", "opsysshortname"}


def record_requirements(
    commands: Commands, ad: Ad, requested: dict[str, str], kind: Universe
) -> list[str]:
    """Record Requirements and Rank; return warnings. Raises SubmitError.

    :param requested: the resources requested, as ``record_requests`` returns them
    """
    rank = commands.get("rank", "preferences")
    ad["Rank"] = canonicalize("Rank", rank) if rank else "0.0"
    if kind.is_grid and not kind.to_condor:
        text = commands.get("requirements")
        ad["Requirements"] = canonicalize("Requirements", text) if text else "true"
        return []
    user = commands.get("requirements")
    code = _STRING.sub('""', convert_old_syntax(user or ""))
    mentioned = {name.lower() for name in _NAME.findall(code)}
    clauses = [f"({user})"] if user else []
    if "arch" not in mentioned:
        clauses.append(f'(TARGET.Arch == "{ARCH}")')
    if not _PLATFORM & mentioned:
        clauses.append('(TARGET.OpSys == "LINUX")')
    clauses += _build_resource_clauses(ad, requested, mentioned)
    if not kind.is_grid:
        clauses += _build_transfer_clause(ad, mentioned)
    ad["Requirements"] = canonicalize("Requirements", " && ".join(clauses))
    return [text for name, text in _OBSOLETE.items() if name in mentioned]


def _build_resource_clauses(ad: Ad, requested: dict[str, str], mentioned: set[str]) -> list[str]:
    clauses = []
    if "RequestDisk" not in ad:
        clauses.append("(TARGET.Disk >= DiskUsage)")
    elif find_constant_integer(ad["RequestDisk"]) != 0:
        clauses.append("(TARGET.Disk >= RequestDisk)")
    memory = ad.get("RequestMemory")
    if memory is not None and ((number := find_constant_integer(memory)) is None or number > 1):
        clauses.append("(TARGET.Memory >= RequestMemory)")
    for tag, attribute in requested.items():
        if attribute in ("RequestMemory", "RequestDisk") or attribute not in ad:
            continue
        if tag.lower() in mentioned:
            continue
        number = find_constant_integer(ad[attribute])
        if number is not None and number <= (1 if tag == "cpus" else 0):
            continue
        resource = {"cpus": "Cpus", "gpus": "GPUs"}.get(tag, tag)
        if ad[attribute].startswith('"') and tag not in ("cpus", "gpus"):
            clauses.append(f"regexp({attribute},TARGET.{resource})")
        elif attribute == "RequestGPUs" and "RequireGPUs" in ad:
            clauses.append("(countMatches(MY.RequireGPUs,TARGET.AvailableGPUs) >= RequestGPUs)")
        else:
            clauses.append(f"(TARGET.{resource} >= {attribute})")
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
