"""A channel of a connection: questions with their answers, and what comes unasked."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .errors import ChannelClosed
from .frames import Content, spec

if TYPE_CHECKING:
    from .connection import Line


class Channel:
    """``contents`` gets each message that comes, ``methods`` each method that is no answer."""

    def __init__(self, line: Line, number: int) -> None:
        self.line = line
        self.number = number
        self.contents: Callable[[Content], None] = lambda _content: None
        self.methods: Callable[[Any], None] = lambda _method: None
        #: whether somebody waits for what comes on it, or only for answers
        self.listening = False
        self.answers: deque[Any] = deque()
        self.ended: ChannelClosed | None = None

    def send(self, method: Any) -> None:
        """A method that has no answer."""
        self.line.send(self.number, method)

    def ask(self, method: Any) -> Any:
        """The answer: a method, or a Content. Raises ChannelClosed, BrokerError."""
        self.send(method)
        return self.line.until(self._answer, type(method).__name__)

    def _answer(self) -> Any:
        if self.answers:
            return self.answers.popleft()
        if self.ended is not None:
            raise self.ended
        return None

    def close(self) -> None:
        """What was delivered on it and not acknowledged goes back. Raises BrokerError."""
        if self.ended is None:
            self.contents, self.methods = lambda _content: None, lambda _method: None
            with contextlib.suppress(ChannelClosed):
                self.ask(spec.Channel.Close(200, "done", 0, 0))
        self.line.forget(self)
