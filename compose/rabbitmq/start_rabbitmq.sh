#!/bin/sh
# Starts RabbitMQ's own image, unchanged, with thyme's users and queues: it runs this file instead of its
# entry point. The definitions (and for TLS ca.pem, server.pem and server.key) are mounted at /run/thyme,
# readable by root alone; the broker runs as another user and gets its own copies.
set -eu
from=/run/thyme
to=/etc/rabbitmq/thyme
conf=/etc/rabbitmq/conf.d
here=$(dirname "$0")

if [ ! -r "$from/definitions.json" ]; then
    echo "start_rabbitmq: $from/definitions.json is not there: write it with thyme-admin roles" >&2
    exit 1
fi
install -d -o rabbitmq -m 0700 "$to"
install -o rabbitmq -m 0400 "$from/definitions.json" "$to/definitions.json"
install -m 0644 "$here/20-thyme.conf" "$conf/20-thyme.conf"
if [ -r "$from/server.key" ]; then
    install -o rabbitmq -m 0400 "$from/ca.pem" "$from/server.pem" "$from/server.key" "$to/"
    install -m 0644 "$here/30-tls.conf" "$conf/30-tls.conf"
else
    rm -f "$conf/30-tls.conf"
fi
# Only the broker: the image enables a page of metrics (or of management), which pilots could read.
rm -f /etc/rabbitmq/enabled_plugins
echo '[].' > /etc/rabbitmq/enabled_plugins
exec docker-entrypoint.sh rabbitmq-server
