"""Detection messages: their QoS profile, and the best hypothesis of a detection."""

from __future__ import annotations

from rclpy.qos import QoSProfile, QoSReliabilityPolicy
from vision_msgs.msg import Detection2D

DETECTIONS = QoSProfile(depth=100, reliability=QoSReliabilityPolicy.BEST_EFFORT)
"""Detections are small: a slow recorder keeps a few seconds of them. Best effort matches every publisher."""


def best_hypothesis(detection: Detection2D) -> tuple[str, float] | None:
    """Return the printable label and the score of a detection's best hypothesis; None if it has no hypothesis."""
    hypotheses = [result.hypothesis for result in detection.results]
    best = max(hypotheses, key=lambda hypothesis: hypothesis.score, default=None)
    return None if best is None else (printable(best.class_id), best.score)


def printable(text: str) -> str:
    """Return a received text with "?" for line breaks, escapes and other characters that control a terminal."""
    return "".join(character if character.isprintable() else "?" for character in text)
