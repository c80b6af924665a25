"""What the middleware tells about a message, and what can be told from it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from rclpy.node import Node

MessageInfo = Mapping[str, Any]
NUMBER = "publication_sequence_number"
"""Counts what a publisher sent; None with Cyclone DDS, nothing in Humble."""


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


def without_events() -> Any:
    """Return the event callbacks of a subscription that has none, not even rclpy's own.

    Up to rclpy 7.1.11 EventsExecutor ends with InvalidHandle where an event waits for a subscription that is
    destroyed in the same moment. None where rclpy has no such executor (Humble).
    """
    try:
        from rclpy.event_handler import SubscriptionEventCallbacks  # noqa: PLC0415 - not in Humble
    except ImportError:
        return None
    return SubscriptionEventCallbacks(use_default_callbacks=False)


def publishers_of(node: Node, topic: str) -> frozenset[tuple[int, ...]]:
    """Return the global identifiers of all publishers of a topic."""
    return frozenset(tuple(info.endpoint_gid) for info in node.get_publishers_info_by_topic(topic))


class SequenceGaps:
    """Finds the messages that the middleware dropped, from the sequence numbers of those that arrived.

    The numbers of several publishers cannot be told apart, and those of a new one begin anew, so a gap counts only
    where one publisher is there before and after it; nor does it on a middleware that gives no numbers.

    Args:
        publishers: Returns who publishes; asked where the numbers do not follow each other.
    """

    def __init__(self, publishers: Callable[[], frozenset[Any]]) -> None:
        self._ask = publishers
        self._publishers: frozenset[Any] = frozenset()
        self._last: int | None = None

    def missing_before(self, info: MessageInfo) -> int:
        """Return how many messages went missing just before this one.

        Args:
            info: What came with the message.
        """
        number: int | None = info.get(NUMBER)
        last, self._last = self._last, number
        if number is None or (last is not None and number == last + 1 and self._publishers):
            return 0
        before, self._publishers = self._publishers, self._ask()
        if last is None or number <= last or len(before) != 1 or before != self._publishers:
            return 0
        return number - last - 1

    def restart(self) -> None:
        """Forget what came before, as when nothing was received for a while on purpose."""
        self._last = None
