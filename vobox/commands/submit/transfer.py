"""The commands about file transfer, checked as HTCondor checks them."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass

from vobox.classad.ad import Ad, quote
from vobox.jobs.output_destination import parse_output_remaps

from .errors import SubmitError, submit_error
from .expressions import evaluate_boolean
from .input_files import URL
from .job_commands import Commands
from .quoting import strip_quotes

_BAD_SHOULD = (
    "invalid value ({0}) for ShouldTransferFiles. Please either specify YES, NO, or IF_NEEDED and "
    "try again."
)
_BAD_WHEN = (
    "invalid value ({0}) for WhenToTransferOutput. Please either specify ON_EXIT, or "
    "ON_EXIT_OR_EVICT and try again."
)
_WHEN_BUT_NO = (
    "WhenToTransferOutput specified as {0} yet ShouldTransferFiles defined as {1}. Please remove "
    "this contradiction from your submit file and try again."
)
_EVICT_IF_NEEDED = (
    '"when_to_transfer_output = ON_EXIT_OR_EVICT" and "should_transfer_files = IF_NEEDED" are '
    "incompatible. The behavior of these two settings together would produce incorrect file "
    "access in some cases. Please decide which one of those two settings you're more interested "
    'in. If you really want "IF_NEEDED", set "when_to_transfer_output = ON_EXIT". If you really '
    'want "ON_EXIT_OR_EVICT", please set "should_transfer_files = YES". After you have corrected '
    "this incompatibility, please try running condor_submit again.\n"
)
_FILES_BUT_NO = (
    "you specified files you want Condor to transfer via {0}, but you disabled "
    "should_transfer_files."
)
_WHEN = ("ON_EXIT", "ON_EXIT_OR_EVICT", "ON_SUCCESS", "NEVER", "ALWAYS")


@dataclass(frozen=True)
class TransferSettings:
    """Whether and what files travel."""

    sandbox: bool  #: False: the job runs in its Iwd
    inputs: tuple[str, ...] = ()  #: as typed
    keep_paths: bool = False  #: preserve_relative_paths


def record_transfer(commands: Commands, ad: Ad, domain: str, grid: bool) -> TransferSettings:
    """Record the commands; raises SubmitError. ``domain``: this host's FileSystemDomain.

    ``commands``: of the submit description; ``ad``: of the job, which is changed; ``grid``: whether
    it is of the grid universe.
    """
    should, when = _parse_modes(commands)
    inputs = _split_names(
        commands.get("transfer_input_files", "TransferInputFiles", "TransferInput")
    )
    common = _split_names(commands.get("transfer_common_input", "CommonInputFiles"))
    output = commands.get("transfer_output_files", "TransferOutputFiles")
    if should == "NO" and (inputs or output is not None):
        names = ['"transfer_input_files"'] * bool(inputs)
        names += ['"transfer_output_files"'] * (output is not None)
        raise _wrapped_error(_FILES_BUT_NO.format(" and ".join(names)))
    ad["ShouldTransferFiles"] = quote(should)
    if should != "NO":
        ad["WhenToTransferOutput"] = quote(when)
    if should != "YES":
        ad["FileSystemDomain"] = quote(domain)
    if inputs:
        ad["TransferInput"] = quote(",".join(inputs))
    if common:
        ad["CommonInputFiles"] = quote(",".join(common))
    if output is not None:
        ad["TransferOutput"] = quote(_normalize_output_list(output))
    remaps = commands.get("transfer_output_remaps", "TransferOutputRemaps")
    if remaps and (remaps := strip_quotes(remaps)):
        ad["TransferOutputRemaps"] = quote(remaps)
    keep = commands.get("preserve_relative_paths", "PreserveRelativePaths")
    keep_paths = evaluate_boolean("preserve_relative_paths", keep) if keep else False
    if keep:
        ad["PreserveRelativePaths"] = str(keep_paths).lower()
    return TransferSettings(should != "NO", inputs + common, keep_paths)


def read_output_names(ad: Ad) -> tuple[str, ...] | None:
    """Return the names in TransferOutput: None for all, () for none."""
    if "TransferOutput" not in ad:
        return None
    names = (name.strip().strip('"') for name in ad.text("TransferOutput").split(","))
    return tuple(name for name in names if name)


def check_remaps(ad: Ad) -> None:
    """Raise SubmitError for an output that would have to be stored by URL."""
    for target in parse_output_remaps(ad.text("TransferOutputRemaps")).values():
        if URL.match(target):
            raise submit_error(
                f"transfer_output_remaps: {target}: output is stored by URL nowhere here; "
                "store it from within the job"
            )


def _wrapped_error(text: str) -> SubmitError:
    """Return an error of lines of at most 78 characters, each with a blank at its end.

    HTCondor counts the line break before it as the first one.
    """
    lines = textwrap.wrap(f"_ERROR: {text}", 77, break_on_hyphens=False, break_long_words=False)
    end = "\n \n" if text.endswith("\n") else " \n"
    return SubmitError("\n" + " \n".join(lines)[1:] + end)


def _parse_modes(commands: Commands) -> tuple[str, str]:
    # as in HTCondor, here the attribute's name counts before the command's
    should_given = commands.get("ShouldTransferFiles", "should_transfer_files")
    when_given = commands.get("WhenToTransferOutput", "when_to_transfer_output")
    should = (should_given or "IF_NEEDED").upper().replace("AUTO", "IF_NEEDED")
    if should in ("TRUE", "ALWAYS"):
        should = "YES"
    elif should in ("FALSE", "NEVER"):
        should = "NO"
    if should not in ("YES", "NO", "IF_NEEDED"):
        raise _wrapped_error(_BAD_SHOULD.format(should_given))
    when = (when_given or "ON_EXIT").upper()
    if when not in _WHEN:
        raise _wrapped_error(_BAD_WHEN.format(when_given))
    if should == "NO" and when_given is not None:
        raise _wrapped_error(_WHEN_BUT_NO.format(when_given, should_given))
    if when == "ON_EXIT_OR_EVICT":
        if should_given is None:
            should = "YES"
        elif should == "IF_NEEDED":
            raise _wrapped_error(_EVICT_IF_NEEDED)
    return should, when if when in ("ON_EXIT_OR_EVICT", "ON_SUCCESS") else "ON_EXIT"


def _split_names(text: str | None) -> tuple[str, ...]:
    if text is None:
        return ()
    if len(text) > 1 and text[0] == text[-1] == '"' and '"' not in text[1:-1]:
        text = text[1:-1]
    return tuple(name for part in text.split(",") if (name := part.strip()))


def _normalize_output_list(text: str) -> str:
    return ",".join(_split_names(text))
