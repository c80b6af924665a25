"""The parameters of a node in this process: how they start, how they are set, what a refused set leaves."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pytest
from probe import Probe
from rclpy.exceptions import ParameterNotDeclaredException
from rclpy.parameter import Parameter

from trt_ssd_ros.detection.draw import DrawStyle
from trt_ssd_ros.detection.region import Region
from trt_ssd_ros.detection.thresholds import Thresholds
from trt_ssd_ros.node.settings import DetectionParameters, declare_engine, declare_model
from trt_ssd_ros.ros.parameters import Kind, ParameterNode, ParameterSpec
from trt_ssd_ros.tracking.association import load_solver

pytestmark = pytest.mark.ros

SIZE = ParameterSpec("size", Kind.INTEGER, 1, "A size")


@pytest.fixture
def node(probe: Probe) -> Iterator[ParameterNode]:
    """A node for parameters."""
    node = ParameterNode("example", context=probe.context)
    probe.add_node(node)
    yield node
    node.destroy_node()


def started_with(probe: Probe, **overrides: Any) -> ParameterNode:
    """A node that parameters were given to when it started."""
    parameters = [Parameter(name, value=value) for name, value in overrides.items()]
    return ParameterNode("started", context=probe.context, parameter_overrides=parameters)


def test_the_callback_sees_what_was_set(node, probe):
    node.declare(SIZE)
    seen: list[int] = []
    node.call_after_set(lambda: seen.append(node.get_parameter("size").value))
    node.set_parameters([Parameter("size", value=2)])
    assert seen == [2]
    probe.set_parameter("size", 3, "example")
    assert seen == [2, 3], "at once: the next image is detected with it"
    assert not node.set_parameters([Parameter("size", value="wide")])[0].successful
    assert seen == [2, 3]


def test_the_card_gives_the_defaults(node, card):
    settings = DetectionParameters(node, card).current
    thresholds = settings.thresholds
    assert thresholds.iou == card.defaults.iou_threshold
    assert thresholds.max_detections == card.defaults.max_detections
    assert thresholds == Thresholds.uniform(card)
    assert node.describe_parameter("max_detections").integer_range[0].to_value == card.defaults.candidates
    assert (settings.score_threshold, settings.class_id_format) == (card.defaults.score_threshold, "name")
    assert settings.debug_image


def test_what_is_set_is_in_the_next_settings(node, probe, card):
    settings = DetectionParameters(node, card)
    before = settings.current
    values = {"class_thresholds": ["cat=0.9"], "include_classes": ["cat", "dog"], "roi": [0, 0, 640, 480]}
    values |= {"max_rate": 5, "debug_line_width": 7, "debug_labels": False, "class_id_format": "id"}
    assert node.set_parameters_atomically([Parameter(n, value=v) for n, v in values.items()]).successful
    probe.spin_until(lambda: settings.current is not before and settings.current.max_rate, "the new settings")
    after = settings.current
    on = {card.labels[n]: score for n, score in enumerate(after.thresholds.classes) if score <= 1}
    assert on == {"cat": 0.9, "dog": card.defaults.score_threshold}
    assert after.views.region == Region(0, 0, 640, 480)
    assert (after.max_rate, after.style, after.class_id_format) == (5.0, DrawStyle(7, False), "id")
    assert before.views.region == Region(0, 0, 1, 1), "a frame in work keeps what it began with"


def test_tracking_lowers_the_thresholds_of_the_graph_and_keeps_those_of_the_results(node, card):
    settings = DetectionParameters(node, card)
    own = {"class_thresholds": ["cat=0.05"], "exclude_classes": ["dog"], "score_threshold": 0.5}
    own |= {"tracking": True, "track_low_threshold": 0.2, "track_max_gap": 3, "track_confirm_after": 5}
    assert node.set_parameters_atomically([Parameter(n, value=v) for n, v in own.items()]).successful
    asked, tracker = settings.current.thresholds, settings.current.tracker
    cat, dog, cup = map(card.labels.index, ("cat", "dog", "cup"))
    assert [asked.classes[n] for n in (cat, cup)] == [0.05, 0.2]
    assert asked.classes[dog] > 1
    assert asked.lowest == 0.05
    assert [tracker.thresholds[n] for n in (cat, cup)] == [0.05, 0.5]
    assert (tracker.max_gap, tracker.confirm_after) == (3.0, 5)
    assert node.set_parameters([Parameter("tracking", value=False)])[0].successful
    assert (settings.current.tracker, settings.current.thresholds.classes[cup]) == (None, 0.5)


def test_tracking_without_scipy_is_refused_with_what_to_install(node, card, monkeypatch):
    settings = DetectionParameters(node, card)
    monkeypatch.setitem(sys.modules, "scipy.optimize", None)
    load_solver.cache_clear()
    refused = node.set_parameters([Parameter("tracking", value=True)])[0]
    assert refused.reason.startswith("tracking: found true, but tracking needs scipy")
    assert "pip install scipy" in refused.reason
    assert settings.current.tracker is None


def test_callers_hear_of_changes_only(node, probe, card):
    settings = DetectionParameters(node, card)
    heard: list[tuple[float, float]] = []
    settings.call_when_changed(lambda before: heard.append((before.max_rate, settings.current.max_rate)))
    for name, value in [("max_rate", 3.0), ("max_rate", 3.0), ("use_sim_time", False), ("max_rate", 5.0)]:
        node.set_parameters([Parameter(name, value=value)])
        probe.spin(0.05)
    assert heard == [(0.0, 3.0), (3.0, 5.0)]


REFUSED = [
    ({"score_threshold": 1.5}, "score_threshold: found 1.5, expected a number from 0 to 1"),
    ({"max_rate": 7.0, "include_classes": ["Cat"]}, "include_classes: found 'Cat', expected perhaps 'cat'"),
    (
        {"include_classes": ["cat"], "exclude_classes": ["cat"]},
        "include_classes: found ['cat'], all of them in exclude_",
    ),
    ({"class_thresholds": ["cat=0.5", "cat=0.6"]}, "class_thresholds: found 'cat' twice"),
    ({"roi": [0.0, 0.0, 1.0]}, "roi: found [0.0, 0.0, 1.0], expected four numbers"),
    ({"roi": [0.0, 0.0, 0.5, 1.0], "regions": ["gate=0.6,0,0.2,1"]}, "regions: gate: found it outside of roi"),
    ({"max_detections": None}, "max_detections: found nothing, expected a whole number"),
    (
        {"debug_image": False, "model": "other"},
        "model is read-only while the node runs: the node opens the engine with it at the start; restart the "
        "node with -p model:=other",
    ),
    ({"cpu_threads": 2}, "cpu_threads is read-only while the node runs: the node opens the engine with it"),
    ({"dla_core": 1}, "dla_core is read-only while the node runs: the node builds the plan with it at the start"),
]


@pytest.mark.parametrize(("values", "reason"), REFUSED, ids=[" ".join(values) for values, _ in REFUSED])
def test_a_refused_set_changes_nothing_and_says_why(node, probe, card, values, reason):
    declare_model(node)
    declare_engine(node)
    settings = DetectionParameters(node, card)
    before = settings.current
    parameters = [Parameter(name, value=value) for name, value in values.items()]
    held = {name: (node.get_parameter(name).value, node.describe_parameter(name)) for name in values}
    result = node.set_parameters_atomically(parameters)
    assert not result.successful
    assert result.reason.startswith(reason)
    probe.spin(0.05)
    assert settings.current == before
    assert held == {name: (node.get_parameter(name).value, node.describe_parameter(name)) for name in values}


def test_several_in_one_call_are_set_one_by_one(node, card):
    DetectionParameters(node, card)
    wanted = {"iou_threshold": 0.25, "score_threshold": 2.0, "max_rate": 9}
    results = node.set_parameters([Parameter(name, value=value) for name, value in wanted.items()])
    assert [result.successful for result in results] == [True, False, True]
    assert [node.get_parameter(name).value for name in wanted] == [0.25, card.defaults.score_threshold, 9.0]


def test_a_name_that_is_no_parameter_is_answered_with_those_near(node, probe, card):
    DetectionParameters(node, card)
    reason = probe.set_parameter("score_treshold", 0.5, "example").reason
    assert "score_treshold (did you mean score_threshold" in reason
    with pytest.raises(ParameterNotDeclaredException, match="xyz"):
        node.set_parameters([Parameter("xyz", value=1)])


def test_other_parameters_of_a_node_are_left_to_rclpy(node, card):
    DetectionParameters(node, card)
    node.declare_parameter("other", "text")
    assert node.set_parameters([Parameter("other", value="words")])[0].successful
    assert not node.set_parameters([Parameter("other", value=1)])[0].successful


@pytest.mark.parametrize(
    ("overrides", "reason"),
    [
        ({"max_detections": 401}, "max_detections: found 401, expected a whole number from 1 to 400"),
        ({"score_threshold": "high"}, "score_threshold: found 'high', expected a number from 0 to 1"),
        ({"exclude_classes": ["kat"]}, "exclude_classes: found 'kat', expected perhaps 'cat'"),
        ({"class_id_format": "rune"}, "class_id_format: found 'rune', expected one of name, id"),
        ({"roi": [0.5, 0.5, 0.6, 0.1]}, "roi: found"),
        ({"roi": [0.0, 0.0, 0.5, 1.0], "regions": ["gate=0.6,0,0.2,1"]}, "regions: gate: found it outside of roi"),
    ],
)
def test_a_node_does_not_start_with_what_it_refuses_later(probe, card, overrides, reason):
    node = started_with(probe, **overrides)
    with pytest.raises(ValueError, match="found") as refusal:
        DetectionParameters(node, card)
    assert str(refusal.value).startswith(reason)
    node.destroy_node()


def test_a_start_reads_values_as_a_set_does(probe, card):
    node = started_with(probe, score_threshold=1, include_classes="cat", exclude_classes=None, roi=[0, 0, 64, 48])
    settings = DetectionParameters(node, card).current
    assert node.get_parameter("score_threshold").type_ == Kind.DOUBLE
    assert node.get_parameter("exclude_classes").type_ == Kind.STRING_ARRAY
    assert (settings.score_threshold, settings.thresholds.lowest, settings.views.region.width) == (1.0, 1.0, 64)
    node.destroy_node()
