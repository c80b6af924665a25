"""DetectionLoop: an image that the engine refuses is dropped alone, and no other runs again for it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from std_msgs.msg import Header

from trt_ssd_ros.bench.ros.reference_nodes import BlankEngine
from trt_ssd_ros.detection.detector import Detector
from trt_ssd_ros.detection.engine import EngineUnavailableError, Tensors
from trt_ssd_ros.detection.thresholds import Thresholds
from trt_ssd_ros.detection.views import WHOLE
from trt_ssd_ros.images.frame import Frame
from trt_ssd_ros.models.card import ModelCard
from trt_ssd_ros.node.composed_input import CapturedImage
from trt_ssd_ros.node.detection_loop import DetectionLoop

pytestmark = pytest.mark.ros

UNREADABLE = 7


class PickyEngine(BlankEngine):
    """Engine that raises an error for images that begin with UNREADABLE."""

    def __init__(self, error: Exception) -> None:
        self.runs = 0
        self._error = error

    def run(self, inputs: Tensors) -> Tensors:
        """Return nothing found."""
        self.runs += 1
        if (inputs["image"][:, 0, 0, 0] == UNREADABLE).any():
            raise self._error
        return super().run(inputs)


class Channel(SimpleNamespace):
    """What the loop asks of a camera's channel, with its answers."""

    def __init__(self, card: ModelCard) -> None:
        settings = SimpleNamespace(thresholds=Thresholds.uniform(card), views=WHOLE)
        super().__init__(settings=SimpleNamespace(current=settings), times=SimpleNamespace(engine=[]), ends=[])

    def is_too_old(self, *_: object) -> bool:
        """No image is."""
        return False

    def refuse(self, reason: str) -> None:
        """Note the reason."""
        self.ends.append(reason)

    def publish(self, *_: object) -> None:
        """Note it."""
        self.ends.append("published")


def image(channel: Channel, first: int, card: ModelCard) -> Any:
    """An image that was taken, of the network's size."""
    shape = (card.input.height, card.input.width, 3)
    captured = CapturedImage(Header(), Frame(np.full(shape, first, np.uint8), "bgr"))
    return SimpleNamespace(channel=channel, message=captured, time_ns=1)


@pytest.mark.parametrize(("resize_on", "runs"), [("engine", 3), ("host", 4)])
@pytest.mark.parametrize("error", [ValueError("too large"), EngineUnavailableError("no server")])
def test_only_the_refused_image_is_dropped(card, resize_on, runs, error):
    engine = PickyEngine(error)
    detector = Detector(engine, card)
    detector.resize_on = resize_on
    model, failures = SimpleNamespace(detector=detector, cpu_threads=1), []
    loop = DetectionLoop(SimpleNamespace(ok=lambda: True), model, failures.append)
    channels = [Channel(card) for _ in range(3)]
    loop.process([image(its, number, card) for its, number in zip(channels, (1, UNREADABLE, 2), strict=True)])
    ends = [channel.ends for channel in channels]
    if resize_on == "host" and isinstance(error, EngineUnavailableError):
        assert ends == [["no server"]] * 3, "the batch could not run, and would not one by one"
        assert engine.runs == 1
    else:
        assert ends == [["published"], [str(error)], ["published"]]
        assert engine.runs == runs
    assert failures == []
