"""Hand each condor command to the function that answers it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from vobox.classad.cost import EvaluationLimit
from vobox.commands import act, config_val, prio, qedit, reschedule, tail, transfer_data, vacate
from vobox.commands.peek import Peeker
from vobox.commands.submit.condor_submit import condor_submit
from vobox.commands.submit.options import reads_stdin
from vobox.files.as_user import OwnerFileReader, user_name
from vobox.ledger.writer import Ledger
from vobox.rpc.types import Answer, Request
from vobox.schedd.command_gateway import CommandGateway
from vobox.schedd.main_loop import Schedd

from .query_service import COMMANDS, NO_ROOT, QueryService

_EDITS: dict[str, Callable[[Request, CommandGateway], Answer]] = {
    "condor_qedit": qedit.answer,
    "condor_prio": prio.answer,
    "condor_vacate": vacate.answer,
}


def wants_stdin(command: str, argv: Sequence[str]) -> bool:
    """Return whether the command reads its standard input."""
    return command == "condor_submit" and reads_stdin(argv)


class Router:
    """The RPC server's handler."""

    def __init__(self, schedd: Schedd, ledger: Ledger, socket: Path) -> None:
        self._schedd = schedd
        self._ledger = ledger
        self._address = f"<{socket}>"
        self._queries = QueryService(
            ledger.path, schedd.settings.name, self._address, schedd.staleness,
            schedd.slot_ads, schedd.live_attributes, file_waits=schedd.file_waits,
            serves_root=schedd.settings.serves_root, report_failure=schedd.report_query_failure,
        )  # fmt: skip
        self._limit = EvaluationLimit()

    def __call__(self, request: Request) -> Answer:
        """Answer one request of a condor command."""
        request = replace(request, charge=self._limit.meter(request.uid))
        is_refused = request.uid == 0 and not self._schedd.settings.serves_root
        if is_refused and request.command in ("condor_submit", "condor_transfer_data"):
            return Answer(stderr=f"\nERROR: {NO_ROOT}\n", code=1)
        if request.command in COMMANDS:
            return self._queries.answer(request, time.time())
        gateway = CommandGateway(self._schedd, self._ledger, request, self._address)
        if request.command in act.OPTIONS:
            return act.answer(request, gateway)
        if request.command in _EDITS:
            return _EDITS[request.command](request, gateway)
        if request.command == "condor_tail":
            return self._tail(request)
        if request.command == "condor_config_val":
            return config_val.answer(request, self._schedd.settings, self._address)
        if request.command == "condor_transfer_data":
            return transfer_data.answer(request, gateway)
        if request.command == "condor_reschedule":
            return reschedule.answer(request, self._schedd.settings.name)
        if request.command == "condor_submit":
            # our own rights are all that a schedd without root has
            if os.geteuid() not in (0, request.uid):
                us = user_name(os.geteuid())
                return Answer(
                    stderr=f"\nERROR: this schedd runs as {us} and takes jobs of {us} only; "
                    "run it as root to serve other users\n",
                    code=1,
                )
            files = OwnerFileReader(request.uid, request.gid)
            return condor_submit(request, gateway, files, time.time())
        text = f"thyme-schedd: unknown command {request.command!r}; install the same release\n"
        return Answer(stderr=text, code=1)

    def _tail(self, request: Request) -> Answer:
        schedd = self._schedd
        peeker = Peeker(schedd, self._ledger, request.uid, request.user)
        return tail.answer(request.argv, schedd.settings.name, peeker.ask)
