"""Frame: one camera image, whose samples are converted to pixels only when the pixels are used.

Any object with the fields of a `sensor_msgs/Image` is read; ROS itself is not imported. Pixels of three-channel
encodings are a view of the message, pixels of other encodings take one OpenCV conversion.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from types import MappingProxyType
from typing import Any, Literal, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from trt_ssd_ros.images.resize import Part, Resize, native, resize_nv12, resize_yuyv

ChannelOrder = Literal["rgb", "bgr"]


class FrameError(ValueError):
    """Invalid image message; the text says on one line what was found and what was expected."""


class UnsupportedEncodingError(FrameError):
    """Image encoding that is not in `SUPPORTED_ENCODINGS`."""


class ImageMessage(Protocol):
    """Fields of a `sensor_msgs/Image` that describe its pixels."""

    @property
    def height(self) -> int:
        """Image height in pixels."""

    @property
    def width(self) -> int:
        """Image width in pixels."""

    @property
    def encoding(self) -> str:
        """Encoding, a name in `sensor_msgs/image_encodings.hpp`."""

    @property
    def is_bigendian(self) -> int | bool:
        """Whether samples of more than one byte come most significant byte first."""

    @property
    def step(self) -> int:
        """Bytes from the start of one row to the start of the next."""

    @property
    def data(self) -> Any:
        """Image bytes: an object with a buffer (`array.array`, `bytes`, uint8 `ndarray`), or a list of ints."""


class Frame:
    """One camera image.

    Args:
        pixels: Image (H, W, 3) uint8.
        channel_order: Order of the last axis of `pixels`.

    Attributes:
        channel_order: Order of the last axis of `pixels`, and of resized pixels.
    """

    def __init__(self, pixels: NDArray[np.uint8], channel_order: ChannelOrder) -> None:
        self._samples: NDArray[Any] = pixels
        self._layout = _RGB if channel_order == "rgb" else _BGR
        self._part: Part = slice(0, pixels.shape[0]), slice(0, pixels.shape[1])
        self.channel_order = channel_order

    @classmethod
    def _of_samples(cls, samples: NDArray[Any], layout: _Layout, part: Part) -> Frame:
        frame = cls(samples, layout.channel_order)
        frame._layout, frame._part = layout, part
        return frame

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        rows, columns = self._part
        return rows.stop - rows.start, columns.stop - columns.start

    @cached_property
    def pixels(self) -> NDArray[np.uint8]:
        """Image (H, W, 3) uint8, read-only.

        For `bgr8`, `rgb8` and `8UC3` a view of the message's bytes with rows `step` bytes apart; for other
        encodings a new array. If the image is part of another one, only the blocks of pixels around it that share
        their chroma are converted.
        """
        if self._layout.convert is _unchanged:
            pixels = self._samples[self._part]
            pixels.setflags(write=False)
            return pixels
        rows, columns = (
            slice(axis.start - axis.start % size, axis.stop + -axis.stop % size)
            for axis, size in zip(self._part, self._layout.block, strict=True)
        )
        top, left = self._part[0].start - rows.start, self._part[1].start - columns.start
        (height, width), blocks = self.size, self._layout.convert(self._layout.crop(self._samples, rows, columns))
        pixels = blocks[top : top + height, left : left + width]
        pixels.setflags(write=False)
        return pixels

    def resized(self, resize: Resize) -> NDArray[np.uint8]:
        """Return the whole image, resized, as (height, width, 3) uint8.

        Samples are resized before they are converted, except those of Bayer patterns: for `nv12` and `yuyv` the
        pixels differ from those resized after the conversion by 0.2 to 0.4 of 255 on average, and by up to 42 at
        colour edges, because chroma is not interpolated.
        """
        layout = self._layout
        if layout.mosaic:
            return np.asarray(resize(self.pixels), np.uint8)
        if layout.planes is not None:
            return layout.planes(self._samples, self._part, resize)
        resized = resize(self._samples[self._part])
        return layout.convert(resized.reshape(resize.height, resize.width, layout.samples))

    def demosaiced(self) -> Frame:
        """Return the image with its Bayer pattern converted; an image of another encoding is returned itself."""
        return Frame(self.pixels, self.channel_order) if self._layout.mosaic else self

    def cropped(self, left: int, top: int, right: int, bottom: int) -> Frame:
        """Return part of the image, in whole pixels; right and bottom are exclusive.

        The part keeps the samples of this frame, and nothing is copied; a Bayer pattern is converted as a whole.
        """
        frame = self.demosaiced()
        y, x = (axis.start for axis in frame._part)
        part = slice(y + top, y + bottom), slice(x + left, x + right)
        return Frame._of_samples(frame._samples, frame._layout, part)


BYTE = np.dtype(np.uint8)
Converter = Callable[[NDArray[Any]], NDArray[np.uint8]]
Resizer = Callable[[NDArray[Any], Part, Resize], NDArray[np.uint8]]


@dataclass(frozen=True, slots=True)
class _Layout:
    """Memory layout of an encoding, and the conversion of its samples to pixels.

    Attributes:
        samples: Samples per pixel in a row.
        convert: Conversion of (rows, W, samples) of `dtype` to (H, W, 3) uint8.
        channel_order: Channel order of the converted pixels.
        dtype: Type of a sample; the message has the byte order of multi-byte samples.
        block: Rows and columns that share their chroma; the image consists of whole blocks.
        minimum: Least height and width in pixels that can be converted.
        chroma_plane: Whether chroma rows, half as many as image rows, follow the image rows.
        planes: Resize and conversion of part of the samples, if chroma has its own resolution; else None.
        mosaic: Whether neighbouring samples have different colours, so that they are converted before the resize.
    """

    samples: int
    convert: Converter
    channel_order: ChannelOrder = "bgr"
    dtype: np.dtype[Any] = BYTE
    block: tuple[int, int] = (1, 1)
    minimum: int = 1
    chroma_plane: bool = False
    planes: Resizer | None = None
    mosaic: bool = False

    def rows(self, height: int) -> int:
        return height * 3 // 2 if self.chroma_plane else height

    def crop(self, samples: NDArray[Any], rows: slice, columns: slice) -> NDArray[Any]:
        """Return the samples of whole blocks of the image."""
        if not self.chroma_plane:
            return samples[rows, columns]
        height = samples.shape[0] * 2 // 3
        if (rows.start, rows.stop) == (0, height):
            return samples[:, columns]
        chroma = slice(height + rows.start // 2, height + rows.stop // 2)
        return np.concatenate([samples[rows, columns], samples[chroma, columns]])

    def row_bytes(self, width: int) -> int:
        return width * self.samples * self.dtype.itemsize


def _unchanged(samples: NDArray[Any]) -> NDArray[np.uint8]:
    return samples


def _by_opencv(code: int) -> Converter:
    return lambda samples: np.asarray(cv2.cvtColor(samples, code), np.uint8)


def _mono16_to_bgr(samples: NDArray[Any]) -> NDArray[np.uint8]:
    """Scale 0..65535 to 0..255, to the nearest; 65535 / 255 is odd, so no value lies half way."""
    grey = cv2.convertScaleAbs(native(samples), alpha=255 / 65535)
    return np.asarray(cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR), np.uint8)


def _bayer(code: int) -> _Layout:
    return _Layout(1, _by_opencv(code), minimum=3, mosaic=True)


def _nv(code: int, planes: Resizer) -> _Layout:
    return _Layout(1, _by_opencv(code), block=(2, 2), chroma_plane=True, planes=planes)


_BGR = _Layout(3, _unchanged)
_RGB = _Layout(3, _unchanged, channel_order="rgb")
_BGRA = _Layout(4, _by_opencv(cv2.COLOR_BGRA2BGR))
_MONO = _Layout(1, _by_opencv(cv2.COLOR_GRAY2BGR))
_UYVY = _Layout(2, _by_opencv(cv2.COLOR_YUV2BGR_UYVY), block=(1, 2), planes=partial(resize_yuyv, luma=1))
_YUYV = _Layout(2, _by_opencv(cv2.COLOR_YUV2BGR_YUYV), block=(1, 2), planes=partial(resize_yuyv, luma=0))

# OpenCV names a Bayer pattern by the second and third pixel of its second row: BayerBG is RGGB. (Its newer
# names, BayerRGGB and so on, are missing from the OpenCV 4.5.4 of Ubuntu 22.04.)
# 16UC1 is left out on purpose: by convention it is depth, not a picture.
_LAYOUTS: Mapping[str, _Layout] = MappingProxyType(
    {
        "bgr8": _BGR,
        "rgb8": _RGB,
        "8UC3": _BGR,
        "bgra8": _BGRA,
        "rgba8": _Layout(4, _by_opencv(cv2.COLOR_BGRA2BGR), channel_order="rgb"),
        "8UC4": _BGRA,
        "mono8": _MONO,
        "8UC1": _MONO,
        "mono16": _Layout(1, _mono16_to_bgr, dtype=np.dtype(np.uint16)),
        "uyvy": _UYVY,
        "yuv422": _UYVY,
        "yuyv": _YUYV,
        "yuv422_yuy2": _YUYV,
        "nv12": _nv(cv2.COLOR_YUV2BGR_NV12, resize_nv12),
        "nv21": _nv(cv2.COLOR_YUV2BGR_NV21, partial(resize_nv12, swapped=True)),
        "bayer_rggb8": _bayer(cv2.COLOR_BayerBG2BGR),
        "bayer_bggr8": _bayer(cv2.COLOR_BayerRG2BGR),
        "bayer_gbrg8": _bayer(cv2.COLOR_BayerGR2BGR),
        "bayer_grbg8": _bayer(cv2.COLOR_BayerGB2BGR),
    }
)
SUPPORTED_ENCODINGS: tuple[str, ...] = tuple(_LAYOUTS)


def frame_from_message(message: ImageMessage) -> Frame:
    """Return the image of a message.

    `8UC3`, `8UC4` and `8UC1` name no colours; as in OpenCV, they are read as BGR, BGRA and grey.
    `mono16` is scaled from 0..65535 to 0..255. Bytes after the last row are ignored, and the last row needs
    no padding. The size of the data is checked before any pixels are allocated.

    Args:
        message: Any object with the fields of a `sensor_msgs/Image`. If the pixels are a view, they keep `data`
            alive and show later changes of it.

    Raises:
        UnsupportedEncodingError: The encoding is not in `SUPPORTED_ENCODINGS`.
        FrameError: The fields contradict each other, or the image is empty or cut short.
    """
    layout = _layout_of(message.encoding)
    _check_geometry(message, layout)
    part = slice(0, message.height), slice(0, message.width)
    return Frame._of_samples(_samples(message, layout), layout, part)


def view_samples(message: ImageMessage, dtype: np.dtype[Any]) -> NDArray[Any]:
    """View the samples of a message with one channel as (H, W, 1), in the message's byte order.

    Args:
        message: Any object with the fields of a `sensor_msgs/Image`; its encoding is not examined.
        dtype: Type of a sample.

    Raises:
        FrameError: The fields contradict each other, or the image is empty or cut short.
    """
    layout = _Layout(1, _unchanged, dtype=dtype)
    _check_geometry(message, layout)
    return _samples(message, layout)


def _layout_of(encoding: str) -> _Layout:
    layout = _LAYOUTS.get(encoding)
    if layout is None:
        raise UnsupportedEncodingError(_advice_on(encoding))
    return layout


def _advice_on(encoding: str) -> str:
    if not encoding:
        return "image encoding is empty: set it in the camera driver, for example to 'bgr8'"
    meant = {name.lower(): name for name in _LAYOUTS}.get(encoding.strip().lower())
    if meant:
        return f"image encoding {encoding!r} is spelled {meant!r} in ROS: correct it in the camera driver"
    return f"image encoding {encoding!r} is not supported: publish one of {', '.join(SUPPORTED_ENCODINGS)}"


def _check_geometry(message: ImageMessage, layout: _Layout) -> None:
    height, width, least = message.height, message.width, layout.minimum
    if height < least or width < least:
        raise FrameError(f"{_described(message)}: expected at least {least}x{least} pixels")
    if height % layout.block[0] or width % layout.block[1]:
        sides = "width and height" if layout.block[0] > 1 else "width"
        raise FrameError(f"{_described(message)}: expected an even {sides}, because neighbours share their chroma")
    row_bytes = layout.row_bytes(width)
    if message.step < row_bytes:
        raise FrameError(f"{_described(message)}: step is {message.step}, expected at least {row_bytes} bytes")


def _described(message: ImageMessage) -> str:
    return f"{message.encoding} image of {message.width}x{message.height}"


def _samples(message: ImageMessage, layout: _Layout) -> NDArray[Any]:
    """View the data as (rows, W, samples), rows `step` bytes apart, in the message's byte order."""
    buffer, dtype = _bytes_of(message), layout.dtype
    rows, width, step = layout.rows(message.height), message.width, message.step
    if buffer.nbytes < (rows - 1) * step + layout.row_bytes(width):
        raise FrameError(
            f"{_described(message)}: data has {buffer.nbytes} bytes, "
            f"expected {rows * step} ({rows} rows of step {step})"
        )
    if dtype.itemsize > 1:
        dtype = dtype.newbyteorder(">" if message.is_bigendian else "<")
    strides = (step, layout.samples * dtype.itemsize, dtype.itemsize)
    return np.ndarray((rows, width, layout.samples), dtype, buffer, strides=strides)


def _bytes_of(message: ImageMessage) -> memoryview:
    """View the data as plain bytes; only a sequence without a buffer (a list) is copied."""
    try:
        view = memoryview(message.data)
    except TypeError:
        view = _copied(message.data)
    if view.itemsize != 1:
        raise FrameError(f"image data has items of {view.itemsize} bytes each, expected single bytes (uint8)")
    return view if view.c_contiguous else memoryview(view.tobytes())


def _copied(data: Any) -> memoryview:
    try:
        return memoryview(bytes(iter(data)))
    except (TypeError, ValueError) as error:
        raise FrameError(f"image data is of type {type(data).__name__}, expected bytes ({error})") from error
