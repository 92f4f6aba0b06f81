#!/bin/sh
# Keep pilots ($PILOT_SUBNET) from link-local addresses: at 169.254.169.254 a cloud offers the
# credentials of its machines. A routing rule works with every kernel and firewall.
set -eu
: "${PILOT_SUBNET:?the pilots subnet is not set}"
PRIORITY=5169

there() {
    ip -4 rule show pref "$PRIORITY" | grep -q "from $PILOT_SUBNET to 169.254.0.0/16 prohibit"
}

if [ "${1:-}" = check ]; then
    there
    exit
fi
remove() {
    while ip -4 rule del pref "$PRIORITY" 2>/dev/null; do :; done
}
trap 'remove; exit 0' TERM INT
echo "pilot-guard: $PILOT_SUBNET reaches no link-local address"
while :; do
    if ! there; then
        remove
        ip -4 rule add pref "$PRIORITY" from "$PILOT_SUBNET" to 169.254.0.0/16 prohibit
    fi
    sleep 10 &
    wait $!
done
