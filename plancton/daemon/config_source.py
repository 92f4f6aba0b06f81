"""Open the source of the daemon's configuration: a file, or a web server."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from plancton import preflight
from plancton.config.reload import ConfigWatch
from plancton.config.remote import ConfigUrl, RemoteConfig
from plancton.model import HostFacts
from plancton.paths import Paths

from .control_loop import Clock


@dataclass(frozen=True)
class ConfigSource:
    """The watch over a configuration, and how to stop it."""

    watch: ConfigWatch
    close: Callable[[], None]


def open_config_source(
    paths: Paths,
    facts: HostFacts,
    environ: Mapping[str, str],
    clock: Clock,
    wake: Callable[[], None],
) -> ConfigSource:
    """Return the configuration to start with, and the watch over it.  Raises ConfigError.

    ``environ`` holds the settings of the container (``PLANCTON_CONF_...``).

    ``wake`` wakes the loop, from any thread, when there is a new one.
    """
    if not paths.config_url:
        read = partial(preflight.load_config, paths.config, facts)
        return ConfigSource(ConfigWatch(read, clock.now, clock.wall), close=lambda: None)
    origin = ConfigUrl.from_environment(paths.config_url, environ)
    parse = partial(preflight.parse_config, where=paths.config_name, facts=facts)
    watches: list[ConfigWatch] = []

    def on_news() -> None:
        for watch in watches:
            watch.mark_changed()
            wake()

    url = RemoteConfig(origin, parse, paths.kept_config, on_news)
    try:
        watch = ConfigWatch(
            url.read_newest, clock.now, clock.wall, first=url.fetch_first, ask=url.ask_now
        )
    except BaseException:
        url.close()
        raise
    watches.append(watch)
    return ConfigSource(watch, url.close)
