"""What the middleware tells about a message, and what can be told from it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

MessageInfo = Mapping[str, Any]


def with_info(callback: Callable[[Any, MessageInfo], None]) -> Callable[..., None]:
    """Return a subscription callback that gets a message and its info from every executor of every rclpy.

    Jazzy's executors pass two arguments, but for its EventsExecutor (up to rclpy 7.1.11), which passes one tuple:
    HandleSubscriptionReady in rclpy/src/rclpy/events_executor/events_executor.cpp. Humble passes the message
    alone; its info is then empty.
    """

    def receive(*received: Any) -> None:
        if len(received) == 1:
            received = received[0] if isinstance(received[0], tuple) else (received[0], {})
        callback(*received)

    receive.__signature__ = inspect.signature(callback)  # type: ignore[attr-defined]
    return receive


def on_publishers_changed(callback: Callable[[], None]) -> Any:
    """Return the event callbacks of a subscription that call back when a publisher appears or goes.

    None where rclpy has no such event (Humble).
    """
    try:
        from rclpy.event_handler import SubscriptionEventCallbacks  # noqa: PLC0415 - not in Humble
    except ImportError:
        return None
    return SubscriptionEventCallbacks(matched=lambda _: callback())


@dataclass
class SequenceGaps:
    """Finds the messages that the middleware dropped, from the sequence numbers of those that arrived."""

    _last: int | None = None

    def missing_before(self, info: MessageInfo, publishers: int) -> int:
        """Return how many messages went missing just before this one.

        The numbers of several publishers cannot be told apart, so nothing is counted while there is more than one,
        nor on a middleware that gives no numbers.

        Args:
            info: What came with the message.
            publishers: How many publishers are matched.
        """
        number: int | None = info.get("publication_sequence_number")
        last, self._last = self._last, number if publishers == 1 else None
        if last is None or self._last is None or self._last < last:
            return 0
        return max(0, self._last - last - 1)

    def restart(self) -> None:
        """Forget what came before, as when a publisher appears or goes: its successor counts anew."""
        self._last = None
