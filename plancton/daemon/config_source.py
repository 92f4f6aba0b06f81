"""Open the source of the daemon's configuration: a file, or a web server."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from functools import partial

from plancton import preflight
from plancton.config.reload import ConfigWatch
from plancton.config.remote import ConfigUrl, RemoteConfig
from plancton.model import HostFacts
from plancton.paths import Paths

from .control_loop import Clock


@contextmanager
def open_config_source(
    paths: Paths,
    facts: HostFacts,
    environ: Mapping[str, str],
    clock: Clock,
    wake: Callable[[], None],
) -> Iterator[ConfigWatch]:
    """Yield the watch over the configuration, which has one to start with.  Raises ConfigError.

    ``environ`` holds the settings of the container (``PLANCTON_CONF_...``).

    ``wake`` wakes the loop, from any thread, when there is a new one.
    """
    if not paths.config_url:
        read = partial(preflight.load_config, paths.config, facts)
        yield ConfigWatch(read, clock.now, clock.wall)
        return
    origin = ConfigUrl.from_environment(paths.config_url, environ)
    parse = partial(preflight.parse_config, where=paths.config_name, facts=facts)
    watches: list[ConfigWatch] = []

    def on_news() -> None:
        for watch in watches:
            watch.mark_changed()
            wake()

    with closing(RemoteConfig(origin, parse, paths.kept_config, on_news)) as url:
        watch = ConfigWatch(
            url.read_newest,
            clock.now,
            clock.wall,
            first=url.fetch_first,
            ask=url.ask_now,
            is_asking=url.is_asking,
        )
        watches.append(watch)
        yield watch
