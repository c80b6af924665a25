"""The renderer against geometry by hand, and the places of objects against the truth and the baselines."""

from __future__ import annotations

import json

import numpy as np
import pytest

from trt_ssd_ros.bench.depth.__main__ import BASELINES, OURS, main, outcome, summary
from trt_ssd_ros.bench.depth.rendering import Cuboid, Cylinder, Plane, deviation, measured, render, turned
from trt_ssd_ros.bench.depth.scenes import CAMERA, RECIPES, STRESS, new_scene
from trt_ssd_ros.depth.camera_model import PinholeCamera

SMALL = PinholeCamera(64, 48, 50.0, 50.0, 32.0, 24.0)
SEEDS = range(900, 908)


@pytest.mark.parametrize(
    ("solid", "depth"),
    [
        (Plane(np.array([0.0, 0.0, 1.0]), 3.0), 3.0),
        (Plane(np.array([0.6, 0.0, 0.8]), 2.4), 3.0),
        (Cuboid(np.array([0, 0, 2.0]), np.array([1.0, 1, 0.6]), np.eye(3)), 1.7),
        (Cuboid(np.array([0, 0, 2.0]), np.array([1.0, 1, 1.0]), turned(np.pi / 4)), 2 - np.sqrt(0.5)),
        (Cylinder(np.array([0, 0, 2.0]), 0.3, 1.0, np.eye(3)), 1.7),
        (Cylinder(np.array([0, 0, 2.0]), 0.3, 1.0, turned(0, np.pi / 2)), 1.7),
        (Cylinder(np.array([0, 0, 2.0]), 0.3, 1.0, turned(0, 0, np.pi / 2)), 1.5),
        (Cuboid(np.array([0, 0, -2.0]), np.array([1.0, 1, 1.0]), np.eye(3)), np.inf),
        (Plane(np.array([0.0, 0.0, 1.0]), -3.0), np.inf),
    ],
)
def test_the_ray_of_the_optical_axis_hits_a_solid_where_geometry_says(solid, depth):
    assert render([solid], SMALL)[24, 32] == pytest.approx(depth)


def test_the_outline_of_a_box_is_its_projection_and_the_nearer_solid_hides_the_other():
    box = Cuboid(np.array([0.213, 0.013, 2.0]), np.array([0.4, 0.4, 0.2]), np.eye(3))
    image = render([Plane(np.array([0.0, 0.0, 1.0]), 4.0), box], SMALL)
    rows, columns = np.nonzero(image < 3.9)
    u, v = SMALL.project([[0.013, -0.187, 1.9], [0.413, 0.213, 1.9]]).T
    assert (columns.min(), columns.max()) == (np.ceil(u[0]), np.floor(u[1]))
    assert (rows.min(), rows.max()) == (np.ceil(v[0]), np.floor(v[1]))


def test_the_noise_has_its_deviation_and_the_holes_their_part():
    image = measured(np.random.default_rng(0), np.full((200, 300), 3.0), 0.2)
    assert (image == 0).mean() == pytest.approx(0.2, abs=0.03)
    assert image[image > 0].std() / 1000 == pytest.approx(deviation(np.array(3.0)), rel=0.1)


def test_a_seed_gives_one_scene():
    first, again, other = (new_scene("occluder", seed) for seed in (3, 3, 4))
    assert (first.depth.samples == again.depth.samples).all()
    assert (first.box == again.box).all()
    assert (first.box != other.box).any()


@pytest.mark.parametrize("name", [name for name in RECIPES if name != STRESS])
def test_places_are_nearer_to_the_truth_than_the_aim_and_than_the_baselines(name):
    scenes = [new_scene(name, seed) for seed in SEEDS]
    result = summary([outcome(scene) for scene in scenes])
    ours = result.errors[OURS]
    assert ours.missing == 0
    assert ours.beyond <= 1 / len(scenes)
    assert all(ours.p50 < result.errors[baseline].p50 for baseline in BASELINES)
    assert result.inside >= 1 - 2 / len(scenes)


def test_the_benchmark_writes_its_figures(tmp_path, capsys):
    path = tmp_path / "place.json"
    assert main(["--seeds", "1", "--repeats", "10", "--json", str(path)]) == 0
    figures = json.loads(path.read_text())
    assert set(figures["places"]) == {*RECIPES, "all but the last"}
    assert set(figures["milliseconds"]) == {"1", "5", "20"}
    total = figures["milliseconds for the scenes"]
    assert set(total) == set(figures["milliseconds"]["1"])
    printed = capsys.readouterr().out
    assert "errors in units of the aim" in printed
    assert f"ms for {len(RECIPES) - 1} scenes" in printed


def test_scenes_are_as_hard_as_their_recipes_say():
    for name, recipe in RECIPES.items():
        scene = new_scene(name, 1)
        x1, y1, x2, y2 = np.clip(scene.box, 0, [CAMERA.width, CAMERA.height] * 2).astype(int)
        holes = (scene.depth.samples[y1:y2, x1:x2] == 0).mean()
        assert scene.filled <= 0.5 if recipe.leaning or recipe.loose >= 0.5 else scene.filled > 0.3
        assert holes < 3 * recipe.holes + 0.05
