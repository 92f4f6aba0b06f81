#!/bin/sh
# Keep pilots ($PILOT_SUBNET) from the addresses where a cloud offers the credentials of its machines:
# link-local ones (169.254.169.254) and those of Alibaba, Azure and Oracle. Routing rules work with
# every kernel and firewall. Port 53 stays open: on Azure, Google's cloud and others the name server
# has the same address.
set -eu
: "${PILOT_SUBNET:?the pilots subnet is not set}"
FORBIDDEN="169.254.0.0/16 100.100.100.200 168.63.129.16 192.0.0.192"
# Priorities: names pass to LAST, which stands behind what is forbidden and changes nothing.
DNS=5168
GUARD=5169
LAST=5170
# Protocols by number: the image has no /etc/protocols.
UDP=17
TCP=6

list() {
    ip -4 rule show pref "$1"
}
there() {
    names=$(ip -4 -N rule show pref "$DNS")
    rules=$(list "$GUARD")
    for protocol in "$UDP" "$TCP"; do
        case "$names" in
            *"from $PILOT_SUBNET ipproto "*"$protocol dport 53 goto $LAST"*) ;;
            *) return 1 ;;
        esac
    done
    for address in $FORBIDDEN; do
        case "$rules" in
            *"from $PILOT_SUBNET to $address prohibit"*) ;;
            *) return 1 ;;
        esac
    done
    [ -n "$(list "$LAST")" ]
}

if [ "${1:-}" = check ]; then
    there
    exit
fi
remove() {
    for priority in "$DNS" "$GUARD" "$LAST"; do
        while ip -4 rule del pref "$priority" 2>/dev/null; do :; done
    done
}
trap 'remove; exit 0' TERM INT
echo "pilot-guard: $PILOT_SUBNET reaches no link-local address and no cloud's metadata service"
while :; do
    if ! there; then
        remove
        # what is forbidden first: at no time is anything but names let through
        for address in $FORBIDDEN; do
            ip -4 rule add pref "$GUARD" from "$PILOT_SUBNET" to "$address" prohibit
        done
        ip -4 rule add pref "$LAST" nop
        for protocol in "$UDP" "$TCP"; do
            ip -4 rule add pref "$DNS" from "$PILOT_SUBNET" ipproto "$protocol" dport 53 goto "$LAST"
        done
    fi
    sleep 10 &
    wait $!
done
