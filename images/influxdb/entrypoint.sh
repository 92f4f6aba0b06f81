#!/bin/sh
# Make the database and its users from the secrets, then run the server as `influxdb`.
#   plancton-influxdb           run
#   plancton-influxdb health    0 when it answers
# Secrets: files in /run/secrets, one password each. They are read at every start; users are changed
# only if a password has changed, by a server that only this script can reach.
set -eu
secrets=${INFLUXDB_SECRETS:-/run/secrets}
database=${INFLUXDB_DATABASE:-plancton}
retention=${INFLUXDB_RETENTION:-52w}
data=/var/lib/influxdb
private=127.0.0.1:8087
mark=$data/.users

if [ "${1:-}" = health ]; then
    # a client without a password may only check the server's health
    tls=
    [ "${INFLUXDB_HTTP_HTTPS_ENABLED:-false}" = false ] || tls="-ssl -unsafeSsl"
    # shellcheck disable=SC2086  # none, or two options
    answer=$(influx $tls -execute 'SHOW DATABASES' 2>&1) && exit 0
    case $answer in
    *"unable to parse authentication credentials"*) exit 0 ;;
    esac
    echo "$answer"
    exit 1
fi

secret() { # NAME
    file=$secrets/influxdb-$1-password
    if [ ! -s "$file" ]; then
        echo "plancton-influxdb: $file is missing or empty" >&2
        exit 1
    fi
    value=$(cat "$file")
    case $value in
    *[!A-Za-z0-9._~-]*)
        echo "plancton-influxdb: $file: use letters, digits and ._~- only" >&2
        exit 1
        ;;
    esac
    printf '%s' "$value"
}

statements() {
    cat <<Q
CREATE DATABASE "$database"
ALTER RETENTION POLICY "autogen" ON "$database" DURATION $retention
CREATE USER "admin" WITH PASSWORD '$admin' WITH ALL PRIVILEGES
SET PASSWORD FOR "admin" = '$admin'
CREATE USER "plancton" WITH PASSWORD '$plancton'
SET PASSWORD FOR "plancton" = '$plancton'
GRANT WRITE ON "$database" TO "plancton"
CREATE USER "schedd" WITH PASSWORD '$schedd'
SET PASSWORD FOR "schedd" = '$schedd'
GRANT WRITE ON "$database" TO "schedd"
CREATE USER "grafana" WITH PASSWORD '$grafana'
SET PASSWORD FOR "grafana" = '$grafana'
GRANT READ ON "$database" TO "grafana"
Q
}

ask() { # one statement from stdin: a password is on no command line
    influx -host "${private%:*}" -port "${private#*:}"
}

make_users() {
    INFLUXDB_HTTP_AUTH_ENABLED=false INFLUXDB_HTTP_HTTPS_ENABLED=false \
        INFLUXDB_HTTP_BIND_ADDRESS=$private \
        setpriv --reuid influxdb --regid influxdb --clear-groups influxd run &
    server=$!
    trap 'kill "$server" 2>/dev/null; exit 143' TERM INT
    until echo 'SHOW DATABASES' | ask > /dev/null 2>&1; do
        kill -0 "$server" || exit 1
        sleep 0.2
    done
    statements | while read -r line; do
        said=$(echo "$line" | ask 2>&1) && continue
        case $said in
        *"user already exists"*) ;; # with another password: the next line sets it
        *)
            echo "plancton-influxdb: ${line%%\'*}: $said" | head -n 1 >&2
            exit 1
            ;;
        esac
    done
    kill "$server"
    wait "$server" || true
    trap - TERM INT
}

# one query a line: of several in one line only the last failure would be reported
admin=$(secret admin)
plancton=$(secret plancton)
schedd=$(secret schedd)
grafana=$(secret grafana)
find "$data" ! -user influxdb -exec chown influxdb: {} +
now=$(statements | sha256sum)
if [ ! -e "$mark" ] || [ "$(cat "$mark")" != "$now" ]; then
    make_users
    (umask 077 && echo "$now" > "$mark")
fi
if [ -n "${INFLUXDB_HTTP_HTTPS_PRIVATE_KEY:-}" ]; then
    # secrets belong to root; the server runs as another user and gets its own copy
    install -d -o influxdb -m 0700 /run/influxdb
    install -o influxdb -m 0400 "$INFLUXDB_HTTP_HTTPS_PRIVATE_KEY" /run/influxdb/server.key
    export INFLUXDB_HTTP_HTTPS_PRIVATE_KEY=/run/influxdb/server.key
fi
unset admin plancton schedd grafana
exec setpriv --reuid influxdb --regid influxdb --clear-groups influxd run
