"""Small recordings, written for the tests by rosbags."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from media import Image
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

STORE = get_typestore(Stores.ROS2_JAZZY)
START = 1_700_000_000_123_456_789


def image_message(picture: Image, nanoseconds: int, encoding: str = "bgr8") -> Any:
    types = STORE.types
    pixels = picture if encoding == "bgr8" else np.ascontiguousarray(picture[..., ::-1])
    return types["sensor_msgs/msg/Image"](
        header=_header(nanoseconds),
        height=picture.shape[0],
        width=picture.shape[1],
        encoding=encoding,
        is_bigendian=0,
        step=picture.shape[1] * 3,
        data=pixels.reshape(-1),
    )


def compressed_message(picture: Image, nanoseconds: int) -> Any:
    data = np.frombuffer(cv2.imencode(".png", picture)[1].tobytes(), np.uint8)
    make = STORE.types["sensor_msgs/msg/CompressedImage"]
    return make(header=_header(nanoseconds), format="png", data=data)


def _header(nanoseconds: int) -> Any:
    stamp = STORE.types["builtin_interfaces/msg/Time"](sec=nanoseconds // 10**9, nanosec=nanoseconds % 10**9)
    return STORE.types["std_msgs/msg/Header"](stamp=stamp, frame_id="camera")


def write_bag(
    path: Path,
    pictures: Sequence[Image],
    storage: StoragePlugin,
    message: Callable = image_message,
    topics: Sequence[str] = ("/camera",),
) -> Path:
    """A recording at 10 Hz, begun at START."""
    with Writer(path, version=9, storage_plugin=storage) as writer:
        kind = message(pictures[0], START).__msgtype__
        connections = [writer.add_connection(topic, kind, typestore=STORE) for topic in topics]
        for number, picture in enumerate(pictures):
            now = START + number * 10**8
            for connection in connections:
                writer.write(connection, now + 5, STORE.serialize_cdr(message(picture, now), kind))
    return path
