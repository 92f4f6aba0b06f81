#!/usr/bin/env bash
# Build all images, or those that are named, in the Docker engine of DOCKER_HOST.
#
#   images/build.sh [NAME...]
#
# PLANCTON_IMAGE_PREFIX (plancton), PLANCTON_TAG (the version): their names and tags.
# BASE_WORKER_CC7, BASE_WORKER_EL9, BASE_VOBOX, BASE_PLANCTON, BASE_SCHEDD, BASE_INFLUXDB,
# PYTHON_BASE: other base images than those in the Dockerfiles.
# PIP_INDEX_URL, PIP_EXTRA_INDEX_URL, PIP_TRUSTED_HOST: the package index.
# VAULT_URL, EPEL_URL, WLCG_URL, DEBIAN_URL: mirrors. http_proxy, https_proxy, no_proxy: proxies.
# EXTRA_CA: a PEM file with CAs for the package index.
# PARALLEL=yes: build images without common stages in parallel; their output is printed at their end.
# BUILD_OPTIONS: options for docker build, for example --network=host. DOCKER: docker, or podman.
set -euo pipefail
cd "$(dirname "$0")/.."
docker=${DOCKER:-docker}
version=$(sed -n 's/^__version__ = "\(.*\)"/\1/p' plancton/__init__.py)
revision=$(git rev-parse HEAD 2> /dev/null || echo unknown)
prefix=${PLANCTON_IMAGE_PREFIX:-plancton}
tag=${PLANCTON_TAG:-$version}

arguments=()
for name in PYTHON_BASE PIP_INDEX_URL PIP_EXTRA_INDEX_URL PIP_TRUSTED_HOST VAULT_URL EPEL_URL \
    WLCG_URL DEBIAN_URL http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY; do
    if [ -n "${!name:-}" ]; then
        arguments+=(--build-arg "$name")
    fi
done
if [ -n "${EXTRA_CA:-}" ]; then
    EXTRA_CA=$(< "$EXTRA_CA")
    export EXTRA_CA
    arguments+=(--build-arg EXTRA_CA)
fi
read -r -a options <<< "${BUILD_OPTIONS:-}"

# images with the same first stage one after the other: the second reuses it
chains=("worker-cc7 worker-el9 vobox" "plancton schedd" influxdb)
read -r -a names <<< "${*:-${chains[*]}}"
for name in "${names[@]}"; do
    case " ${chains[*]} " in
    *" $name "*) ;;
    *)
        echo "build.sh: there is no image $name; there are: ${chains[*]}" >&2
        exit 2
        ;;
    esac
done
: "${BASE_WORKER_EL9:=docker.io/library/almalinux:9.6}"

build() { # NAME
    local file=images/${1%-*}/Dockerfile base labels=() label
    base=BASE_$(echo "$1" | tr 'a-z-' 'A-Z_')
    base=${!base:-$(sed -n 's/^ARG BASE=//p' "$file")}
    for label in "title=plancton/${1%-*}" "description=$(sed -n '1s/^# //p' "$file")" \
        licenses=Apache-2.0 "version=$version" "revision=$revision" "base.name=$base"; do
        labels+=(--label "org.opencontainers.image.$label")
    done
    echo "build.sh: $prefix/$1:$tag" >&2
    $docker build "${options[@]}" "${arguments[@]}" "${labels[@]}" --build-arg "BASE=$base" \
        -f "$file" -t "$prefix/$1:$tag" .
}

if [ "${PARALLEL:-no}" != yes ]; then
    for name in "${names[@]}"; do
        build "$name"
    done
    exit
fi
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
jobs=()
for chain in "${chains[@]}"; do
    (
        for name in $chain; do
            case " ${names[*]} " in
            *" $name "*) build "$name" > "$logs/$name" 2>&1 || exit ;;
            esac
        done
    ) &
    jobs+=($!)
done
result=0
for job in "${jobs[@]}"; do
    wait "$job" || result=$?
done
cat "$logs"/*
exit "$result"
