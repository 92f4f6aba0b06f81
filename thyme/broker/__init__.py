"""Brokers behind one interface: ``base.Transport``; ``connect`` makes one from a URL."""

from __future__ import annotations

from .base import DeadLetter, Delivery, Mail, QueueState, Record, Retention, Transport
from .urls import check_url, connect, make_amqp_url

__all__ = [
    "DeadLetter",
    "Delivery",
    "Mail",
    "QueueState",
    "Record",
    "Retention",
    "Transport",
    "check_url",
    "connect",
    "make_amqp_url",
]
