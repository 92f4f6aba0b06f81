#!/bin/sh
# What RabbitMQ's own image does before the server: its files belong to `rabbitmq`, and so does it.
set -eu
if [ "$1" = rabbitmq-server ] && [ "$(id -u)" = 0 ]; then
    find /var/lib/rabbitmq ! -user rabbitmq -exec chown rabbitmq {} +
    # Debian's script becomes the virtual machine itself only when it believes to be a unit
    export RUNNING_UNDER_SYSTEMD=true RABBITMQ_LOGS=-
    exec setpriv --reuid rabbitmq --regid rabbitmq --init-groups "$@"
fi
exec "$@"
