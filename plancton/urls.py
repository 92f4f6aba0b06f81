"""Telling URLs from paths, and showing them without what is secret."""

from __future__ import annotations

from urllib.parse import urlsplit, urlunsplit

#: ``insecure_https``: HTTPS that believes any certificate, as in 2017.
SCHEMES = ("http", "https", "insecure_https")


def is_url(text: str) -> bool:
    return "://" in text and text.partition("://")[0] in SCHEMES


def shown(url: str) -> str:
    """The URL without its password, for logs and for people."""
    parts = urlsplit(url)
    if parts.password is None:
        return url
    return urlunsplit(parts._replace(netloc=f"{parts.username}:***@{parts.netloc.split('@')[-1]}"))
