"""SourceName: the one parser of names of image sources, for the camera node, the launch files and the tools."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class SourceName:
    """A name, taken apart.

    Attributes:
        kind: `demo`, `webcam`, `gstreamer`, `stream` (an address as rtsp://...), or `file`.
        target: Number of the webcam, pipeline, address, or path; empty for the demo.
        explicit: Whether the name itself says its kind; a bare path does not.
    """

    kind: Literal["demo", "webcam", "gstreamer", "stream", "file"]
    target: str
    explicit: bool = True

    @classmethod
    def parse(cls, name: str) -> SourceName:
        """Take a name apart: demo, webcam:N, gstreamer:PIPELINE, file:PATH, an address, or the path of a file."""
        kind, _, target = name.partition(":")
        for known in ("webcam", "gstreamer", "file"):
            if kind == known and name != "file":
                return cls(known, target)
        if name == "demo":
            return cls("demo", "")
        return cls("stream", name) if "://" in name else cls("file", name, explicit=False)

    @property
    def live(self) -> bool:
        """Whether images come at their own pace, so that the source has no beginning."""
        return self.kind in ("webcam", "gstreamer", "stream")
