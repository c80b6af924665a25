"""Recording: images of a rosbag2 folder or an MCAP file, read without ROS."""

from __future__ import annotations

import re
import struct
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from trt_ssd_ros.errors import load_library, one_line
from trt_ssd_ros.images.compressed import decode_image
from trt_ssd_ros.images.frame import Frame, FrameError, frame_from_message
from trt_ssd_ros.images.source import Capture, ImageSource, SourceError, SourceImage

IMAGE_TYPES = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage")


class Recording(ImageSource):
    """Images of one topic of a recording, named by their header stamps; images with equal stamps are numbered.

    Args:
        path: Path of a rosbag2 folder (sqlite3 or MCAP), or of a file in it.
        topic: Image topic; empty: the only image topic.

    Raises:
        SourceError: The recording cannot be read, or the topic is missing or ambiguous.
        RuntimeError: rosbags is not installed.
    """

    def __init__(self, path: Path, topic: str = "") -> None:
        rosbags = load_library("rosbags.highlevel", "rosbags", f"reading {path}")
        types = load_library("rosbags.typesys", "rosbags", f"reading {path}")
        self._path = path
        try:
            stated = types.get_typestore(types.Stores.ROS2_HUMBLE)
            self._reader = rosbags.AnyReader([_readable(path)], default_typestore=stated)
            self._reader.open()
        except Exception as error:  # rosbags also raises errors of YAML, SQLite and zstd
            raise SourceError(f"cannot read {path} as a ROS 2 recording: {one_line(error)}") from error
        try:
            self._connection = self._choose(topic)
        except SourceError:
            self.close()
            raise
        self.count = self._connection.msgcount

    def _choose(self, topic: str) -> Any:
        there = {item.topic: item for item in self._reader.connections if item.msgtype in IMAGE_TYPES}
        if topic in there:
            return there[topic]
        if not topic and len(there) == 1:
            return next(iter(there.values()))
        found = f"images on {', '.join(sorted(there))}" if there else "no topic with images"
        expected = f"topic {topic}" if topic else "one: choose it with --topic" if there else "one"
        raise SourceError(f"{self._path}: found {found}, expected {expected}")

    @property
    def rate(self) -> float | None:
        """Average number of images per second; None if unknown."""
        seconds = self._reader.duration / 1e9
        return self.count / seconds if self.count and seconds > 0 else None

    def captures(self) -> Iterator[Capture]:
        """Read the messages in recorded order; see `ImageSource.captures`."""
        seen = Counter[int]()
        for index, (_, recorded, data) in enumerate(self._messages()):
            stamp = _stamp(data) or recorded
            seen[stamp] += 1
            yield partial(self._image, index, _name(stamp, seen[stamp]), stamp / 1e9, data)

    def _image(self, index: int, name: str, seconds: float, data: bytes) -> SourceImage:
        try:
            frame = _frame(self._reader.deserialize(data, self._connection.msgtype))
        except FrameError as error:
            return SourceImage.unreadable(index, name, error)
        except Exception as error:  # rosbags has no error of its own for this
            return SourceImage.unreadable(index, name, f"damaged message: {one_line(error)}")
        return SourceImage(index, name, frame.pixels, frame.channel_order, seconds)

    def _messages(self) -> Iterator[Any]:
        try:
            yield from self._reader.messages(connections=[self._connection])
        except Exception as error:
            raise SourceError(f"{self._path} is damaged: {one_line(error)}") from error

    def close(self) -> None:
        """Close the files."""
        self._reader.close()


def is_recording(path: Path) -> bool:
    """Return whether a path is a rosbag2 folder or a file in one."""
    return (path / "metadata.yaml").is_file() or (path.is_file() and path.suffix in {".mcap", ".db3"})


def _readable(path: Path) -> Path:
    """Return the path for rosbags: an MCAP file is self-contained, an SQLite file needs its folder."""
    return path if path.is_dir() or path.suffix == ".mcap" else path.parent


def _stamp(data: bytes) -> int:
    """Return the header stamp of an image message in CDR, in nanoseconds; 0 if it has no stamp.

    The message begins with four bytes of encapsulation; if the second is odd, it is little-endian (OMG DDS-XTypes
    1.3, 7.6.3.1.2).
    """
    try:
        seconds, nanoseconds = struct.unpack_from("<iI" if data[1] & 1 else ">iI", data, 4)
    except (IndexError, struct.error):
        return 0
    return int(seconds) * 10**9 + int(nanoseconds)


def _name(nanoseconds: int, number: int) -> str:
    """Return an image's name from its stamp in nanoseconds and its number, from 1, among equal stamps."""
    again = f"_{number}" if number > 1 else ""
    return f"{nanoseconds // 10**9}.{nanoseconds % 10**9:09d}{again}"


def stamp_of(name: str) -> int | None:
    """Return the stamp in nanoseconds in the name of a recording's image; None for another image's name."""
    found = re.fullmatch(r"(-?\d+)\.(\d{9})(_\d+)?", name)
    return None if found is None else int(found[1]) * 10**9 + int(found[2])


def _frame(message: Any) -> Frame:
    if hasattr(message, "encoding"):
        return frame_from_message(message)
    return Frame(decode_image(message.data, message.format), "bgr")
