"""The tracker against ByteTrack of `trackers` on generated sequences, judged by TrackEval."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trt_ssd_ros.bench.tracking.sequences import SCENES, half, moving_grid, new_sequence

PEERS = "TRT_SSD_TRACKING_PEERS"


@pytest.mark.parametrize("scene", SCENES)
def test_a_seed_gives_one_sequence_with_objects_that_are_found(scene):
    first, again, other = (new_sequence(scene, seed) for seed in (3, 3, 4))
    assert all((a.found.boxes == b.found.boxes).all() for a, b in zip(first, again, strict=True))
    assert any(a.found.boxes.shape != b.found.boxes.shape for a, b in zip(first, other, strict=True))
    objects, found = sum(len(image.truth.boxes) for image in first), sum(len(image.found) for image in first)
    assert 0.6 * objects < found < 1.1 * objects
    assert np.diff([image.stamp_ns for image in first]).min() > 33_000_000


def test_half_of_a_sequence_is_in_order():
    images = moving_grid(5, 21)
    stamps = [image.stamp_ns for image in half(images, 1)]
    assert len(stamps) == 10
    assert stamps == sorted(stamps)


@pytest.fixture(scope="module")
def figures(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the benchmark writes for one seed, with the peers on its search path."""
    if PEERS not in os.environ:
        pytest.skip(f"{PEERS} is not set: see the command at the top of bench/tracking/__main__.py")
    path = tmp_path_factory.mktemp("tracking") / "tracking.json"
    command = (
        sys.executable,
        "-m",
        "trt_ssd_ros.bench.tracking",
        "--seeds",
        "1",
        "--images",
        "20",
        "--json",
        path,
    )
    search = os.pathsep.join([str(repository), os.environ.get("PYTHONPATH", ""), os.environ[PEERS]])
    done = subprocess.run(
        command, env=os.environ | {"PYTHONPATH": search}, capture_output=True, text=True, timeout=500, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(path.read_text())["identity"]["all scenes"]


@pytest.mark.parametrize("baseline", ["trackers, with stamps", "trackers, counting images"])
@pytest.mark.parametrize("images", ["all images", "half"])
@pytest.mark.parametrize("measure", ["hota", "idf1"])
def test_identity_is_kept_at_least_as_well_as_by_the_baseline(figures, baseline, images, measure):
    assert figures["ours"][images][measure] >= figures[baseline][images][measure]


def test_dropped_images_cost_little_and_less_than_a_tracker_loses_that_counts_images(figures):
    lost = {name: rows["all images"]["idf1"] - rows["half"]["idf1"] for name, rows in figures.items()}
    assert lost["ours"] <= 3
    assert lost["ours"] < lost["trackers, counting images"]
