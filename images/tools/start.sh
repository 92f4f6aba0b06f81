#!/bin/sh
# First step of a build stage: install pip and its tools outside of what becomes the image.
# start.sh PYTHON; EXTRA_CA: certificates (PEM) of CAs for the index.
set -eu
"$1" -m venv /tools/venv
if [ -n "${EXTRA_CA:-}" ]; then
    # pip reads only one file: its own CAs and these
    "$1" - > /tools/ca.pem <<'P'
import os, pathlib, ssl
known = [os.environ.get("SSL_CERT_FILE"), ssl.get_default_verify_paths().cafile]
known += ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"]
found = [pathlib.Path(one).read_text() for one in known if one and pathlib.Path(one).exists()]
print("\n".join([*found[:1], os.environ["EXTRA_CA"]]))
P
fi
sh /tools/pip.sh install -r /tools/requirements.txt
