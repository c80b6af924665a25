"""Subscriptions of a node that the executor of the node does not see, because another executor takes from them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rclpy.callback_groups import CallbackGroup
from rclpy.subscription import Subscription


class InferenceCallbackGroup(CallbackGroup):
    """Callback group of subscriptions from which only the InferenceExecutor takes.

    SingleThreadedExecutor asks the group. EventsExecutor ignores groups; see HiddenSubscriptions.
    """

    def can_execute(self, _: Any) -> bool:
        """Return False: only the InferenceExecutor takes."""
        return False

    def beginning_execution(self, _: Any) -> bool:
        """Return False: only the InferenceExecutor takes."""
        return False

    def ending_execution(self, _: Any) -> None:
        """Do nothing: callbacks of the group never run."""


class HiddenSubscriptions:
    """Mixin that hides the subscriptions of InferenceCallbackGroup; list it before rclpy's Node."""

    @property
    def subscriptions(self) -> Iterator[Subscription]:
        """Subscriptions of other callback groups."""
        found: Iterator[Subscription] = super().subscriptions  # type: ignore[misc]
        return (item for item in found if not isinstance(item.callback_group, InferenceCallbackGroup))
