"""LostImages: number of images that the middleware reports as lost in transport."""

from __future__ import annotations

from typing import Any

from rclpy.impl.implementation_singleton import rclpy_implementation


class LostImages:
    """Counter of the images that a subscription lost in transport.

    The gaps in the sequence numbers cannot tell lost images from images that a newer one replaced after they had
    arrived. Fast DDS and Cyclone DDS report lost messages as an event of the subscription. The node reads the
    status of the event once a second, outside of all executors, because EventsExecutor up to rclpy 7.1.11 fails if
    a subscription with events is destroyed (see `without_events`).

    Args:
        handle: Handle of the subscription.
    """

    def __init__(self, handle: Any) -> None:
        self._event: Any = None
        try:
            from rclpy.event_handler import (  # noqa: PLC0415 - not in Humble
                QoSSubscriptionEventType,
                UnsupportedEventTypeError,
            )
        except ImportError:
            return
        try:
            with handle:
                lost = QoSSubscriptionEventType.RCL_SUBSCRIPTION_MESSAGE_LOST
                self._event = rclpy_implementation.EventHandle(handle, lost)
        except UnsupportedEventTypeError:
            return

    def collect(self) -> int | None:
        """Return the number of images lost since the last call; None if the middleware does not report them."""
        if self._event is None:
            return None
        status = self._event.take_event()
        return 0 if status is None else int(status.total_count_change)

    def close(self) -> None:
        """Release the subscription, which the event keeps alive."""
        if self._event is not None:
            self._event.destroy_when_not_in_use()
            self._event = None
