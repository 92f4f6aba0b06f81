# hadolint global ignore=DL3008
# Replacements for base images where no registry can be reached: the same files at the same paths, from
# packages of Debian 12. Each stage replaces the base that it is named after.
ARG DEBIAN=plancton-offline/debian
FROM ${DEBIAN} AS python
RUN apt-get update -q && apt-get install -y -q --no-install-recommends ca-certificates \
        python3 python3-venv && apt-get clean && rm -rf /var/lib/apt/lists/*

# The path of Python in manylinux2014, from which own_python.py copies it.
FROM python AS manylinux
RUN set -e; home=/opt/_internal/cpython-3.11.2; mkdir -p "$home/bin" "$home/lib" /opt/python; \
    cp /usr/bin/python3.11 "$home/bin/"; ln -s python3.11 "$home/bin/python3"; \
    cp -a /usr/lib/python3.11 "$home/lib/"; rm "$home/lib/python3.11/EXTERNALLY-MANAGED"; \
    ln -s "$home" /opt/python/cp311-cp311
