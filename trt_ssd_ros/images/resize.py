"""Resize: bilinear resize to a network's input on the CPU, from the camera's samples before their conversion.

The rule is ONNX's coordinate_transformation_mode: the output column d of a resize from n to m columns samples the
input at d * n/m (asymmetric), (d + 0.5) * n/m - 0.5 (half_pixel) or d * (n - 1)/(m - 1) (align_corners), as in
https://onnx.ai/onnx/operators/onnx__Resize.html. cv2.resize implements half_pixel only. cv2.remap takes any
coordinates, but rounds them to 1/32 pixel: between black and white neighbours, a value is up to 4 of 255 off.
In a noisy photo, values differ from the exact ones by 0.3 on average; rounding to uint8 alone makes 0.25.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

ResizeRule = Literal["half_pixel", "align_corners", "asymmetric"]
Pixels = NDArray[np.uint8]

BAND_PIXELS = 2_000_000
"""Pixels of an image that are worth another thread; a smaller band saves less time than a thread costs."""
LONGEST_SIDE = 32766
"""Longest side in pixels that cv2.remap takes."""
YUV_TO_BGR = np.array(
    [[1.164, 2.018, 0.0, -276.93], [1.164, -0.391, -0.813, 135.57], [1.164, 0.0, 1.596, -222.93]], np.float32
)
"""BT.601 with limited range, as in OpenCV's cvtColor: blue is 1.164 (Y - 16) + 2.018 (U - 128), and so on."""
Part = tuple[slice, slice]
"""Rows and columns of an image, each with its start and stop."""


@dataclass(frozen=True)
class Resize:
    """Bilinear resize to a fixed size, or to a band of its rows, without antialiasing.

    Attributes:
        width: Width of the output in pixels.
        height: Height of the output in pixels.
        rule: Coordinate transformation.
        above: Rows of the whole output above the band; see `bands`.
        below: Rows of the whole output below the band.
    """

    width: int
    height: int
    rule: ResizeRule
    above: int = 0
    below: int = 0

    def bands(self, count: int) -> list[Resize]:
        """Divide the output into bands of rows, from top to bottom, each with the pixels of the whole.

        Returns:
            At most `count` resizes; one for half_pixel, because cv2.resize computes whole outputs only.
        """
        count = min(count, self.height)
        if count == 1 or self.rule == "half_pixel":
            return [self]
        edges = (self.height * number // count for number in range(count + 1))
        return [
            replace(self, height=stop - start, above=self.above + start, below=self.below + self.height - stop)
            for start, stop in pairwise(edges)
        ]

    def __call__(self, samples: NDArray[Any], out: NDArray[Any] | None = None) -> NDArray[Any]:
        """Return samples (H, W) or (H, W, C), with at most 4 channels and any row stride, in the new size.

        Args:
            samples: Samples to resize, of 8 bits, or of 16 bits in any byte order.
            out: Contiguous memory for the result, of its shape and type; None: new memory.

        Raises:
            ValueError: A side is too long for cv2.remap.
        """
        if samples.shape[:2] == (1, 1):
            samples = np.repeat(samples, 2, axis=1)  # OpenCV 4.5 refuses a single pixel of several channels
        if self.rule == "half_pixel":
            return cv2.resize(native(samples), (self.width, self.height), dst=out, interpolation=cv2.INTER_LINEAR)
        rows, columns = samples.shape[:2]
        if max(rows, columns) > LONGEST_SIDE:
            raise ValueError(
                f"image: found {columns}x{rows} pixels, expected sides of at most {LONGEST_SIDE} pixels for a "
                f"resize on the host ({self.rule}): set a smaller roi, or, without tiles and regions, "
                "resize_on to engine"
            )
        sampled, coordinates, fractions = _map(columns, rows, self)
        samples = native(samples[sampled])
        return cv2.remap(samples, coordinates, fractions, cv2.INTER_LINEAR, out, borderMode=cv2.BORDER_REPLICATE)

    def rows(self, count: int) -> NDArray[np.float32]:
        """Return the position of each row of the output among `count` rows of samples."""
        return self._positions(count, self.above + self.height + self.below)[self.above :][: self.height]

    def columns(self, count: int) -> NDArray[np.float32]:
        """Return the position of each column of the output among `count` columns of samples."""
        return self._positions(count, self.width)

    def _positions(self, count: int, outputs: int) -> NDArray[np.float32]:
        index = np.arange(outputs)
        if self.rule == "asymmetric":
            return (index * (count / outputs)).astype(np.float32)
        if self.rule == "align_corners":
            return (index * ((count - 1) / max(outputs - 1, 1))).astype(np.float32)
        return ((index + 0.5) * (count / outputs) - 0.5).astype(np.float32)


class BatchResize:
    """Resize of the images of a batch, in several threads.

    OpenCV itself computes so small an output in one thread, and releases the GIL.

    Args:
        resize: Resize of one image.

    Attributes:
        threads: Most threads, with the calling one.
        bands: Most bands of rows that an image is divided into, if there are fewer images than threads; each is of
            BAND_PIXELS of the image or more.
    """

    def __init__(self, resize: Resize) -> None:
        self.threads = 1
        self.bands = 1
        self._resize = resize
        self._pool: ThreadPoolExecutor | None = None

    def __call__(
        self, images: Sequence[Any] | Pixels, resize: Callable[[Any, Resize, Pixels], object] | None = None
    ) -> Pixels:
        """Return images (H, W, 3) of any sizes as an array (N, height, width, 3).

        Args:
            images: Images.
            resize: Function that applies a resize to one of `images`, and writes the pixels to their place
                (height, width, 3); None: `images` are arrays.

        Raises:
            ValueError: A side is too long; see `Resize`.
        """
        resize = resize or _resize_array
        count, threads = len(images), self.threads
        batch = np.empty((count, self._resize.height, self._resize.width, 3), np.uint8)
        most = self.bands if count < threads else 1
        work = [
            (image, band, place[band.above :][: band.height])
            for image, place in zip(images, batch, strict=True)
            for band in self._resize.bands(max(1, min(most, _pixel_count(image) // BAND_PIXELS)))
        ]
        parts = max(1, min(threads, len(work)))

        def fill(part: int) -> None:
            for image, band, place in work[part::parts]:
                resize(image, band, place)

        if parts > 1 and self._pool is None:
            self._pool = ThreadPoolExecutor(self.threads - 1, "resize")
        others = [self._pool.submit(fill, part) for part in range(1, parts)] if self._pool else []
        fill(0)
        for other in others:
            other.result()
        return batch

    def close(self) -> None:
        """End the threads; further calls start them again."""
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None


def _pixel_count(image: Any) -> int:
    """Return the number of pixels of an array (H, W, 3), or of another image, whose `size` is height and width."""
    height, width = image.shape[:2] if isinstance(image, np.ndarray) else image.size
    return int(height * width)


def _resize_array(samples: NDArray[Any], resize: Resize, place: Pixels) -> None:
    resize(samples, place)


@lru_cache(maxsize=256)
def _map(columns: int, rows: int, resize: Resize) -> tuple[slice, NDArray[Any], NDArray[Any]]:
    """Return the rows that are sampled in images of columns x rows, and cv2.remap's fixed-point maps for these.

    They are a few rows more, so that rounding needs no border; if cv2 copies a view, it copies no other rows.
    """
    positions = resize.rows(rows)
    first = max(int(positions[0]) - 1, 0)
    x, y = np.meshgrid(resize.columns(columns), positions - first)
    return slice(first, int(positions[-1]) + 3), *cv2.convertMaps(x, y, cv2.CV_16SC2)


def native(samples: NDArray[Any]) -> NDArray[Any]:
    """Return 16-bit samples as OpenCV takes them: in this machine's byte order, aligned, with no odd step."""
    return samples if samples.itemsize == 1 else np.require(samples, np.uint16, ("C_CONTIGUOUS", "ALIGNED"))


def resize_yuyv(samples: Pixels, part: Part, resize: Resize, luma: int) -> Pixels:
    """Return bgr pixels of a part of 4:2:2 samples (H, W, 2), whose two columns of a pair share U and V.

    Args:
        samples: Samples of the whole image.
        part: Part of the image.
        resize: Resize to apply to Y; each pixel has the U and V of the nearest column.
        luma: Channel of Y: 0 in YUYV, 1 in UYVY.
    """
    rows, columns = _nearest(part, resize)
    pairs = samples[rows].reshape(resize.height, -1).view(np.uint32)
    u = 1 - luma
    return _bgr(resize(samples[part]), luma, _columns(pairs, columns // 2), u, u + 2)


def resize_nv12(samples: Pixels, part: Part, resize: Resize, swapped: bool = False) -> Pixels:
    """Return bgr pixels of a part of 4:2:0 samples (3H/2, W, 1): H rows of Y, then rows of interleaved U and V.

    Args:
        samples: Samples of the whole image.
        part: Part of the image.
        resize: Resize to apply to Y; each pixel has the U and V of the nearest row and column.
        swapped: Whether V stands before U, as in NV21.
    """
    rows, columns = _nearest(part, resize)
    height = samples.shape[0] * 2 // 3
    pairs = samples[height + rows // 2].reshape(resize.height, -1).view(np.uint16)
    luma = resize(samples[part])[..., None]
    return _bgr(luma, 0, _columns(pairs, columns // 2), int(swapped), 1 - swapped)


def _nearest(part: Part, resize: Resize) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the row and the column of the image that are nearest to each output row and column."""
    rows, columns = (
        axis.start + np.rint(positions(axis.stop - axis.start)).clip(0, axis.stop - axis.start - 1)
        for axis, positions in zip(part, (resize.rows, resize.columns), strict=True)
    )
    return rows.astype(np.intp), columns.astype(np.intp)


def _columns(pairs: NDArray[Any], columns: NDArray[np.intp]) -> Pixels:
    """Return some columns of an array whose items are the samples of a pair, as (rows, columns, samples)."""
    chosen = pairs.take(columns, axis=1, mode="clip")  # in C order, unlike pairs[:, columns]
    return chosen.view(np.uint8).reshape(*chosen.shape, -1)


def _bgr(luma: Pixels, y: int, chroma: Pixels, u: int, v: int) -> Pixels:
    """Return bgr pixels of samples (H, W, C) of one size; y, u and v are channels."""
    yuv, before = np.empty((*luma.shape[:2], 3), np.uint8), luma.shape[2]
    cv2.mixChannels(
        [luma, chroma], [yuv], [y, 0, before + u, 1, before + v, 2]
    )  # np.dstack takes ten times as long
    return np.asarray(cv2.transform(yuv, YUV_TO_BGR), np.uint8)
