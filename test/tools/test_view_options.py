"""Options for the parts of an image that the detector sees, and what the tools make of them."""

from __future__ import annotations

import argparse
import json
import re

import cv2
import numpy as np
import pytest
from detect_command import run

from trt_ssd_ros.detection.region import Region
from trt_ssd_ros.detection.views import Views, named_region
from trt_ssd_ros.images.frame import Frame
from trt_ssd_ros.tools.evaluate.__main__ import main as evaluate
from trt_ssd_ros.tools.results import read_header, read_results
from trt_ssd_ros.tools.view_options import add_view_options, views_of


def parsed(*arguments: str) -> Views:
    parser = argparse.ArgumentParser()
    add_view_options(parser)
    return views_of(parser.parse_args(arguments))


@pytest.mark.parametrize(
    ("arguments", "views", "text"),
    [
        ((), Views(), "whole image"),
        (("--roi", "0,0.5,1,0.5"), Views(Region(0, 0.5, 1, 0.5)), "roi 0,0.5,1,0.5"),
        (("--tiles", "3x2"), Views(tiles=(3, 2)), "3x2 tiles with overlap 0.2"),
        (
            ("--tiles", "2x1", "--tile-overlap", "0.4", "--no-whole-view"),
            Views(tiles=(2, 1), overlap=0.4, whole=False),
            "2x1 tiles with overlap 0.4, without the whole",
        ),
        (
            ("--region", "gate=0.1,0.2,0.3,0.4", "--region", "door=10,20,30,40"),
            Views(regions=(named_region("gate=0.1,0.2,0.3,0.4"), named_region("door=10,20,30,40"))),
            "gate 0.1,0.2,0.3,0.4, door 10,20,30,40",
        ),
    ],
)
def test_options_become_views(arguments, views, text):
    assert parsed(*arguments) == views
    assert str(views) == text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--tiles", "3"), "argument --tiles: found '3', expected columns and rows, as in 3x2"),
        (("--roi", "0,0,1"), "argument --roi: found [0.0, 0.0, 1.0], expected four numbers"),
        (("--roi", "left"), "argument --roi: found 'left', expected four numbers"),
        (("--region", "gate"), "argument --region: found 'gate', expected a name and four numbers"),
        (("--region", "gate=0,0,1"), "argument --region: gate: found [0.0, 0.0, 1.0], expected four numbers"),
    ],
)
def test_mistyped_options_are_named(arguments, message, capsys):
    with pytest.raises(SystemExit, match="2"):
        parsed(*arguments)
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--tiles", "0x2"), "--tiles: found [0, 2], expected columns and rows from 1"),
        (("--tile-overlap", "1.5"), "--tile-overlap: found 1.5, expected 0 to 0.9"),
        (("--region", "a=0,0,1,1", "--region", "a=0,0,1,1"), "--region: found a twice, expected different names"),
        (
            ("--roi", "0,0,10,10", "--region", "gate=20,0,10,10"),
            "--region: gate: found it outside of --roi, expected an overlap with it",
        ),
    ],
)
def test_options_out_of_range_are_named(arguments, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        parsed(*arguments)


def test_images_that_do_not_fit_the_options_name_them():
    with pytest.raises(ValueError, match=r"^--roi: found its corner at 300, 0, expected it inside the image"):
        parsed("--roi", "300,0,10,10").windows(200, 100)
    views = parsed("--roi", "0,0,0.5,1", "--region", "gate=120,0,10,10")
    with pytest.raises(ValueError, match=r"^--region: gate: found it outside of --roi, expected an overlap"):
        views.windows(200, 100)


def test_detect_sees_tiles_and_says_so_in_its_results(tmp_path, repository, detector):
    photo, out = repository / "photos" / "coffee.jpg", tmp_path / "out"
    assert run(photo, "--tiles", "2x2", "--draw", "png", "--output", out) == 0
    [result] = read_results(out / "results.jsonl")
    assert read_header(out / "results.jsonl").detector["views"] == "2x2 tiles with overlap 0.2"
    pixels, views = cv2.imread(str(photo)), Views(tiles=(2, 2))
    expected = detector.detect_frame(Frame(pixels, "bgr"), views)
    np.testing.assert_allclose(result.detections.boxes, expected.boxes, atol=0.02)
    [picture] = (out / "annotated").iterdir()
    drawn = cv2.imread(str(picture))
    tile = views.windows(pixels.shape[1], pixels.shape[0])[-1]
    assert (drawn[tile.top, tile.left : tile.right] == 255).all(axis=-1).mean() > 0.5, "tiles are outlined"


def test_detect_does_not_resume_a_run_with_other_views(tmp_path, repository, capsys):
    photo, out = repository / "photos" / "coffee.jpg", tmp_path / "out"
    assert run(photo, "--no-draw", "--output", out, "--tiles", "2x2") == 0
    assert run(photo, "--no-draw", "--output", out, "--tiles", "2x1", "--resume") == 1
    assert "views" in capsys.readouterr().err


def test_an_image_without_the_region_is_reported_and_the_others_are_processed(tmp_path, repository):
    out = tmp_path / "out"
    assert run(repository / "photos", "--no-draw", "--roi", "520,0,80,400", "--output", out) == 0
    problems = {result.name: result.unreadable for result in read_results(out / "results.jsonl")}
    assert problems["coffee.jpg"] == ""
    assert (
        "--roi: found its corner at 520, 0, expected it inside the image of 512x512" in problems["astronaut.jpg"]
    )


def test_evaluate_sees_tiles(tmp_path, repository):
    image = {"id": 1, "file_name": "coffee.jpg", "width": 600, "height": 400}
    box = {"id": 1, "image_id": 1, "category_id": 47, "bbox": [100, 50, 300, 250], "area": 75000, "iscrowd": 0}
    annotations = {"images": [image], "annotations": [box], "categories": [{"id": 47, "name": "cup"}]}
    (tmp_path / "instances.json").write_text(json.dumps(annotations))
    common = ["--images", str(repository / "photos"), "--annotations", str(tmp_path / "instances.json")]
    assert evaluate([*common, "--output", str(tmp_path / "out"), "onnxruntime", "--tiles", "2x2"]) == 0
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert "5 views of each image" in json.dumps(report)
