# hadolint global ignore=DL3008
# A replacement for RabbitMQ's own image.
ARG DEBIAN=plancton-offline/debian
FROM ${DEBIAN} AS rabbitmq
RUN apt-get update -q && RUNLEVEL=1 apt-get install -y -q --no-install-recommends \
        rabbitmq-server && apt-get clean && rm -rf /var/lib/apt/lists/*
# As in the real one: programs on PATH that run as the calling user, a directory of configuration files,
# and an entry point that gives the server's files to `rabbitmq` and switches to that user.
ENV PATH=/usr/lib/rabbitmq/bin:${PATH} \
    HOME=/var/lib/rabbitmq
COPY rabbitmq-entrypoint.sh /usr/local/bin/docker-entrypoint.sh
RUN mkdir -p /etc/rabbitmq/conf.d && ln -sf /var/lib/rabbitmq/.erlang.cookie /root/.erlang.cookie
VOLUME /var/lib/rabbitmq
EXPOSE 5671 5672
