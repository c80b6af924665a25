"""Calibration images, spread over an input, and the reader that feeds them to ONNX Runtime's quantizer."""

from __future__ import annotations

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
from trt_ssd_ros.images.source import ImageSource, SourceError, SourceImage
from trt_ssd_ros.models.card import ModelCard
from trt_ssd_ros.models.graph import compose_input

LOGGER = logging.getLogger(__name__)


class CalibrationImages:
    """Goes through some images of an input, as often as asked to.

    Args:
        open_images: Opens the input.
        most: Images that are looked at. They lie as far apart as they can: neighbours in a video are nearly the
            same. Of a video that does not say how long it is they are the first.
        stop: Ends it.
    """

    def __init__(self, open_images: Callable[[], ImageSource], most: int, stop: Event) -> None:
        self._open_images = open_images
        self._most = most
        self._stop = stop
        self._passed_over: set[str] = set()

    def go_through(self, task: str) -> Iterator[SourceImage]:
        """Go through those that can be read, with a progress bar; the others get a warning, once.

        Raises:
            SourceError: There are none that can be read, or they do not come again.
            KeyboardInterrupt: It is to stop.
        """
        readable = 0
        with closing(self._open_images()) as images:
            if images.live:
                raise SourceError("found a camera, expected images that can be gone through twice: record some")
            total = images.count or self._most
            count = min(self._most, total)
            numbers = [index * total // count for index in range(count)]
            bar = tqdm(total=images.count and count, desc=task, unit=" images", disable=None)
            with logging_redirect_tqdm(), bar:
                for image in self._numbered(images, numbers):
                    bar.update()
                    if image.problem:
                        self._pass_over(image)
                    else:
                        readable += 1
                        yield image
        if not readable:
            raise SourceError("found no image that can be read, expected some of what the detector is to see")

    def _numbered(self, images: ImageSource, numbers: Sequence[int]) -> Iterator[SourceImage]:
        """Decode the images of these numbers, and go no further than the last of them."""
        wanted = set(numbers)
        for index, capture in enumerate(islice(images.captures(), numbers[-1] + 1)):
            if self._stop.is_set():
                raise KeyboardInterrupt
            if index in wanted:
                yield capture()

    def _pass_over(self, image: SourceImage) -> None:
        if image.name not in self._passed_over:
            self._passed_over.add(image.name)
            LOGGER.warning("passed over %s: %s", image.name, image.problem)


class CalibrationReader:
    """Feeds a network one image after the other, as ONNX Runtime's CalibrationDataReader does.

    Args:
        network: The network that is calibrated.
        card: Its card.
        images: What it sees.

    Attributes:
        count: How many it has seen.
    """

    def __init__(self, network: onnx.ModelProto, card: ModelCard, images: Iterable[SourceImage]) -> None:
        self.count = 0
        self._tensor = card.input.tensor
        self._preprocessing = OnnxRuntimeEngine(compose_input(network, card))
        self._images = iter(images)

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        """Return what the network gets for the next image, by tensor; None behind the last."""
        image = next(self._images, None)
        if image is None:
            return None
        self.count += 1
        order = CHANNEL_ORDERS[image.channel_order]
        fed = self._preprocessing.run({"image": image.pixels[None], "channel_order": order})
        return {self._tensor: fed["network_input"]}
