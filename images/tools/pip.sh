#!/bin/sh
# Run pip with this build's index and CAs. Empty variables are ignored.
set -eu
for name in PIP_INDEX_URL PIP_EXTRA_INDEX_URL PIP_TRUSTED_HOST; do
    eval "value=\${$name:-}"
    # shellcheck disable=SC2154  # set by the eval above
    [ -n "$value" ] || unset "$name"
done
if [ -f /tools/ca.pem ]; then
    export PIP_CERT=/tools/ca.pem
fi
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
exec /tools/venv/bin/python -m pip "$@"
