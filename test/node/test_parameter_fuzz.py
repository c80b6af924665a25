"""A great many random sets of parameters while images flow: no crash, and each acts as a whole or not at all.

TRT_SSD_ENDURANCE=1 makes thousands of them.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from node_process import NodeProcess
from parameter_client import ParameterClient
from probe import DetectorClient, Probe, new_domain
from random_parameters import (
    HEIGHT,
    WIDTH,
    expected_detections,
    lowest_scores,
    reported_classes,
    right_values,
    wrong_values,
)
from rclpy.qos import QoSDurabilityPolicy, QoSProfile
from std_msgs.msg import Header
from vision_msgs.msg import Detection2DArray, LabelInfo

from trt_ssd_ros.detection.detector import Detector
from trt_ssd_ros.engines.onnxruntime_engine import OnnxRuntimeEngine
from trt_ssd_ros.models.card import ModelCard
from trt_ssd_ros.node.messages import image_to_msg
from trt_ssd_ros.node.parameter_table import DETECTION
from trt_ssd_ros.ros.stamps import nanoseconds

pytestmark = pytest.mark.ros

EXAMPLES = 1500 if os.environ.get("TRT_SSD_ENDURANCE") == "1" else 20
PHASES = (Phase.explicit, Phase.reuse, Phase.generate)  # a node is slow to shrink on, and the examples are short
NAMES = [spec.name for spec in DETECTION]
LATCHED = QoSProfile(depth=1, durability=QoSDurabilityPolicy.TRANSIENT_LOCAL)


class Fuzzed:
    """A detector node whose parameters are set at random, and what they should be.

    Attributes:
        values: What its parameters should be.
        sets: How many sets were tried.
        accepted: How many of them were right.
    """

    def __init__(self, probe: Probe, detector: Detector, pixels: np.ndarray) -> None:
        self.sets = self.accepted = 0
        self._detector, self._pixels = detector, pixels
        self._client = DetectorClient(probe)
        self._parameters = ParameterClient(probe)
        self._infos = probe.receive(LabelInfo, "label_info", LATCHED)
        self._client.ask(self._image())
        self.values = self._defaults = self._parameters.get(NAMES)
        probe.node.create_timer(0.05, lambda: self._client.send(self._image()))

    def _image(self) -> Any:
        return image_to_msg(self._pixels, "bgr", Header(stamp=self._client.probe.node.get_clock().now().to_msg()))

    def reset(self) -> None:
        """Set the defaults, and forget what came before."""
        self._client.forget()
        del self._infos[:-1]
        assert self._parameters.set_together(self._defaults).successful
        self.values = self._defaults

    def set(self, values: Mapping[str, Any], wrong: Mapping[str, Any], together: bool) -> None:
        """Set right and wrong values and check what becomes of them."""
        every = {**values, **wrong}
        if together:
            results = dict.fromkeys(every, self._parameters.set_together(every))
            accepted = not wrong and self._take(values)
            assert {result.successful for result in results.values()} <= {accepted}, (every, results)
        else:
            results = dict(zip(every, self._parameters.set_one_by_one(every), strict=True))
            for name, result in results.items():
                assert result.successful == (name not in wrong and self._take({name: every[name]})), (name, result)
        assert all(result.successful or result.reason for result in results.values())
        self.sets += 1
        assert self._parameters.get(NAMES) == self.values
        self._compare_next_frame()

    def _take(self, values: Mapping[str, Any]) -> bool:
        """Expect values that are right one by one, if they are so together."""
        after = {**self.values, **values}
        if not reported_classes(after, self._detector.card):
            return False
        self.values = after
        self.accepted += 1
        return True

    def _compare_next_frame(self) -> None:
        since = self._client.probe.node.get_clock().now().nanoseconds
        self._client.probe.spin_until(
            lambda: nanoseconds(self._client.answers[-1].header.stamp) >= since, f"an answer with {self.values}"
        )
        self._compare(self._client.answers[-1])
        lowest = min(lowest_scores(self.values, self._detector.card).values())
        self._client.probe.spin_until(
            lambda: self._infos[-1].threshold == np.float32(lowest), f"label_info with {lowest}"
        )

    def _compare(self, answer: Detection2DArray) -> None:
        names, by_name = self._detector.card.labels, self.values["class_id_format"] == "name"
        expected = expected_detections(self.values, self._detector, self._pixels)
        class_ids = [names[n] if by_name else str(n + 1) for n in expected.class_ids]
        assert [d.results[0].hypothesis.class_id for d in answer.detections] == class_ids
        scores = [d.results[0].hypothesis.score for d in answer.detections]
        assert scores == pytest.approx(expected.scores, abs=1e-5)
        boxes = [(d.bbox.center.position, d.bbox.size_x / 2, d.bbox.size_y / 2) for d in answer.detections]
        corners = np.array([(c.x - x, c.y - y, c.x + x, c.y + y) for c, x, y in boxes]).reshape(-1, 4)
        np.testing.assert_allclose(corners, expected.boxes, atol=0.01)


@pytest.fixture(scope="module")
def fuzzed(
    tmp_path_factory: pytest.TempPathFactory, shipped_engine: OnnxRuntimeEngine, card: ModelCard, photo: Any
) -> Iterator[Fuzzed]:
    """A running detector node."""
    log = tmp_path_factory.mktemp("fuzz") / "process.log"
    command = [sys.executable, "-m", "trt_ssd_ros.node.detector_node"]
    with (
        new_domain() as domain,
        closing(NodeProcess(command, domain, log)) as process,
        closing(Probe(domain)) as probe,
    ):
        detector = Detector(shipped_engine, card)
        detector.resize_on = "host"  # as the node does on the CPU
        fuzzed = Fuzzed(probe, detector, photo("coffee", WIDTH, HEIGHT))
        yield fuzzed
        print(f"{fuzzed.sets} sets, {fuzzed.accepted} accepted")
        assert "image dropped" not in process.log


def some_of(strategies: Mapping[str, st.SearchStrategy[Any]], most: int) -> st.SearchStrategy[dict[str, Any]]:
    """Values for a few of the parameters."""
    names = st.lists(st.sampled_from(sorted(strategies)), unique=True, max_size=most)
    return names.flatmap(lambda chosen: st.fixed_dictionaries({name: strategies[name] for name in chosen}))


@settings(max_examples=EXAMPLES, phases=PHASES, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_a_set_acts_on_the_next_frame_as_a_whole_or_not_at_all(fuzzed, card, data):
    fuzzed.reset()
    right, wrong = some_of(right_values(tuple(card.classes.values())), 5), some_of(wrong_values(), 2)
    for _ in range(data.draw(st.integers(1, 6), label="sets")):
        refused = data.draw(st.one_of(st.just({}), wrong), label="wrong")
        values = {name: v for name, v in data.draw(right, label="right").items() if name not in refused}
        fuzzed.set(values, refused, together=data.draw(st.booleans(), label="together"))
