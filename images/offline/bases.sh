#!/usr/bin/env bash
# Makes the stand-ins plancton-offline/{debian,python,manylinux,rabbitmq,influxdb} in the Docker
# engine of DOCKER_HOST. Needs root, debootstrap and a Debian mirror (DEBIAN_URL); the file system
# is made once and kept in build/offline/.
set -euo pipefail
cd "$(dirname "$0")/../.."
suite=bookworm
mirror=${DEBIAN_URL:-http://deb.debian.org/debian}
kept=build/offline/$suite.tar
docker=${DOCKER:-docker}

if [ ! -f "$kept" ]; then
    mkdir -p build/offline
    work=$(mktemp -d build/offline/root.XXXXXX)
    trap 'rm -rf "$work" "$kept.new"' EXIT
    echo "bases.sh: debootstrap $suite from $mirror" >&2
    debootstrap --variant=minbase "$suite" "$work" "$mirror" > build/offline/debootstrap.log 2>&1 \
        || { tail -n 5 build/offline/debootstrap.log >&2; exit 1; }
    rm -rf "$work"/var/cache/apt/*.bin "$work"/var/cache/apt/archives/*.deb \
        "$work"/var/lib/apt/lists/* "$work"/var/log/* "$work"/usr/share/{doc,man,locale}/*
    # as Debian's own image: no translations, and no waiting for the disk after each file
    echo 'Acquire::Languages "none";' > "$work/etc/apt/apt.conf.d/docker-no-languages"
    echo force-unsafe-io > "$work/etc/dpkg/dpkg.cfg.d/docker-apt-speedup"
    # a Docker engine mounts these itself
    rm -rf "${work:?}/dev" && mkdir "$work/dev"
    : > "$work/etc/machine-id"
    tar --numeric-owner -C "$work" -cf "$kept.new" .
    mv "$kept.new" "$kept"
fi
if ! $docker image inspect plancton-offline/debian > /dev/null 2>&1; then
    $docker import --change 'CMD ["bash"]' "$kept" plancton-offline/debian:latest > /dev/null
fi
base() { # NAME DOCKERFILE
    $docker build -q --network=host --target "$1" -t "plancton-offline/$1" \
        -f "images/offline/$2.Dockerfile" images/offline > /dev/null
}
(base python python && base manylinux python) & jobs=($!)
base rabbitmq rabbitmq & jobs+=($!)
base influxdb influxdb & jobs+=($!)
for job in "${jobs[@]}"; do
    wait "$job"
done
