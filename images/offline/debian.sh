#!/usr/bin/env bash
# Makes build/offline/bookworm.tar, Debian's minimal system, unless it is there: what the stand-ins,
# the hosts of the Ansible tests and the bare machine begin with. One at a time. Needs root,
# debootstrap and a Debian mirror (DEBIAN_URL).
set -euo pipefail
cd "$(dirname "$0")/../.."
suite=bookworm
mirror=${DEBIAN_URL:-http://deb.debian.org/debian}
kept=build/offline/$suite.tar

mkdir -p build/offline
exec 9> build/offline/lock
flock 9
[ ! -f "$kept" ] || exit 0
work=$(mktemp -d build/offline/root.XXXXXX)
trap 'rm -rf "$work" "$kept.new"' EXIT
echo "debian.sh: debootstrap $suite from $mirror" >&2
debootstrap --variant=minbase "$suite" "$work" "$mirror" > build/offline/debootstrap.log 2>&1 9>&- \
    || { tail -n 5 build/offline/debootstrap.log >&2; exit 1; }
rm -rf "$work"/var/cache/apt/*.bin "$work"/var/cache/apt/archives/*.deb \
    "$work"/var/lib/apt/lists/* "$work"/var/log/* "$work"/usr/share/{doc,man,locale}/*
# as in Debian's own image: no translations, and no fsync after each file
echo 'Acquire::Languages "none";' > "$work/etc/apt/apt.conf.d/docker-no-languages"
echo force-unsafe-io > "$work/etc/dpkg/dpkg.cfg.d/docker-apt-speedup"
# a Docker engine mounts these itself
rm -rf "${work:?}/dev" && mkdir "$work/dev"
: > "$work/etc/machine-id"
chmod 755 "$work"
tar --numeric-owner -C "$work" -cf "$kept.new" .
mv "$kept.new" "$kept"
