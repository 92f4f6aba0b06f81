#!/usr/bin/env bash
# Makes build/vm: a tar with Debian, systemd, Docker, Podman and crun, its kernel, and a key for root.
# Made again when this file changes. One at a time. Needs root, debootstrap, a Debian mirror.
set -euo pipefail
cd "$(dirname "$0")/../.."
kept=build/vm
mark=$(sha256sum tests/vm/build_system.sh | cut -c1-12)

mkdir -p "$kept"
exec 9> "$kept/lock"
flock 9
[ "$(cat "$kept/made" 2>/dev/null)" != "$mark" ] || exit 0
rm -rf "$kept"/{made,root.tar,key,key.pub,vmlinuz}
images/offline/debian.sh 9>&-
root=$(mktemp -d "$kept/root.XXXXXX")
trap 'rm -rf "$root"' EXIT
tar --numeric-owner -C "$root" -xf build/offline/bookworm.tar
echo "build_system.sh: a Debian with systemd, Docker and Podman (a minute or two)" >&2

ssh-keygen -q -t ed25519 -N '' -C plancton-test-vm -f "$kept/key"
cp /etc/resolv.conf "$root/etc/resolv.conf"
printf '#!/bin/sh\nexit 101\n' > "$root/usr/sbin/policy-rc.d"
chmod 755 "$root/usr/sbin/policy-rc.d"
# in a mount namespace of its own: nothing stays mounted, whatever happens
# shellcheck disable=SC2016 # the inner shells expand what is in single quotes
unshare --mount sh -ec 'mount --rbind /dev "$1/dev"; mount -t proc proc "$1/proc"
    exec chroot "$1" sh -ec "$2"' - "$root" '
    export DEBIAN_FRONTEND=noninteractive INITRD=No PATH=/usr/sbin:/usr/bin:/sbin:/bin
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends \
        systemd systemd-sysv dbus udev kmod procps iproute2 openssh-server logrotate \
        linux-image-cloud-amd64 \
        docker.io apparmor iptables podman crun containernetworking-plugins python3-venv
    rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /var/cache/apt/archives/*.deb
' > "$kept/apt.log" 2>&1 9>&- || { tail -n 5 "$kept/apt.log" >&2; exit 1; }
rm "$root/usr/sbin/policy-rc.d" "$root/etc/resolv.conf"

mkdir -p "$root/root/.ssh"
chmod 700 "$root/root/.ssh"
cp "$kept/key.pub" "$root/root/.ssh/authorized_keys"
echo node > "$root/etc/hostname"
echo '127.0.0.1 localhost node' > "$root/etc/hosts"
echo '/dev/nvme0n1 / ext4 errors=remount-ro 0 1' > "$root/etc/fstab"
printf '[Match]\nName=e*\n[Network]\nDHCP=yes\n' > "$root/etc/systemd/network/any.network"
ln -s /lib/systemd/system/systemd-networkd.service \
    "$root/etc/systemd/system/multi-user.target.wants/"
# the same at each start: a first one, which makes it, goes through all units
tr -d - < /proc/sys/kernel/random/uuid > "$root/etc/machine-id"
for unit in apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer e2scrub_reap.service fstrim.timer \
    man-db.timer getty@.service podman.socket podman.service podman-auto-update.timer; do
    ln -sf /dev/null "$root/etc/systemd/system/$unit"
done

cp "$root"/boot/vmlinuz-* "$kept/vmlinuz"
tar --numeric-owner -C "$root" -cf "$kept/root.tar" .
echo "$mark" > "$kept/made"
