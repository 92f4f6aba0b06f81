"""The agent: a bash script that does real work, checks it and reports what it did.

Like AliEn's own start script it contains a proxy in a here-document, for batch systems that
transfer none. It needs bash, coreutils and gzip.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from shlex import quote

from .errors import UsageError

#: Bytes of one block of work: random, in base64, so that it can be compressed.
BLOCK = 1 << 18
#: The agent's exit code if its check of its own work failed.
WORK_FAILED = 90

_BEHAVIOUR = re.compile(r"(seconds|exit|signal):(\d+)\Z", re.ASCII)


@dataclass(frozen=True)
class Behaviour:
    """What one agent does: work for ``seconds``, then exit or be killed by a signal."""

    seconds: int = 3
    code: int = 0
    signal: int = 0

    def expected_end(self) -> str:
        """Describe the end, as the summaries print it."""
        return f"signal {self.signal}" if self.signal else f"exit {self.code}"


def parse_behaviour(text: str, default: Behaviour) -> Behaviour:
    """Read ``exit:7``, ``signal:11`` or ``seconds:5``, or several of them with commas.

    Raises UsageError with the part that is wrong.
    """
    values = {"seconds": default.seconds, "exit": default.code, "signal": default.signal}
    for part in text.split(","):
        match = _BEHAVIOUR.match(part.strip())
        if match is None:
            raise UsageError(
                f"{part!r}: an agent's behaviour is exit:CODE, signal:NUMBER or seconds:N"
            )
        values[match[1]] = int(match[2])
    if values["exit"] > 255:
        raise UsageError(f"exit:{values['exit']}: an exit code is at most 255")
    if values["signal"] > 31:
        raise UsageError(f"signal:{values['signal']}: a signal's number is at most 31")
    return Behaviour(values["seconds"], values["exit"], values["signal"])


def build_script(
    number: int, token: str, behaviour: Behaviour, proxy: str, ledger: str = ""
) -> str:
    """Build the text of ``agent.startup.<number>``.

    ``token`` identifies this agent; ``proxy`` is the credential in PEM;
    ``ledger`` (absolute path, "" for none) is a file to which every run of
    the agent appends a line when it starts and when its work is done.
    """
    ending = f"kill -{behaviour.signal} $$" if behaviour.signal else f"exit {behaviour.code}"
    return (
        "#!/bin/bash\n"
        f"# Agent {number} of Plancton's demo CE. It compresses random bytes, unpacks them again\n"
        "# and compares, then reports. The credential in it is a demo that nobody trusts.\n"
        f"number={number}\n"
        f"token={quote(token)}\n"
        f"seconds={behaviour.seconds}\n"
        f"ledger={quote(ledger)}\n"
        + _BODY.replace("@PROXY@", proxy.rstrip("\n"))
        # Remove the scratch directory first: a signal leaves no time for it.
        + f'rm -rf "$work"\n{ending}\n'
    )


_BODY = f"""\
ulimit -c 0

note() {{
  [ -z "$ledger" ] || printf '%s %s %s\\n' "$1" "$token" "$$" >>"$ledger"
}}
give_up() {{
  echo "agent $number: $1" >&2
  note "failed"
  exit {WORK_FAILED}
}}

note "start"
echo "agent $number: token $token"
echo "agent $number: id ${{ALIEN_JOBAGENT_ID:-none}}, job ${{CONDOR_ID:-not told}}"
echo "agent $number: host $(uname -n), user $(id -u)"
echo "agent $number: error stream of $token" >&2

work=$(mktemp -d "${{_CONDOR_SCRATCH_DIR:-${{TMPDIR:-/tmp}}}}/agent.XXXXXX") \\
  || give_up "no scratch directory"
trap 'rm -rf "$work"' EXIT

travelled=no
if [ -n "$X509_USER_PROXY" ]; then
  travelled="$(stat -c %a "$X509_USER_PROXY")" || give_up "no proxy at $X509_USER_PROXY"
fi
file="$work/proxy"
(umask 077 && cat >"$file") <<'EOF'
@PROXY@
EOF
chmod 0600 "$file"
if [ "$travelled" != no ] && ! cmp -s "$file" "$X509_USER_PROXY"; then
  give_up "the proxy that came with the job is another one"
fi
export X509_USER_PROXY="$file"
echo "agent $number: proxy embedded $(stat -c %a "$file"), with the job $travelled"

blocks=0
until [ "$blocks" -gt 0 ] && [ "$SECONDS" -ge "$seconds" ]; do
  head -c {BLOCK} /dev/urandom | base64 >"$work/plain" || give_up "no random bytes"
  sum=$(sha256sum <"$work/plain")
  gzip -c "$work/plain" >"$work/packed" || give_up "gzip failed"
  [ "$(gzip -dc "$work/packed" | sha256sum)" = "$sum" ] || give_up "unpacked bytes differ"
  blocks=$((blocks + 1))
done
echo "agent $number: compressed and verified $blocks blocks of {BLOCK} bytes, last ${{sum%% *}}"

note "done"
echo "agent $number: done $token"
"""
