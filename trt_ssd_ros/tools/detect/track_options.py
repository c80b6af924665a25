"""Options of `detect --track`, with the defaults of the detector node."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from trt_ssd_ros.tools.command_line import count, fraction, given
from trt_ssd_ros.tracking.settings import TrackerSettings

_TRACKER = TrackerSettings((0.5,))


def gap(text: str) -> float:
    """Parse the longest gap of a track in seconds from the command line."""
    most = _TRACKER.max_jump
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= most:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected seconds from 0 to {most:g}")
    return seconds


TRACKER_OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "low_threshold": {
        "type": fraction,
        "default": _TRACKER.low_threshold,
        "metavar": "SCORE",
        "help": f"lowest score that continues a track; default: {_TRACKER.low_threshold}",
    },
    "max_gap": {
        "type": gap,
        "default": _TRACKER.max_gap,
        "metavar": "SECONDS",
        "help": f"longest time between two detections of an object; default: {_TRACKER.max_gap:g}",
    },
    "confirm_after": {
        "type": count,
        "default": _TRACKER.confirm_after,
        "metavar": "N",
        "help": f"images in a row with an object until it gets an id; default: {_TRACKER.confirm_after}",
    },
}
"""Options of the tracker, with the defaults of the node: keyword arguments of `add_argument` by setting."""


def add_track_options(parser: argparse.ArgumentParser) -> None:
    """Add `--track` and the settings of the tracker to a command line."""
    tracking = parser.add_argument_group("tracking")
    tracking.add_argument("--track", action="store_true", help="give each object one id in consecutive images")
    for name, keywords in TRACKER_OPTIONS.items():
        tracking.add_argument(f"--track-{name.replace('_', '-')}", **keywords)


def expect_track(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """End the command if its line has settings of `--track` without it."""
    wrong = given(parser, options, (f"track_{name}" for name in TRACKER_OPTIONS))
    if wrong and not options.track:
        parser.error(f"{wrong[0]}: found no --track, expected it")


def track_values(options: argparse.Namespace) -> dict[str, Any]:
    """Return the settings of the tracker on the command line, by their names in `TrackerSettings`."""
    return {name: getattr(options, f"track_{name}") for name in TRACKER_OPTIONS}
