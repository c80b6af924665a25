"""OpenedModel: its description, how many images are taken at once, and which sizes the engine resizes."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from trt_ssd_ros.bench.ros.reference_nodes import BlankEngine
from trt_ssd_ros.detection.detector import Detector
from trt_ssd_ros.detection.engine import Tensors
from trt_ssd_ros.engines.backend import KEPT_SIZES, EngineChoice
from trt_ssd_ros.models.card import ModelCard
from trt_ssd_ros.node.opened_model import OpenedModel


class FlyingEngine(BlankEngine):
    """Engine that starts a run while another one is in flight, as TensorRT does."""

    kind = "tensorrt"

    def start(self, inputs: Tensors) -> Callable[[], Tensors]:
        """Return the outputs at once."""
        return lambda: self.run(inputs)


def opened_on(engine: BlankEngine, resize_on: str, cameras: int) -> tuple[OpenedModel, Detector]:
    """A model that is open for cameras with one view each."""

    def open_engine(card: ModelCard, *_: object) -> Detector:
        detector = Detector(engine, card)
        detector.resize_on = resize_on
        return detector

    model = OpenedModel("ssdlite_mobilenet_v2_coco", EngineChoice(), open_engine, lambda: False)
    return model, model.open(cameras, cameras)


@pytest.mark.parametrize(
    ("engine", "resize_on", "batch"),
    [(FlyingEngine(), "engine", 3), (BlankEngine(), "engine", 1), (BlankEngine(), "host", 3)],
    ids=["in flight", "one by one", "in a batch"],
)
def test_images_that_would_only_wait_for_one_another_are_not_taken_together(engine, resize_on, batch):
    model, _ = opened_on(engine, resize_on, cameras=3)
    assert model.batch == batch


@pytest.mark.parametrize(("engine", "most"), [(FlyingEngine(), KEPT_SIZES["tensorrt"]), (BlankEngine(), 99)])
def test_the_engine_resizes_as_many_sizes_as_it_keeps(engine, most):
    _, detector = opened_on(engine, "engine", cameras=1)
    admitted = [detector.engine_sizes.admits((height, 8)) for height in range(1, 100)]
    assert sum(admitted) == most


def test_a_model_that_a_shutdown_has_closed_can_be_described():
    model, _ = opened_on(BlankEngine(), "engine", cameras=1)
    assert model.described == "ssdlite_mobilenet_v2_coco on blank engine, fp32, resize on the engine"
    model.close()
    assert model.described == "ssdlite_mobilenet_v2_coco, closed"
