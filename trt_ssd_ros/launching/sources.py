"""LaunchSource: parsed origin of a camera's images, as the launch arguments `source` and `cameras` give it."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Literal

from trt_ssd_ros.files import share_folder
from trt_ssd_ros.images.source_name import SourceName, without_password

CAMERA_FILES = share_folder() / "launch" / "cameras"
BAG = "rosbag2"
DRIVERS = sorted(
    {path.name.removesuffix(".launch.py") for path in CAMERA_FILES.glob("*.launch.py")} - {"camera", BAG}
)


@dataclass(frozen=True)
class LaunchSource:
    """Origin of a camera's images.

    Attributes:
        text: Source as given.
        kind: `topic`, `own` for a source of our camera node, `bag`, or `driver`.
        launch_file: Name of the launch file in launch/cameras that starts the camera; empty for a topic.
        target: Topic, device of a driver, or path of a bag; empty if not given.
    """

    text: str
    kind: Literal["topic", "own", "bag", "driver"]
    launch_file: str = ""
    target: str = ""

    @classmethod
    def parse(cls, argument: str, text: str) -> LaunchSource:
        """Parse a source.

        Args:
            argument: Beginning of error messages.
            text: Name of a source of our camera node, or topic, bag or driver, with :<target>.

        Raises:
            ValueError: The source is unknown; the message lists the known ones and similar names.
        """
        kind, _, target = text.partition(":")
        if kind == "topic":
            return cls(text, "topic", "", target)
        if kind == "bag":
            return cls(text, "bag", BAG, target)
        if kind in DRIVERS:
            return cls(text, "driver", kind, target)
        if text == "gstreamer" or SourceName.parse(text).explicit:
            return cls(text, "own", "camera")
        raise ValueError(_unknown(argument, text, kind))

    @property
    def shown(self) -> str:
        """Source as given, without user names and passwords."""
        return without_password(self.text)


def _unknown(argument: str, text: str, kind: str) -> str:
    """Return the error message for an unknown source."""
    near = [f"file:{text}"] if Path(text).exists() else get_close_matches(kind, DRIVERS)
    hint = f" (did you mean {' or '.join(near)}?)" if near else ""
    own = "topic, demo, file:<path>, webcam:<number>, rtsp://..., gstreamer, bag:<path>"
    found = f"{argument}: found '{without_password(text)}'{hint}"
    return f"{found}, expected {own} or a driver: {', '.join(DRIVERS)}"
