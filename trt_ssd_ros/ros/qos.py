"""What our topics ask of quality of service."""

from __future__ import annotations

from rclpy.qos import QoSProfile, QoSReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions

OVERRIDABLE = QoSOverridingOptions.with_default_policies()
"""Lets `qos_overrides.*` parameters change history, depth and reliability."""


def newest_image() -> QoSProfile:
    """Return what matches every camera, and keeps only its newest image; rclpy writes overrides into a profile."""
    return QoSProfile(depth=1, reliability=QoSReliabilityPolicy.BEST_EFFORT)
