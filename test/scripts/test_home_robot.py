"""The data set that scripts/home_robot.py makes of a tiny checkout in the format of Cartucho/mAP."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import cv2
import home_robot
import numpy as np
import pytest

from trt_ssd_ros.tools.evaluate.annotation_files import read_annotations

LINES = ["sofa 1 2 31 22", "tincan 5 6 9 16", "heater 0 0 9 9", "chair 3 4 8 14 difficult"]


def write_checkout(folder: Path, texts: dict[str, list[str]]) -> Path:
    (folder / home_robot.PHOTOS).mkdir(parents=True)
    (folder / home_robot.TEXTS).mkdir(parents=True)
    for name, lines in texts.items():
        cv2.imwrite(str(folder / home_robot.PHOTOS / f"{name}.jpg"), np.zeros((24, 32, 3), np.uint8))
        (folder / home_robot.TEXTS / f"{name}.txt").write_text("\n".join(lines) + "\n")
    return folder


def run(monkeypatch: pytest.MonkeyPatch, checkout: Path, output: Path, *flags: str) -> None:
    command = ["home_robot.py", "--checkout", str(checkout), "--output", str(output), *flags]
    monkeypatch.setattr(sys, "argv", command)
    home_robot.main()


def test_classes_are_renamed_ignored_or_left_out(tmp_path, monkeypatch, capsys):
    run(monkeypatch, write_checkout(tmp_path / "mAP", {"b": LINES, "a": ["bed 0 0 4 4"]}), tmp_path / "out")
    data = json.loads((tmp_path / "out" / "instances.json").read_text())
    names = {item["id"]: item["name"] for item in data["categories"]}
    found = [(a["image_id"], names[a["category_id"]], a["bbox"], a["iscrowd"]) for a in data["annotations"]]
    assert found == [
        (1, "bed", [0, 0, 4, 4], 0),
        (2, "couch", [1, 2, 30, 20], 0),
        (2, "cup", [5, 6, 4, 10], 1),
        (2, "bottle", [5, 6, 4, 10], 1),
        (2, "chair", [3, 4, 5, 10], 1),
    ]
    assert data["images"][1] == {"id": 2, "file_name": "b.jpg", "width": 32, "height": 24}
    said = capsys.readouterr().out
    assert "2 images, 2 boxes, 3 ignored regions\nleft out: heater 1\n" in said


def test_evaluate_reads_the_data_set(tmp_path, monkeypatch):
    run(monkeypatch, write_checkout(tmp_path / "mAP", {"a": LINES}), tmp_path / "out")
    (image,) = read_annotations(tmp_path / "out" / "instances.json", tmp_path / "out" / "images").images
    assert [(box.label, box.ignored) for box in image.boxes][:2] == [("couch", False), ("cup", True)]
    assert image.boxes[0].corners == (1, 2, 31, 22)


def test_halves_share_no_photo(tmp_path, monkeypatch):
    checkout = write_checkout(tmp_path / "mAP", {name: [f"bed 0 0 4 {4 + ord(name)}"] for name in "abc"})
    run(monkeypatch, checkout, tmp_path / "out", "--halves")
    for half, names in (("even", ["a.jpg", "c.jpg"]), ("odd", ["b.jpg"])):
        folder = tmp_path / "out" / half
        assert sorted(path.name for path in (folder / "images").iterdir()) == names
        images = read_annotations(folder / "instances.json", folder / "images").images
        assert [image.boxes[0].corners[3] - 4 for image in images] == [ord(name[0]) for name in names]


def test_ids_are_those_of_coco(repository):
    labels = (repository / "config" / "labels" / "coco_90.txt").read_text().splitlines()
    assert all(labels[number - 1] == name for name, number in home_robot.CATEGORIES.items())


@pytest.mark.parametrize("line", ["sofa 1 2 31", "sofa 31 2 1 22", "sofa 1 2 31 22 hard", "sofa a b c d"])
def test_a_damaged_line_is_named(tmp_path, monkeypatch, line):
    checkout = write_checkout(tmp_path / "mAP", {"a": ["bed 0 0 4 4", line]})
    with pytest.raises(SystemExit, match=f"a.txt, line 2: found '{line}', expected CLASS LEFT TOP RIGHT BOTTOM"):
        run(monkeypatch, checkout, tmp_path / "out")


def test_a_photo_without_a_text_is_refused(tmp_path, monkeypatch):
    checkout = write_checkout(tmp_path / "mAP", {"a": [], "b": []})
    (checkout / home_robot.TEXTS / "b.txt").unlink()
    with pytest.raises(SystemExit, match="found 2 photos in input/images-optional and 1 texts"):
        run(monkeypatch, checkout, tmp_path / "out")
