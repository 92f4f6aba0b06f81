# hadolint global ignore=DL3008
# A replacement for RabbitMQ's own image.
ARG DEBIAN=plancton-offline/debian
FROM ${DEBIAN} AS rabbitmq
# The user's number is the real one's.
RUN groupadd --gid 999 --system rabbitmq && \
    useradd --uid 999 --system --home-dir /var/lib/rabbitmq --gid rabbitmq rabbitmq && \
    apt-get update -q && RUNLEVEL=1 apt-get install -y -q --no-install-recommends \
        rabbitmq-server && apt-get clean && rm -rf /var/lib/apt/lists/*
# As in the real one: programs on PATH that run as the calling user, directories that anybody may write
# to, settings in conf.d, the plugin with a page of metrics, and an entry point that gives the server's
# files to `rabbitmq` and switches to that user.
ENV PATH=/usr/lib/rabbitmq/bin:${PATH} \
    HOME=/var/lib/rabbitmq
COPY rabbitmq-entrypoint.sh /usr/local/bin/docker-entrypoint.sh
RUN mkdir -p /etc/rabbitmq/conf.d && \
    printf 'loopback_users.guest = false\nlog.console = true\n' > /etc/rabbitmq/conf.d/10-defaults.conf && \
    echo '[rabbitmq_prometheus].' > /etc/rabbitmq/enabled_plugins && \
    chown -R rabbitmq:rabbitmq /etc/rabbitmq /var/lib/rabbitmq /var/log/rabbitmq && \
    chmod 1777 /etc/rabbitmq /etc/rabbitmq/conf.d /var/lib/rabbitmq /var/log/rabbitmq && \
    ln -sf /var/lib/rabbitmq/.erlang.cookie /root/.erlang.cookie
VOLUME /var/lib/rabbitmq
EXPOSE 4369 5671 5672 15691 15692 25672
ENTRYPOINT ["docker-entrypoint.sh"]
CMD ["rabbitmq-server"]
