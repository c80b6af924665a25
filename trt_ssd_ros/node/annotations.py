"""Annotator: detections as foxglove_msgs/ImageAnnotations, which Foxglove draws over an image.

Fields: https://docs.foxglove.dev/docs/sdk/schemas/image-annotations. Positions are in pixels of the image. The
position of a text is its lower left corner. Colours range from 0 to 1.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from builtin_interfaces.msg import Time

from trt_ssd_ros.detection.detections import Detections
from trt_ssd_ros.detection.draw import Color, DrawStyle, class_color, line_width, text_color


def load_foxglove_messages() -> Any:
    """Return the module foxglove_msgs.msg.

    Raises:
        RuntimeError: foxglove_msgs is not installed; the message names the package to install.
    """
    try:
        return import_module("foxglove_msgs.msg")
    except ImportError as error:
        distro = os.environ.get("ROS_DISTRO", "<distro>")
        raise RuntimeError(
            f"the parameter annotations needs foxglove_msgs ({error}): "
            f"sudo apt install ros-{distro}-foxglove-msgs; the node continues without annotations"
        ) from error


class Annotator:
    """Converter of detections to ImageAnnotations messages.

    Args:
        labels: Name of each class id.
        messages: The module foxglove_msgs.msg.
    """

    def __init__(self, labels: Sequence[str], messages: Any) -> None:
        self._labels = labels
        self._messages = messages

    def annotate(self, detections: Detections, stamp: Time, size: tuple[int, int], style: DrawStyle) -> Any:
        """Return the message for one image, with the best detections drawn last, on top.

        Args:
            detections: Boxes in pixels of the image.
            stamp: Stamp of the image.
            size: Width and height of the image in pixels.
            style: Line width and captions, as in debug_image.
        """
        line = float(style.line_width or line_width(*size))
        font = 8 + (size[0] * size[1]) ** 0.5 / 80
        message = self._messages.ImageAnnotations()
        columns = (detections.boxes, detections.class_ids, detections.scores)
        rows = zip(*(column.tolist() for column in columns), detections.numbers, strict=True)
        for box, class_id, score, number in reversed(list(rows)):
            message.points.append(self._outline(box, class_color(class_id), stamp, line))
            if style.captions:
                caption = " ".join(filter(None, (self._labels[class_id], number, f"{score:.0%}")))
                message.texts.append(self._text(box, caption, class_color(class_id), stamp, font))
        return message

    def _outline(self, box: Sequence[float], color: Color, stamp: Time, line: float) -> Any:
        left, top, right, bottom = box
        kind = self._messages.PointsAnnotation
        corners = ((left, top), (right, top), (right, bottom), (left, bottom))
        points = [self._messages.Point2(x=x, y=y) for x, y in corners]
        return kind(
            timestamp=stamp, type=kind.LINE_LOOP, points=points, outline_color=self._color(color), thickness=line
        )

    def _text(self, box: Sequence[float], text: str, color: Color, stamp: Time, font: float) -> Any:
        return self._messages.TextAnnotation(
            timestamp=stamp,
            position=self._messages.Point2(x=box[0], y=box[1]),
            text=text,
            font_size=font,
            text_color=self._color(text_color(color)),
            background_color=self._color(color),
        )

    def _color(self, color: Color) -> Any:
        red, green, blue = (level / 255 for level in color)
        return self._messages.Color(r=red, g=green, b=blue, a=1.0)
