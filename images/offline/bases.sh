#!/usr/bin/env bash
# Make the replacements plancton-offline/{debian,python,manylinux,rabbitmq,influxdb} in the Docker
# engine of DOCKER_HOST. Needs root, debootstrap and a Debian mirror (DEBIAN_URL); the file system
# is made once and kept in build/offline/.
set -euo pipefail
cd "$(dirname "$0")/../.."
docker=${DOCKER:-docker}

images/offline/debian.sh
if ! $docker image inspect plancton-offline/debian > /dev/null 2>&1; then
    $docker import --change 'CMD ["bash"]' build/offline/bookworm.tar plancton-offline/debian:latest > /dev/null
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
