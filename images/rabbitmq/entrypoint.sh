#!/bin/sh
# The definitions (and the TLS key) are mounted at /run/thyme, readable only by their owner; the broker
# runs as another user and gets its own copies.
set -eu
from=${THYME_SECRETS:-/run/thyme}
to=${THYME_BROKER_FILES:-/etc/rabbitmq/thyme}
conf=${THYME_BROKER_CONF:-/etc/rabbitmq/conf.d}
shelf=${THYME_BROKER_SHELF:-/usr/share/thyme}
user=${THYME_BROKER_USER:-rabbitmq}

if [ ! -r "$from/definitions.json" ]; then
    echo "entrypoint: $from/definitions.json is not there: write it with thyme-admin roles" >&2
    exit 1
fi
install -d -o "$user" -m 0700 "$to"
install -o "$user" -m 0400 "$from/definitions.json" "$to/definitions.json"
install -m 0644 "$shelf/20-thyme.conf" "$conf/20-thyme.conf"
if [ -r "$from/server.key" ]; then
    install -o "$user" -m 0400 "$from/ca.pem" "$from/server.pem" "$from/server.key" "$to/"
    install -m 0644 "$shelf/30-tls.conf" "$conf/30-tls.conf"
else
    rm -f "$conf/30-tls.conf"
fi
exec "$@"
