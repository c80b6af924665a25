"""Drawing of detections on a copy of an image."""

from __future__ import annotations

import colorsys
import math
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from trt_ssd_ros.detection.detections import Detections
from trt_ssd_ros.detection.region import Window
from trt_ssd_ros.images.frame import ChannelOrder

Color = tuple[int, int, int]
Point = tuple[int, int]
Corners = tuple[int, int, int, int]

_GOLDEN_RATIO = (5**0.5 - 1) / 2
_SHADES = ((0.75, 1.0), (0.45, 1.0), (1.0, 0.8))
_BLACK, _WHITE = (0, 0, 0), (255, 255, 255)


@dataclass(frozen=True)
class DrawStyle:
    """Style of drawn detections.

    Attributes:
        line_width: Line width of a box in pixels, without the outline; 0: in proportion to the image.
        captions: Whether to write name, number and score at each box.
        timing: Whether the caller is to pass latency and rate as the note.
    """

    line_width: int = 0
    captions: bool = True
    timing: bool = False


def draw_detections(
    pixels: NDArray[np.uint8],
    detections: Detections,
    labels: Sequence[str],
    channel_order: ChannelOrder = "bgr",
    style: DrawStyle = DrawStyle(),
    views: Sequence[Window] = (),
    note: str = "",
) -> NDArray[np.uint8]:
    """Return a copy of an image with a box and a caption on every detection, the best ones on top.

    A caption is the class, the number of a tracked object, and the score: `person 7 87%`.

    Lines and letters grow with the image. A class has the same colour in every image.

    Args:
        pixels: Image (H, W, 3) uint8, left unchanged.
        detections: Detections in pixels of this image; boxes are clipped to it, boxes wholly outside are skipped.
        labels: Name of each class id; a class id without a name is shown as its number.
        channel_order: Order of the last axis of `pixels`.
        style: Style of the drawing.
        views: Parts of the image that the detector saw, outlined in white with their names; none: the whole image.
        note: Text in the lower left corner, cut at the right edge.

    Returns:
        A new contiguous (H, W, 3) uint8 array in `channel_order`.

    Raises:
        ValueError: `pixels` is not (H, W, 3) uint8.
    """
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        raise ValueError(f"pixels are {pixels.dtype} {pixels.shape}, expected uint8 (height, width, 3)")
    pen = _Pen(np.array(pixels, order="C"), channel_order, style.line_width)
    drawn = _worst_first(_inside(detections, pen.width, pen.height))
    boxes = [pen.corners(box) for box in drawn.boxes]
    class_ids = [int(class_id) for class_id in drawn.class_ids]
    for view in views:
        pen.draw_view(view)
    for box, class_id in zip(boxes, class_ids, strict=True):
        pen.draw_box(box, class_color(class_id))
    rows = zip(boxes, class_ids, drawn.numbers, drawn.scores, strict=True)
    for box, class_id, number, score in rows if style.captions else ():
        pen.draw_plate(box, pen.caption(_name(class_id, labels), number, float(score)), class_color(class_id))
    if note:
        pen.draw_note(_ascii(note))
    return pen.canvas


@cache
def class_color(class_id: int) -> Color:
    """Return the colour of a class as red, green and blue in 0..255.

    Hues advance by the golden ratio, which spreads any run of class ids evenly; three shades take turns.
    """
    hue = (0.32 + class_id * _GOLDEN_RATIO) % 1
    saturation, value = _SHADES[class_id % len(_SHADES)]
    red, green, blue = (round(255 * level) for level in colorsys.hsv_to_rgb(hue, saturation, value))
    return red, green, blue


def line_width(width: int, height: int) -> int:
    """Return the default line width in pixels of a box in a width x height image."""
    return round(1.2 + math.sqrt(width * height) / 350)


@cache
def text_color(background: Color) -> Color:
    """Return black or white, whichever has the higher contrast ratio (WCAG 2.1) with a background."""
    levels = [level / 255 for level in background]
    red, green, blue = (v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in levels)
    luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    on_black, on_white = (luminance + 0.05) / 0.05, 1.05 / (luminance + 0.05)
    return _BLACK if on_black > on_white else _WHITE


def _inside(detections: Detections, width: int, height: int) -> Detections:
    x1, y1, x2, y2 = detections.boxes.T
    return detections[(x1 < width) & (y1 < height) & (x2 >= 0) & (y2 >= 0)]


def _worst_first(detections: Detections) -> Detections:
    return detections[np.argsort(-detections.scores, kind="stable")[::-1]]


def _name(class_id: int, labels: Sequence[str]) -> str:
    """Return a label in ASCII, all that the Hershey fonts have: accents are dropped, the rest becomes '?'."""
    return _ascii(labels[class_id] if 0 <= class_id < len(labels) else str(class_id))


def _ascii(text: str) -> str:
    letters = (c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return "".join(c if " " <= c <= "~" else "?" for c in letters)


class _Pen:
    """Pen for one canvas, with lines and letters in proportion to the canvas size."""

    def __init__(self, canvas: NDArray[np.uint8], channel_order: ChannelOrder, width_of_lines: int) -> None:
        self.canvas = canvas
        self.height, self.width = canvas.shape[:2]
        self._channels = slice(None, None, 1 if channel_order == "rgb" else -1)
        size = (self.width * self.height) ** 0.5
        self._line = width_of_lines or line_width(self.width, self.height)
        self._outline = (self._line + 1) // 3
        self._font_scale = 0.27 + size / 2400
        self._font = cv2.FONT_HERSHEY_SIMPLEX if size < 600 else cv2.FONT_HERSHEY_DUPLEX
        self._stroke = max(1, round(size / 1000))
        (_, self._ascent), self._descent = self._text_size("Ag")
        self._margin = max(2, self._ascent // 3)

    def corners(self, box: NDArray[np.float32]) -> Corners:
        """Return a box (x1, y1, x2, y2) clipped to the canvas, in whole pixels; x2 and y2 are exclusive."""
        limits = (self.width, self.height, self.width, self.height)
        x1, y1, x2, y2 = np.clip(box, 0, limits).round().astype(int).tolist()
        return x1, y1, x2, y2

    def draw_box(self, corners: Corners, color: Color, line: int = 0) -> None:
        """Draw a box in its colour, the line inside its edge and outlined in black to stand out anywhere."""
        x1, y1, x2, y2 = corners
        out, line = self._outline, line or self._line
        self._draw_frame((x1 - out, y1 - out, x2 + out, y2 + out), line + 2 * out, _BLACK)
        self._draw_frame(corners, line, color)

    def draw_view(self, view: Window) -> None:
        """Draw the outline of a view in white, thinner than boxes, and its name."""
        corners = (view.left, view.top, view.right, view.bottom)
        self.draw_box(corners, _WHITE, max(1, self._line // 3))
        if view.name:
            self.draw_plate(corners, _ascii(view.name), _WHITE)

    def _draw_frame(self, corners: Corners, line: int, color: Color) -> None:
        """Draw a box as four filled strips, because OpenCV's thick lines are not exact to the pixel."""
        x1, y1, x2, y2 = corners
        rows = ((x1, y1, x2, y1 + line), (x1, y2 - line, x2, y2))
        columns = ((x1, y1, x1 + line, y2), (x2 - line, y1, x2, y2))
        for left, top, right, bottom in (*rows, *columns):
            self._fill(self.canvas, (left, top), (right - 1, bottom - 1), color)

    def draw_plate(self, corners: Corners, caption: str, color: Color) -> None:
        """Draw a caption on a filled plate: above the box, or inside its top where there is no room above."""
        width, height = self._plate_size(caption)
        x1, y1, _, _ = corners
        left = max(0, min(x1, self.width - width))
        top = y1 - height if y1 >= height else max(0, min(y1, self.height - height))
        self._write((left, top), caption, color)

    def draw_note(self, note: str) -> None:
        """Draw a note on a black plate in the lower left corner."""
        ends = range(len(note), 0, -1)
        fitting = (note[:end] for end in ends if self._plate_size(note[:end])[0] <= self.width)
        text = next(fitting, "")
        if text:
            self._write((0, max(0, self.height - self._plate_size(text)[1])), text, _BLACK)

    def _plate_size(self, text: str) -> tuple[int, int]:
        height = self._margin + self._ascent + self._descent + max(2, self._margin // 2)
        return self._text_width(text) + 2 * self._margin, height

    def _write(self, corner: Point, text: str, color: Color) -> None:
        """Write on a filled plate, cut at the canvas edge."""
        (left, top), (width, height) = corner, self._plate_size(text)
        plate = self.canvas[top : top + height, left : left + width]
        self._fill(plate, (0, 0), (width, height), color)
        origin = (self._margin, self._margin + self._ascent)
        cv2.putText(
            plate, text, origin, self._font, self._font_scale, text_color(color), self._stroke, cv2.LINE_AA
        )

    def caption(self, name: str, number: str, score: float) -> str:
        """Return a class's name, an object's number and its score in percent; shorten the name until all fit."""
        room, rest = self.width - 2 * self._margin, f"{number} {score:.0%}".strip()
        names = (name if end == len(name) else f"{name[:end]}.." for end in range(len(name), 0, -1))
        captions = (f"{short} {rest}" for short in names)
        return next((text for text in captions if self._text_width(text) <= room), f"{score:.0%}")

    def _fill(self, area: NDArray[np.uint8], first: Point, last: Point, color: Color) -> None:
        cv2.rectangle(area, first, last, color[self._channels], cv2.FILLED)

    def _text_width(self, text: str) -> int:
        (width, _), _ = self._text_size(text)
        return width

    def _text_size(self, text: str) -> tuple[Sequence[int], int]:
        return cv2.getTextSize(text, self._font, self._font_scale, self._stroke)
