"""Annotations for Foxglove: what they hold, and what is said where foxglove_msgs is missing."""

from __future__ import annotations

import importlib.util

import foxglove_stand_in
import numpy as np
import pytest
from builtin_interfaces.msg import Time
from image_messages import blank_image

from trt_ssd_ros.detection.detections import Detections
from trt_ssd_ros.detection.draw import DrawStyle, class_color, line_width
from trt_ssd_ros.node.annotations import Annotator

pytestmark = pytest.mark.ros
STAMP, SIZE, STYLE = Time(sec=3, nanosec=5), (1280, 720), DrawStyle()
FOUND = Detections(
    np.array([[10, 20, 30.5, 40], [100, 0, 200, 50]], np.float32),
    np.array([0.914, 0.5], np.float32),
    np.array([1, 0]),
)


def annotate(found: Detections, style: DrawStyle = STYLE) -> foxglove_stand_in.ImageAnnotations:
    annotated: foxglove_stand_in.ImageAnnotations
    annotated = Annotator(["cup", "cat \N{CAT FACE}"], foxglove_stand_in).annotate(found, STAMP, SIZE, style)
    return annotated


def rgb(color: foxglove_stand_in.Color) -> tuple[int, ...]:
    assert color.a == 1.0, "opaque"
    return tuple(round(255 * level) for level in (color.r, color.g, color.b))


def test_every_detection_is_outlined_and_named_the_best_on_top():
    message = annotate(FOUND)
    worse, best = message.points
    assert [(p.x, p.y) for p in best.points] == [(10, 20), (30.5, 20), (30.5, 40), (10, 40)]
    assert [(p.x, p.y) for p in worse.points] == [(100, 0), (200, 0), (200, 50), (100, 50)]
    assert [text.text for text in message.texts] == ["cup 50%", "cat \N{CAT FACE} 91%"]
    for outline, text, class_id in zip(message.points, message.texts, (0, 1), strict=True):
        assert (outline.type, outline.thickness) == (2, line_width(*SIZE))
        assert rgb(outline.outline_color) == rgb(text.background_color) == class_color(class_id)
        assert rgb(text.text_color) in ((0, 0, 0), (255, 255, 255))
        assert (text.position.x, text.position.y) == (outline.points[0].x, outline.points[0].y)
        assert outline.timestamp == text.timestamp == STAMP
        assert 10 < text.font_size < 40


def test_the_text_of_a_tracked_object_shows_its_number():
    ids = np.array(["1f3a-12", ""])
    tracked = Detections(FOUND.boxes, FOUND.scores, FOUND.class_ids, ids)
    assert [text.text for text in annotate(tracked).texts] == ["cup 50%", "cat \N{CAT FACE} 12 91%"]


def test_they_follow_the_style_of_debug_image_and_may_be_empty():
    plain = annotate(FOUND, DrawStyle(line_width=7, captions=False))
    assert [outline.thickness for outline in plain.points] == [7.0, 7.0]
    assert plain.texts == []
    assert annotate(Detections.empty()) == foxglove_stand_in.ImageAnnotations()


@pytest.mark.skipif(importlib.util.find_spec("foxglove_msgs") is not None, reason="foxglove_msgs is installed")
def test_a_missing_package_is_named_once_and_the_node_detects_without(client, start_blank_detector):
    process = start_blank_detector(annotations=True)
    for _ in range(3):
        client.ask(blank_image())
    assert process.log.count("annotations needs foxglove_msgs") == 1
    assert "foxglove-msgs; the node continues without annotations" in process.log
    assert "/annotations" not in dict(client.probe.node.get_topic_names_and_types())
