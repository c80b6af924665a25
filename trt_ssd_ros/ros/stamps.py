"""Stamps: times of messages as numbers."""

from __future__ import annotations

from builtin_interfaces.msg import Time


def nanoseconds(stamp: Time) -> int:
    """Return a stamp in nanoseconds; unlike in rclpy's Time it may lie before 1970, which broken drivers send."""
    return int(stamp.sec) * 10**9 + int(stamp.nanosec)
