"""SourceName: parser of the names of image sources, for the camera node, the launch files and the tools."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class SourceName:
    """Parsed name of an image source.

    Attributes:
        kind: `demo`, `webcam`, `gstreamer`, `stream` (an address as rtsp://...), or `file`.
        target: Number of the webcam, pipeline, address, or path; empty for the demo.
        explicit: Whether the name states its kind; a bare path does not.
    """

    kind: Literal["demo", "webcam", "gstreamer", "stream", "file"]
    target: str
    explicit: bool = True

    @classmethod
    def parse(cls, name: str) -> SourceName:
        """Parse a name: demo, webcam:N, gstreamer:PIPELINE, file:PATH, an address, or the path of a file."""
        kind, _, target = name.partition(":")
        for known in ("webcam", "gstreamer", "file"):
            if kind == known and name != "file":
                return cls(known, target)
        if name == "demo":
            return cls("demo", "")
        return cls("stream", name) if "://" in name else cls("file", name, explicit=False)

    @property
    def live(self) -> bool:
        """Whether images arrive at their own pace, so that the source has no beginning."""
        return self.kind in ("webcam", "gstreamer", "stream")


def without_password(address: str) -> str:
    """Return an address, a misspelt one or a pipeline without user names and passwords, for logs and errors."""
    return re.sub(r"(?<=[:/]/)[^/\s]*@", "", address)
