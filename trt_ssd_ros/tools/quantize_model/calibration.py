"""Calibration images, spread over an input, and their reader for ONNX Runtime's quantizer."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from itertools import islice
from threading import Event

import numpy as np
import onnx
from numpy.typing import NDArray
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from trt_ssd_ros.detection.detector import CHANNEL_ORDERS
from trt_ssd_ros.engines.onnxruntime_engine import OnnxRuntimeEngine
from trt_ssd_ros.images.source import Image, ImageSource, SourceError, SourceImage
from trt_ssd_ros.models.card import ModelCard
from trt_ssd_ros.models.graph import compose_input

LOGGER = logging.getLogger(__name__)


def pixel_digest(pixels: Image) -> bytes:
    """Return a digest of an image, which identifies copies of it under other names."""
    return hashlib.blake2b(pixels.tobytes(), digest_size=16).digest()


class CalibrationImages:
    """Sample of an input's images, which can be iterated repeatedly.

    Args:
        open_images: Function that opens the input.
        most: Largest number of images, spread evenly, because neighbouring video frames are almost equal; of a
            video of unknown length, the first images.
        stop: Event that ends an iteration.
    """

    def __init__(self, open_images: Callable[[], ImageSource], most: int, stop: Event) -> None:
        self._open_images = open_images
        self._most = most
        self._stop = stop
        self._skipped: set[str] = set()

    def iterate(self, task: str) -> Iterator[SourceImage]:
        """Yield the readable images, with a progress bar; log a warning for each other image, once.

        Raises:
            SourceError: No image is readable, or the input is a camera.
            KeyboardInterrupt: `stop` is set.
        """
        readable = 0
        with closing(self._open_images()) as images:
            if images.live:
                raise SourceError("found a camera, expected images, a video or a recording: record the camera")
            total = images.count or self._most
            count = min(self._most, total)
            numbers = [index * total // count for index in range(count)]
            bar = tqdm(total=images.count and count, desc=task, unit=" images", disable=None)
            with logging_redirect_tqdm(), bar:
                for image in self._numbered(images, numbers):
                    bar.update()
                    if image.problem:
                        self._skip(image)
                    else:
                        readable += 1
                        yield image
        if not readable:
            raise SourceError("found no readable image, expected images from the robot's camera")

    def _numbered(self, images: ImageSource, numbers: Sequence[int]) -> Iterator[SourceImage]:
        """Yield the images with these numbers; decode no others, and stop at the last one."""
        wanted = set(numbers)
        for index, capture in enumerate(islice(images.captures(), numbers[-1] + 1)):
            if self._stop.is_set():
                raise KeyboardInterrupt
            if index in wanted:
                yield capture()

    def _skip(self, image: SourceImage) -> None:
        if image.name not in self._skipped:
            self._skipped.add(image.name)
            LOGGER.warning("skipped %s: %s", image.name, image.problem)


class CalibrationReader:
    """Calibration data reader with the interface of ONNX Runtime's CalibrationDataReader.

    Args:
        network: Network to calibrate.
        card: Model card of the network.
        images: Calibration images.

    Attributes:
        count: Number of images read so far.
        digests: Digests of the images read so far.
    """

    def __init__(self, network: onnx.ModelProto, card: ModelCard, images: Iterable[SourceImage]) -> None:
        self.count = 0
        self.digests: set[bytes] = set()
        self._tensor = card.input.tensor
        self._preprocessing = OnnxRuntimeEngine(compose_input(network, card))
        self._images = iter(images)

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        """Return the network input of the next image, by tensor name; None after the last image."""
        image = next(self._images, None)
        if image is None:
            return None
        self.count += 1
        self.digests.add(pixel_digest(image.pixels))
        order = CHANNEL_ORDERS[image.channel_order]
        fed = self._preprocessing.run({"image": image.pixels[None], "channel_order": order})
        return {self._tensor: fed["network_input"]}
