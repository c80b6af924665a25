"""quiet_opencv: keeps OpenCV and FFmpeg from writing to stderr."""

from __future__ import annotations

import os

import cv2

FFMPEG_LOG_LEVEL = "OPENCV_FFMPEG_LOGLEVEL"
"""Environment variable with FFmpeg's log level in OpenCV; -8 is silent. A value that the user has set is kept."""
SILENT = 0
"""Log level of OpenCV without messages."""


def quiet_opencv() -> None:
    """Keep OpenCV and FFmpeg from writing to stderr, because we report unreadable files and streams ourselves."""
    os.environ.setdefault(FFMPEG_LOG_LEVEL, "-8")
    set_level = getattr(cv2, "setLogLevel", None) or cv2.utils.logging.setLogLevel  # type: ignore[attr-defined]  # OpenCV 5
    set_level(SILENT)
