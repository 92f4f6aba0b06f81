#!/usr/bin/env bash
# Run images/build.sh on the replacements of bases.sh, for CI and where no registry can be reached.
# `offline/build.sh --print` only prints the settings, for the build section of a compose file.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
authorities=$here/../../build/offline/authorities.pem
mkdir -p "$(dirname "$authorities")"
# where Debian keeps additional trusted CAs
find /usr/local/share/ca-certificates -name '*.crt' -exec cat {} + > "$authorities" 2> /dev/null || true
[ -s "$authorities" ] && : "${EXTRA_CA:=$authorities}"
export EXTRA_CA=${EXTRA_CA:-}
export PYTHON_BASE=plancton-offline/manylinux
export BASE_WORKER_CC7=plancton-offline/debian BASE_WORKER_EL9=plancton-offline/debian
export BASE_VOBOX=plancton-offline/debian
export BASE_PLANCTON=plancton-offline/python BASE_SCHEDD=plancton-offline/python
export BASE_INFLUXDB=plancton-offline/influxdb
export PARALLEL=${PARALLEL:-yes}
export BUILD_OPTIONS="--network=host ${BUILD_OPTIONS:-}"
if [ "${1:-}" = --print ]; then
    for name in EXTRA_CA PYTHON_BASE "${!BASE_@}" BUILD_OPTIONS; do
        printf '%s=%q\n' "$name" "${!name}"
    done
    exit
fi
"$here/bases.sh"
exec "$here/../build.sh" "$@"
