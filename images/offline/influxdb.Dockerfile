# hadolint global ignore=DL3008
# A replacement for InfluxDB's own image.
ARG DEBIAN=plancton-offline/debian
FROM ${DEBIAN} AS influxdb
RUN apt-get update -q && RUNLEVEL=1 apt-get install -y -q --no-install-recommends \
        influxdb influxdb-client && apt-get clean && rm -rf /var/lib/apt/lists/*
VOLUME /var/lib/influxdb
EXPOSE 8086
