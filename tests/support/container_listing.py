"""Containers of pilots as Docker lists them."""

from typing import Any

NAME = "plancton-worker-abc123"


def list_container(
    state: str, names: tuple[str, ...] = (f"/{NAME}",), **labels: str
) -> dict[str, Any]:
    return {
        "Id": "c1",
        "Names": list(names),
        "State": state,
        "ImageID": "sha256:i",
        "Labels": {"plancton.node": "n", "plancton.pilot": NAME, **labels},
    }
