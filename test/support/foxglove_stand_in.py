"""The messages of foxglove_msgs, field by field, for want of the package.

From ImageAnnotations, PointsAnnotation, TextAnnotation, Point2 and Color on
https://docs.foxglove.dev/docs/sdk/schemas, and the constants of PointsAnnotation.msg in
foxglove/schemas (1515b47).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from builtin_interfaces.msg import Time


@dataclass(kw_only=True)
class Point2:
    x: float = 0.0
    y: float = 0.0


@dataclass(kw_only=True)
class Color:
    r: float = 0.0
    g: float = 0.0
    b: float = 0.0
    a: float = 0.0


@dataclass(kw_only=True)
class PointsAnnotation:
    LINE_LOOP: ClassVar[int] = 2
    timestamp: Time = field(default_factory=Time)
    type: int = 0
    points: list[Point2] = field(default_factory=list)
    outline_color: Color = field(default_factory=Color)
    outline_colors: list[Color] = field(default_factory=list)
    fill_color: Color = field(default_factory=Color)
    thickness: float = 0.0


@dataclass(kw_only=True)
class TextAnnotation:
    timestamp: Time = field(default_factory=Time)
    position: Point2 = field(default_factory=Point2)
    text: str = ""
    font_size: float = 0.0
    text_color: Color = field(default_factory=Color)
    background_color: Color = field(default_factory=Color)


@dataclass(kw_only=True)
class ImageAnnotations:
    circles: list[object] = field(default_factory=list)
    points: list[PointsAnnotation] = field(default_factory=list)
    texts: list[TextAnnotation] = field(default_factory=list)
