"""The parts of an image that the page outlines, by the detector's live parameters."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("rclpy")

from trt_ssd_ros.detection.region import Window
from trt_ssd_ros.web.live_parameters import views_of
from trt_ssd_ros.web.protocol import Parameter

pytestmark = pytest.mark.ros
WHOLE = {"roi": [0.0, 0.0, 1.0, 1.0], "tiles": [1, 1], "tile_overlap": 0.2, "regions": [], "whole_view": True}
RIGHT, LOWER = Window(100, 0, 200, 100), Window(0, 50, 200, 100)


def views(camera: str = "front", **changed: Any) -> list[Window]:
    """The views of a camera with an image of 200x100; a double underscore stands for the dot of a name."""
    values = WHOLE | {name.replace("__", "."): value for name, value in changed.items()}
    kinds = {name: Parameter(name, "", "", value, None, None, (), "") for name, value in values.items()}
    return views_of(kinds, camera, (200, 100))


def test_the_whole_image_is_no_view():
    assert views() == views(camera="") == []


def test_a_region_tiles_and_named_regions_are_views():
    assert views(roi=[0.5, 0.0, 0.5, 1.0]) == [RIGHT]
    tiles = [Window(0, 0, 100, 100), RIGHT]
    assert views(tiles=[2, 1], tile_overlap=0.0) == [Window(0, 0, 200, 100), *tiles]
    assert views(tiles=[2, 1], tile_overlap=0.0, whole_view=False) == tiles
    [gate] = views(regions=["gate=100,0,100,100"], whole_view=False)
    assert (gate, gate.name) == (RIGHT, "gate")


def test_a_camera_has_its_own_values_and_follows_those_that_are_not_set():
    own = {"roi": [0.5, 0.0, 0.5, 1.0], "front__roi": [0.0, 0.5, 1.0, 0.5], "rear__roi": None}
    assert [views(camera, **own) for camera in ("front", "rear", "")] == [[LOWER], [RIGHT], [RIGHT]]


@pytest.mark.parametrize(
    "wrong",
    [
        {"roi": []},
        {"roi": [float("nan")] * 4},
        {"roi": [300.0, 0.0, 10.0, 10.0]},
        {"tiles": []},
        {"tiles": [2**62, 2**62]},
        {"tiles": None},
        {"regions": ["gate"]},
        {"regions": ["gate=0,0,1,1"], "tiles": [2, 1]},
        {"tile_overlap": "much"},
    ],
)
def test_values_that_no_detector_takes_outline_nothing(wrong):
    assert views(**wrong) == []
