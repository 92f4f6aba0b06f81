#!/bin/sh
# What RabbitMQ's own image does before the server: give its files to `rabbitmq` and run as that user.
set -eu
case "$1" in
rabbitmq*)
    if [ "$(id -u)" = 0 ]; then
        [ "$1" != rabbitmq-server ] || find /var/lib/rabbitmq ! -user rabbitmq -exec chown rabbitmq {} +
        # Debian's script uses exec for the server only if it seems to be run by systemd
        export RUNNING_UNDER_SYSTEMD=true RABBITMQ_LOGS=-
        exec setpriv --reuid rabbitmq --regid rabbitmq --init-groups "$@"
    fi
    ;;
esac
exec "$@"
