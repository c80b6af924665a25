"""What our topics ask of quality of service."""

from __future__ import annotations

from rclpy.qos_overriding_options import QoSOverridingOptions

OVERRIDABLE = QoSOverridingOptions.with_default_policies()
"""Lets `qos_overrides.*` parameters change history, depth and reliability."""
