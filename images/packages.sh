#!/bin/sh
# Install packages: the only step of the images that differs between distributions.
#
#   packages.sh WHAT                      install the packages of this distribution's list for WHAT
#                                         (worker, vobox, schedd, plancton)
#   packages.sh list WHAT DISTRIBUTION    print these names, install nothing
#
# Lists and repositories are beside it: cc7.list, cc7.conf, el9.list, el9.repo, debian.list.
# Proxies are Docker's own build arguments (http_proxy, https_proxy, no_proxy). Your own mirror instead
# of the public repositories: VAULT_URL, EPEL_URL, WLCG_URL, DEBIAN_URL.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
[ ! -d "$here/packages" ] || here=$here/packages # in the source tree

names() { # WHAT DISTRIBUTION
    awk -v what="$1" '!/^#/ && ($1 == what || $1 == "all") { print $2 }' "$here/$2.list"
}

distribution() {
    # shellcheck source=/dev/null
    . /etc/os-release
    case "$ID:$VERSION_ID" in
    centos:7*) echo cc7 ;;
    almalinux:9* | rocky:9* | centos:9* | rhel:9*) echo el9 ;;
    debian:* | ubuntu:*) echo debian ;;
    *)
        echo "packages.sh: $ID $VERSION_ID is not known here: add a list and a branch" >&2
        exit 1
        ;;
    esac
}

mirrored() { # FILE: with the mirrors that were asked for
    sed -e "s|http://vault.centos.org|${VAULT_URL:-http://vault.centos.org}|" \
        -e "s|https://archives.fedoraproject.org/pub/archive/epel|${EPEL_URL:-https://archives.fedoraproject.org/pub/archive/epel}|" \
        -e "s|https://dl.fedoraproject.org/pub/epel|${EPEL_URL:-https://dl.fedoraproject.org/pub/epel}|" \
        -e "s|https://linuxsoft.cern.ch/wlcg|${WLCG_URL:-https://linuxsoft.cern.ch/wlcg}|" "$1"
}

install_cc7() {
    # our own configuration, because the servers of the base's repositories no longer exist
    mirrored "$here/cc7.conf" > "$here/yum.conf"
    # shellcheck disable=SC2086  # a list of names
    yum -y -c "$here/yum.conf" install $1
    yum -c "$here/yum.conf" clean all
    rm -rf /var/cache/yum
}

install_el9() {
    mirrored "$here/el9.repo" > /etc/yum.repos.d/thyme.repo
    # shellcheck disable=SC2086
    dnf -y --setopt=install_weak_deps=False --enablerepo=crb install $1
    dnf clean all
    rm -rf /var/cache/dnf
}

install_debian() {
    if [ -n "${DEBIAN_URL:-}" ]; then
        suite=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
        echo "deb $DEBIAN_URL $suite main" > /tmp/sources.list
        set -- "$1" -o Dir::Etc::SourceList=/tmp/sources.list -o Dir::Etc::SourceParts=/dev/null
    fi
    wanted=$1
    shift
    export DEBIAN_FRONTEND=noninteractive
    apt-get "$@" update -q
    # shellcheck disable=SC2086
    apt-get "$@" install -y -q --no-install-recommends $wanted
    apt-get clean
    rm -rf /var/lib/apt/lists/* /tmp/sources.list /var/log/apt /var/log/dpkg.log /var/cache/ldconfig
}

link_authorities() {
    # our Python uses the distribution's trusted CAs
    for bundle in /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/certs/ca-certificates.crt; do
        if [ -e "$bundle" ]; then
            ln -sf "$bundle" /opt/thyme/ca.pem
            return
        fi
    done
    echo "packages.sh: no bundle of authorities in /etc: add ca-certificates to the list" >&2
    exit 1
}

if [ "$1" = list ]; then
    names "$2" "$3"
    exit
fi
found=$(distribution)
wanted=$(names "$1" "$found" | tr '\n' ' ')
if [ -n "$wanted" ]; then
    "install_$found" "$wanted"
fi
link_authorities
