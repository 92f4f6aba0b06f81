"""How each CE is started, checked and stopped, as shell lines.

Sources: AliEn's ``scripts/AlienServices.sh`` (StartMonitor, StartCE, StatusCE, StopCE: each goes
to the background); JAliEn's ``scripts/vobox/jalien-ce.sh`` on CVMFS, whose work is done here in
the foreground (``alienv printenv JAliEn``, then ``jalien alien.site.ComputingElement``, with the
bootstrap environment of ``~/.alien/config/CE.env``). JAliEn's own script is not the default: it
detaches the CE, finds it again by ``ps`` and kills it by ``pkill -f``.
"""

import os
from typing import Callable, NamedTuple

from .settings import Settings

ALIENV = "/cvmfs/alice.cern.ch/bin/alienv"
#: Runs in bash, as JAliEn's own scripts do. The package's environment must not push the condor
#: commands away from the front of PATH.
_JALIEN = (
    'if [ -f "$HOME/.alien/config/CE.env" ]; then . "$HOME/.alien/config/CE.env"; fi; '
    'environment=$({alienv} printenv JAliEn{version}) || exit 1; eval "$environment"; '
    'export PATH="$THYME_COMMANDS:$PATH"; exec jalien alien.site.ComputingElement'
)


class Recipe(NamedTuple):
    """The shell lines of one CE; without ``status``, ``start`` stays in the foreground."""

    start: str
    status: str = ""
    stop: str = ""
    #: it comes to an end by itself, and is then not started again
    ends: bool = False


def find_recipe(settings: Settings) -> Recipe:
    """Return the settings' own lines, else those of the CE; `none` has nothing to start."""
    if settings.command:
        return Recipe(settings.command)
    if settings.start:
        return Recipe(settings.start, settings.status, settings.stop)
    if settings.kind == "alien":
        alien = _alien_program(settings)
        # the cluster monitor first: job agents report to it, and the CE asks it
        return Recipe(
            f"{alien} StartMonitor && {alien} StartCE",
            f"{alien} StatusCE",
            f"{alien} StopCE; {alien} StopMonitor",
        )
    if settings.kind == "jalien":
        version = "/" + settings.jalien_version if settings.jalien_version else ""
        return Recipe(_JALIEN.format(alienv=ALIENV, version=version))
    if settings.kind == "demo":
        return Recipe(("exec plancton-demo-ce " + settings.demo_args).strip(), ends=True)
    return Recipe("")


def _alien_program(settings: Settings) -> str:
    return os.path.join(settings.alien_root, "bin", "alien") if settings.alien_root else "alien"


def find_lacking(
    settings: Settings, exists: Callable[[str], bool], which: Callable[[str], bool]
) -> str:
    """Find what the CE needs and is not installed, in one line; "" if nothing is missing.

    ``exists`` tells whether a path is there, ``which`` whether a program is on PATH.
    """
    if settings.command or settings.start or settings.kind == "none":
        return ""
    if settings.kind == "jalien" and not exists(ALIENV):
        return "%s is not there: mount /cvmfs into this container (%s)" % (
            ALIENV,
            "alice.cern.ch is not mounted" if exists("/cvmfs") else "there is no /cvmfs",
        )
    if settings.kind == "alien" and not which(_alien_program(settings)):
        if settings.alien_root:
            return "%s is not there: ALIEN_ROOT has to be AliEn's directory%s" % (
                _alien_program(settings),
                "" if exists("/cvmfs") else ", and there is no /cvmfs here",
            )
        return "there is no alien on PATH: set ALIEN_ROOT to AliEn's directory"
    if settings.kind == "demo" and not which("plancton-demo-ce"):
        return "there is no plancton-demo-ce on PATH: it comes with the VO box's package"
    return ""
