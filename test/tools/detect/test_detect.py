"""The command line of detect, on real files and with the real network."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import av
import cv2
import numpy as np
import pytest
from bags import write_bag
from detect_command import ONNX, files, run, start
from media import pan
from rosbags.rosbag2 import StoragePlugin
from terminal import Terminal

from trt_ssd_ros.detection.detections import Detections
from trt_ssd_ros.detection.detector import Detector
from trt_ssd_ros.detection.draw import draw_detections
from trt_ssd_ros.engines.backend import open_detectors
from trt_ssd_ros.models.card_file import card_text
from trt_ssd_ros.tools.detect.annotated import AnnotatedVideo
from trt_ssd_ros.tools.detect.run import RunTimes, summary
from trt_ssd_ros.tools.results import ImageResult, ResultHeader, read_results
from trt_ssd_ros.yaml_reader import read_yaml


def test_a_column_without_a_class_is_never_reported(tiny_card, tmp_path, repository):
    card_path = tiny_card.onnx.path.with_suffix(".yaml")
    document = read_yaml(card_path)
    document["onnx"]["path"] = str(tiny_card.onnx.path)
    (tmp_path / "nameless.yaml").write_text(card_text({**document, "labels": ["a", "", "c"]}))
    reported = {}
    for name, model in (("named", card_path), ("nameless", tmp_path / "nameless.yaml")):
        out = tmp_path / name
        arguments = ("--model", model, "--threshold", 0, "--no-draw", "--format", "coco", "csv", "kitti")
        assert run(repository / "photos", *arguments, "--output", out) == 0
        results = read_results(out / "results.jsonl")
        reported[name] = set(np.concatenate([result.detections.class_ids for result in results]).tolist())
    assert reported == {"named": {0, 1, 2}, "nameless": {0, 2}}
    coco = json.loads((out / "coco.json").read_text())
    assert {item["id"]: item["name"] for item in coco["categories"]} == {1: "a", 3: "c"}
    words = [line.split()[0] for path in out.glob("kitti/*.txt") for line in path.read_text().splitlines()]
    assert set(words) == {"a", "c"}


def test_a_folder_of_photos(tmp_path, repository, detector, capsys):
    out = tmp_path / "out"
    assert run(repository / "photos", "--output", out, "--format", "coco", "csv", "kitti") == 0
    names = ("astronaut", "chelsea", "coffee")
    pictures, texts = [f"annotated/{n}.jpg" for n in names], [f"kitti/{n}.txt" for n in names]
    assert files(out) == sorted([*pictures, *texts, "coco.json", "detections.csv", "results.jsonl"])
    results = {result.name: result for result in read_results(out / "results.jsonl")}
    photo = cv2.imread(str(repository / "photos" / "chelsea.jpg"))
    detector.resize_on = "host"
    expected = detector.detect(photo)
    np.testing.assert_allclose(results["chelsea.jpg"].detections.boxes, expected.boxes, atol=1e-2)
    drawn = draw_detections(photo, expected, detector.card.labels)
    shown = cv2.imread(str(out / "annotated" / "chelsea.jpg"))
    assert np.abs(shown.astype(int) - drawn).mean() < 3 < np.abs(shown.astype(int) - photo).mean()
    said = capsys.readouterr().out
    assert "3 images, 0 of them unreadable; found: " in said
    assert "FPS including reading and writing" in said


@pytest.mark.parametrize(("draw", "resize_on"), [("none", "host"), ("none", "engine"), ("jpg", "host")])
def test_a_large_jpeg_is_reduced_only_if_nothing_else_needs_it(tmp_path, repository, monkeypatch, draw, resize_on):
    photo = cv2.resize(cv2.imread(str(repository / "photos" / "chelsea.jpg")), (1805, 1201))
    cv2.imwrite(str(tmp_path / "large.jpg"), photo)
    shapes, detect_batch = [], Detector.detect_batch

    def watched(detector, images, *rest):
        shapes.extend(image.shape[:2] for image in images)
        return detect_batch(detector, images, *rest)

    monkeypatch.setattr(Detector, "detect_batch", watched)
    arguments = ("--draw", draw, "--resize-on", resize_on, "--output", tmp_path / "out")
    assert run(tmp_path / "large.jpg", *arguments) == 0
    [result] = read_results(tmp_path / "out" / "results.jsonl")
    assert shapes == [(301, 452) if (draw, resize_on) == ("none", "host") else (1201, 1805)]
    assert (result.width, result.height) == (1805, 1201)
    np.testing.assert_allclose(result.detections.boxes, [(5, 8, 1636, 1194)], atol=30)


def test_each_thread_that_was_asked_for_has_a_detector(tmp_path, repository, monkeypatch):
    opened = []

    def open_noted(*arguments):
        opened.extend(open_detectors(*arguments))
        return opened

    monkeypatch.setattr("trt_ssd_ros.tools.detect.run.open_detectors", open_noted)
    options = ["--backend", "onnxruntime", "--cpu-threads", "3", "--no-draw"]
    assert run(repository / "photos", "--output", tmp_path / "out", *options) == 0
    assert len(opened) == 3


def test_batches_of_mixed_sizes_find_the_same(tmp_path, repository):
    inputs = [repository / "photos" / f"{name}.jpg" for name in ("astronaut", "coffee", "chelsea")]
    twin = tmp_path / "twin.png"
    cv2.imwrite(str(twin), cv2.imread(str(inputs[0])))
    found = {}
    for batch in (1, 3):
        out = tmp_path / f"out{batch}"
        assert run(twin, *inputs, "--output", out, "--batch", batch, "--no-draw", "--format", "csv") == 0
        assert files(out) == ["detections.csv", "results.jsonl"]
        found[batch] = list(read_results(out / "results.jsonl"))
    for one, three in zip(found[1], found[3], strict=True):
        assert one.name == three.name
        np.testing.assert_array_equal(one.detections.class_ids, three.detections.class_ids)
        np.testing.assert_allclose(one.detections.scores, three.detections.scores, atol=1e-5)


def test_images_above_this_folder_are_not_written_over(tmp_path, repository, monkeypatch):
    photo = (repository / "photos" / "chelsea.jpg").read_bytes()
    for path in (tmp_path / "photos" / "cat.jpg", tmp_path / "a" / "b" / "cat.jpg"):
        path.parent.mkdir(parents=True)
        path.write_bytes(photo)
    monkeypatch.chdir(tmp_path / "a" / "b")
    assert run("../../photos", "cat.jpg", "--output", "../../out") == 0
    assert (tmp_path / "photos" / "cat.jpg").read_bytes() == photo
    assert files(tmp_path / "out" / "annotated") == ["a/b/cat.jpg", "photos/cat.jpg"]


def test_names_that_are_no_utf_8(tmp_path, repository, video):
    odd = os.fsdecode(b"odd\xff")
    (tmp_path / f"{odd}.jpg").write_bytes((repository / "photos" / "coffee.jpg").read_bytes())
    (tmp_path / f"{odd}.mp4").write_bytes(video.read_bytes())
    formats = ("--format", "coco", "csv", "kitti")
    process = start(tmp_path / f"{odd}.jpg", "--output", tmp_path / "out", *formats)
    assert process.wait(60) == 0, process.stderr.read()
    assert f"annotated/{odd}.jpg" in files(tmp_path / "out")
    assert os.fsencode(odd) in (tmp_path / "out" / "detections.csv").read_bytes()
    process = start(tmp_path / f"{odd}.mp4", "--output", tmp_path / "out2")
    assert process.wait(60) == 1
    assert "its name is not UTF-8, rename it" in process.stderr.read()


def test_unreadable_files_are_passed_over_and_counted(tmp_path, repository):
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "cat.jpg").write_bytes((repository / "photos" / "chelsea.jpg").read_bytes())
    (folder / "broken.jpg").write_bytes(b"no image")
    (folder / "readme.txt").touch()
    process = start(folder, "--output", tmp_path / "out")
    said, warned = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "2 images, 1 of them unreadable; found: 1 cat" in said
    assert "detect: skipped broken.jpg: cannot read" in warned
    (folder / "cat.jpg").unlink()
    assert run(folder, "--output", tmp_path / "out2") == 1


def test_a_threshold_is_the_lowest_score(tmp_path, video):
    for threshold in (0.05, 0.7):
        out = tmp_path / str(threshold)
        assert run(video, "--output", out, "--no-draw", "--max-images", 3, "--threshold", threshold) == 0
        scores = [score for result in read_results(out / "results.jsonl") for score in result.detections.scores]
        assert (min(scores) < 0.3) == (threshold == 0.05)
        assert min(scores) >= threshold


@pytest.mark.parametrize(("draw", "written"), [((), ["annotated.mp4"]), (("--draw", "jpg"), None)])
def test_a_recording(tmp_path, repository, draw, written):
    pictures = pan(cv2.imread(str(repository / "photos" / "chelsea.jpg")), 3)
    bag = write_bag(tmp_path / "bag", pictures, StoragePlugin.MCAP)
    assert run(bag, "--output", tmp_path / "out", *draw) == 0
    names = [f"1700000000.{123_456_789 + n * 10**8}" for n in range(3)]
    expected = written or [f"annotated/{name}.jpg" for name in names]
    assert files(tmp_path / "out") == sorted([*expected, "coco.json", "results.jsonl"])
    assert [result.name for result in read_results(tmp_path / "out" / "results.jsonl")] == names


def test_images_that_gave_way_to_newer_ones_are_counted(tmp_path):
    log = tmp_path / "results.jsonl"
    lines = [ImageResult(index, str(index), 9, 9, 0.0, Detections.empty()).line(()) for index in (0, 3, 4, 7)]
    log.write_text("\n".join([ResultHeader({}, ()).line(), *lines]) + "\n")
    nothing_read, said = summary(log, RunTimes())
    assert not nothing_read
    assert said == "4 images, 0 of them unreadable; found: nothing\n4 camera images dropped for newer ones"


def test_a_video_without_a_steady_rate_keeps_its_times(tmp_path, repository):
    times, video = [0, 1 / 30, 2 / 30, 0.4, 1.4, 1.5], AnnotatedVideo(tmp_path / "phone.mp4")
    for picture, seconds in zip(
        pan(cv2.imread(str(repository / "photos" / "chelsea.jpg")), 6), times, strict=True
    ):
        video.add("", picture, seconds)
    video.finish()
    assert run(tmp_path / "phone.mp4", "--output", tmp_path / "out") == 0
    results = read_results(tmp_path / "out" / "results.jsonl")
    assert [result.seconds for result in results] == pytest.approx(times, abs=1e-3)
    with av.open(str(tmp_path / "out" / "annotated.mp4")) as container:
        assert [frame.time for frame in container.decode(video=0)] == pytest.approx(times, abs=1e-3)


def test_who_reads_the_output_may_leave(tmp_path, video):
    process = start(video, "--output", tmp_path / "out", "--no-draw", "--json")
    first = json.loads(process.stdout.readline())
    process.stdout.close()
    error = process.stderr.read()
    process.wait(60)
    assert first["detections"][0]["label"] == "cat"
    assert process.returncode == 141
    assert "Traceback" not in error
    assert "\r" not in error, "no progress bar without a terminal"


def test_a_terminal_gets_a_progress_bar(tmp_path, video):
    terminal = Terminal()
    command = [sys.executable, "-m", "trt_ssd_ros.tools.detect", video, "--output", tmp_path / "out", "--no-draw"]
    process = subprocess.Popen([*map(str, command), *ONNX], stdout=subprocess.DEVNULL, stderr=terminal.theirs)
    said = terminal.rest()
    assert process.wait(60) == 0
    assert "60/60" in said
    assert "images/s" in said


def test_a_stdout_that_is_closed_is_no_error(tmp_path, repository, monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    assert run(repository / "photos" / "coffee.jpg", "--output", tmp_path / "out", "--no-draw") == 0
