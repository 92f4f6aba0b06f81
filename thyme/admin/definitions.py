"""Builds the definitions file that RabbitMQ loads: users, permissions, queues and bindings.

The format is what ``rabbitmqctl export_definitions`` writes
(https://www.rabbitmq.com/docs/definitions). Loading never deletes and never
changes a queue that is there; users and permissions are set again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from thyme.broker.amqp import topology

from .passwords import ALGORITHM, hash_password, matches_hash
from .roles import Role, list_roles

#: How a job queue's name begins; the pools of a file are known by it.
_JOBS = topology.make_job_queue_name("")


#: Each worker has a connection and an inbox; with its password a user could open more.
VHOST_LIMITS = {"max-connections": 25_000, "max-queues": 25_000}


def build_definitions(
    pools: Iterable[str], passwords: Mapping[str, str], vhost: str, before: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the content of a definitions file.

    ``passwords``: by user; ``before``: the last file's content, whose hashes are kept where they
    match.
    """
    pools = list(pools)
    hashes = {user.get("name"): user.get("password_hash", "") for user in before.get("users", [])}
    everybody = list_roles(pools)
    return {
        "users": [
            _build_user(role, passwords[role.user], hashes.get(role.user, "")) for role in everybody
        ],
        "vhosts": [{"name": vhost}],
        "permissions": [
            {
                "user": role.user,
                "vhost": vhost,
                "configure": role.configure,
                "write": role.write,
                "read": role.read,
            }
            for role in everybody
        ],
        "topic_permissions": [
            {"user": role.user, "vhost": vhost, "exchange": name, "write": write, "read": read}
            for role in everybody
            for name, (write, read) in role.topics.items()
        ],
        **_build_topology(pools, vhost),
        "policies": [],
        "parameters": [
            {"vhost": vhost, "component": "vhost-limits", "name": "limits", "value": VHOST_LIMITS}
        ],
        "global_parameters": [],
    }


def list_pools(content: Mapping[str, Any]) -> list[str]:
    """Return the pools of a definitions file, in its order, and the queues of their lanes."""
    names = [str(queue.get("name", "")) for queue in content.get("queues", [])]
    words = [name.removeprefix(_JOBS) for name in names if name.startswith(_JOBS)]
    return [topology.unquote_pool(word) for word in words]


def remove_hashes(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content without password hashes, which differ each time that they are made."""
    users = [{**user, "password_hash": ""} for user in content.get("users", [])]
    return {**content, "users": users}


def _build_user(role: Role, password: str, before: str) -> dict[str, Any]:
    return {
        "name": role.user,
        "password_hash": before if matches_hash(password, before) else hash_password(password),
        "hashing_algorithm": ALGORITHM,
        "tags": [role.tags] if role.tags else [],
        "limits": dict(role.limits),
    }


def _build_topology(pools: list[str], vhost: str) -> dict[str, Any]:
    """Return the exchanges, queues and bindings, which workers may not declare themselves."""
    made = topology.build_topology(pools)
    return {
        "exchanges": [
            {
                "name": exchange.name,
                "vhost": vhost,
                "type": exchange.type,
                "durable": exchange.durable,
                "auto_delete": False,
                "internal": False,
                "arguments": {},
            }
            for exchange in made.exchanges
        ],
        "queues": [
            {
                "name": queue.name,
                "vhost": vhost,
                "durable": queue.durable,
                "auto_delete": queue.auto_delete,
                "arguments": dict(queue.arguments),
            }
            for queue in made.queues
        ],
        "bindings": [
            {
                "source": binding.exchange,
                "vhost": vhost,
                "destination": binding.queue,
                "destination_type": "queue",
                "routing_key": binding.key,
                "arguments": {},
            }
            for binding in made.bindings
        ],
    }
