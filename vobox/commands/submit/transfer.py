"""The commands about file transfer, checked as HTCondor checks them."""

from __future__ import annotations

from dataclasses import dataclass

from vobox.classad.ad import Ad, quote
from vobox.jobs.output_destination import parse_output_remaps

from .errors import SubmitError, submit_error
from .expressions import evaluate_boolean
from .input_files import URL
from .job_commands import Commands

# HTCondor wraps these at 80 columns and prints them so.
_BAD_SHOULD = (
    "\nERROR: invalid value ({0}) for ShouldTransferFiles. Please either specify \n"
    "YES, NO, or IF_NEEDED and try again. \n"
)
_BAD_WHEN = (
    "\nERROR: invalid value ({0}) for WhenToTransferOutput. Please either specify \n"
    "ON_EXIT, or ON_EXIT_OR_EVICT and try again. \n"
)
_WHEN_BUT_NO = (
    "\nERROR: WhenToTransferOutput specified as {0} yet ShouldTransferFiles \n"
    "defined as NO. Please remove this contradiction from your submit file and try \n"
    "again. \n"
)
_EVICT_IF_NEEDED = (
    '\nERROR: "when_to_transfer_output = ON_EXIT_OR_EVICT" and \n'
    '"should_transfer_files = IF_NEEDED" are incompatible. The behavior of these \n'
    "two settings together would produce incorrect file access in some cases. \n"
    "Please decide which one of those two settings you're more interested in. If \n"
    'you really want "IF_NEEDED", set "when_to_transfer_output = ON_EXIT". If you \n'
    'really want "ON_EXIT_OR_EVICT", please set "should_transfer_files = YES". \n'
    "After you have corrected this incompatibility, please try running \n"
    "condor_submit again.\n \n"
)
_FILES_BUT_NO = (
    "\nERROR: you specified files you want Condor to transfer via \n"
    "{0}, but you disabled should_transfer_files. \n"
)
_BOTH_BUT_NO = (
    "\nERROR: you specified files you want Condor to transfer via \n"
    '"transfer_input_files" and "transfer_output_files", but you disabled \n'
    "should_transfer_files. \n"
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
    output = commands.get("transfer_output_files", "TransferOutputFiles")
    if should == "NO" and (inputs or output is not None):
        if inputs and output is not None:
            raise SubmitError(_BOTH_BUT_NO)
        name = '"transfer_input_files"' if inputs else '"transfer_output_files"'
        raise SubmitError(_FILES_BUT_NO.format(name))
    ad["ShouldTransferFiles"] = quote(should)
    if should != "NO":
        ad["WhenToTransferOutput"] = quote(when)
    if should != "YES":
        ad["FileSystemDomain"] = quote(domain)
    if inputs:
        ad["TransferInput"] = quote(",".join(inputs))
    if output is not None:
        ad["TransferOutput"] = quote(_normalize_output_list(output))
    if remaps := commands.get("transfer_output_remaps", "TransferOutputRemaps"):
        ad["TransferOutputRemaps"] = quote(remaps.strip('"'))
    keep = commands.get("preserve_relative_paths")
    keep_paths = evaluate_boolean("preserve_relative_paths", keep) if keep else False
    if keep:
        ad["PreserveRelativePaths"] = str(keep_paths).lower()
    return TransferSettings(should != "NO", inputs, keep_paths)


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


def _parse_modes(commands: Commands) -> tuple[str, str]:
    should_given = commands.get("should_transfer_files", "ShouldTransferFiles")
    when_given = commands.get("when_to_transfer_output", "WhenToTransferOutput")
    should = (should_given or "IF_NEEDED").upper().replace("AUTO", "IF_NEEDED")
    if should in ("TRUE", "ALWAYS"):
        should = "YES"
    elif should in ("FALSE", "NEVER"):
        should = "NO"
    if should not in ("YES", "NO", "IF_NEEDED"):
        raise SubmitError(_BAD_SHOULD.format(should_given))
    when = (when_given or "ON_EXIT").upper()
    if when not in _WHEN:
        raise SubmitError(_BAD_WHEN.format(when_given))
    if should == "NO" and when_given is not None:
        raise SubmitError(_WHEN_BUT_NO.format(when_given))
    if when == "ON_EXIT_OR_EVICT":
        if should_given is None:
            should = "YES"
        elif should == "IF_NEEDED":
            raise SubmitError(_EVICT_IF_NEEDED)
    return should, when if when in ("ON_EXIT_OR_EVICT", "ON_SUCCESS") else "ON_EXIT"


def _split_names(text: str | None) -> tuple[str, ...]:
    if text is None:
        return ()
    if len(text) > 1 and text[0] == text[-1] == '"' and '"' not in text[1:-1]:
        text = text[1:-1]
    return tuple(name for part in text.split(",") if (name := part.strip()))


def _normalize_output_list(text: str) -> str:
    return ",".join(_split_names(text))
