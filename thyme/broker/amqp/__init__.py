"""The broker RabbitMQ: its queues, stream and inboxes over AMQP 0-9-1 (pika)."""
