"""CalibrationReader: images, as the network of a model card gets them."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import onnx
from numpy.typing import NDArray

from trt_ssd_ros.detection.detector import CHANNEL_ORDERS
from trt_ssd_ros.engines.onnxruntime_engine import OnnxRuntimeEngine
from trt_ssd_ros.images.inputs import InputImage
from trt_ssd_ros.models.card import ModelCard
from trt_ssd_ros.models.graph import compose_input


class CalibrationReader:
    """Feeds a network one image after the other, as ONNX Runtime's CalibrationDataReader does.

    Args:
        network: The network that is calibrated.
        card: Its card.
        images: What it sees.

    Attributes:
        count: How many it has seen.
    """

    def __init__(self, network: onnx.ModelProto, card: ModelCard, images: Iterable[InputImage]) -> None:
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
