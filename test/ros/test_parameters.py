"""The parameters as others see them, and the way to be told of their change on every ROS."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from probe import Probe
from rcl_interfaces.srv import DescribeParameters
from rclpy.exceptions import InvalidParameterValueException
from rclpy.node import Node
from rclpy.parameter import Parameter

from trt_ssd_ros.core.model_card import ModelCard
from trt_ssd_ros.ros.parameters import DetectionParameters, call_after_set, declare_choice

pytestmark = pytest.mark.ros

LIVE = {"score_threshold", "iou_threshold", "max_detections", "debug_image"}


class HumbleNode(Node):
    """A node without the callback that Humble does not have."""

    @property
    def add_post_set_parameters_callback(self) -> Any:
        """Not there."""
        raise AttributeError


@pytest.fixture(params=[Node, HumbleNode], ids=["with post-set callback", "without"])
def node(request: Any, probe: Probe) -> Iterator[Node]:
    """A node for parameters."""
    node = request.param("example", context=probe.context)
    probe.add_node(node)
    yield node
    node.destroy_node()


def test_the_callback_sees_what_was_set(node: Node, probe: Probe) -> None:
    node.declare_parameter("size", 1)
    seen: list[int] = []
    call_after_set(node, lambda: seen.append(node.get_parameter("size").value))
    node.set_parameters([Parameter("size", value=2)])
    probe.spin_until(lambda: seen, "the callback")
    probe.set_parameter("size", 3, "example")
    probe.spin_until(lambda: len(seen) > 1, "the second callback")
    probe.spin(0.1)
    assert seen == [2, 3]


def test_all_are_described_and_only_what_acts_at_once_can_be_set(
    node: Node, probe: Probe, card: ModelCard
) -> None:
    settings = DetectionParameters(node, card)
    names = [*LIVE, "class_id_format"]
    described = probe.call(
        DescribeParameters, "example/describe_parameters", DescribeParameters.Request(names=names)
    ).descriptors
    assert {entry.name for entry in described if not entry.read_only} == LIVE
    assert all(len(entry.description) > 15 for entry in described)
    thresholds = settings.thresholds()
    assert thresholds.iou == card.defaults.iou_threshold
    assert thresholds.max_detections == card.defaults.max_detections
    assert set(thresholds.classes) == {card.defaults.score_threshold}
    assert len(thresholds.classes) == len(card.labels)


def test_a_choice_is_one_of_its_words(probe: Probe) -> None:
    words = ("red", "green")
    assert declare_choice(probe.node, "first", words, "A colour") == "red"
    node = Node("painter", context=probe.context, parameter_overrides=[Parameter("colour", value="blue")])
    with pytest.raises(ValueError, match="colour: found 'blue', expected one of red, green"):
        declare_choice(node, "colour", words, "A colour")
    node.destroy_node()


def test_bounds_hold_from_the_start(probe: Probe, card: ModelCard) -> None:
    override = Parameter("max_detections", value=card.defaults.candidates + 1)
    node = Node("bounded", context=probe.context, parameter_overrides=[override])
    with pytest.raises(InvalidParameterValueException, match="max_detections"):
        DetectionParameters(node, card)
    node.destroy_node()
