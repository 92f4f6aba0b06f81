#!/bin/sh
# Keep pilots ($PILOT_SUBNET) from the addresses where a cloud offers the credentials of its machines:
# link-local ones (169.254.169.254) and those of Alibaba, Azure and Oracle. Routing rules work with
# every kernel and firewall.
set -eu
: "${PILOT_SUBNET:?the pilots subnet is not set}"
PRIORITY=5169
FORBIDDEN="169.254.0.0/16 100.100.100.200 168.63.129.16 192.0.0.192"

there() {
    rules=$(ip -4 rule show pref "$PRIORITY")
    for address in $FORBIDDEN; do
        case "$rules" in
            *"from $PILOT_SUBNET to $address prohibit"*) ;;
            *) return 1 ;;
        esac
    done
}

if [ "${1:-}" = check ]; then
    there
    exit
fi
remove() {
    while ip -4 rule del pref "$PRIORITY" 2>/dev/null; do :; done
}
trap 'remove; exit 0' TERM INT
echo "pilot-guard: $PILOT_SUBNET reaches no link-local address and no cloud's metadata service"
while :; do
    if ! there; then
        remove
        for address in $FORBIDDEN; do
            ip -4 rule add pref "$PRIORITY" from "$PILOT_SUBNET" to "$address" prohibit
        done
    fi
    sleep 10 &
    wait $!
done
