"""The command line of detect, on real files and with the real network."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import subprocess
import sys

import av
import cv2
import numpy as np
import onnx
import pytest
import yaml
from media import pan, write_bag, write_video
from rosbags.rosbag2 import StoragePlugin
from terminal import Terminal

from trt_ssd_ros.core.detections import Detections
from trt_ssd_ros.core.draw import draw_detections
from trt_ssd_ros.tools.detect import main
from trt_ssd_ros.tools.detection.annotated_output import AnnotatedVideo
from trt_ssd_ros.tools.detection.detection_run import RunTimes
from trt_ssd_ros.tools.detection.result_folder import claimed
from trt_ssd_ros.tools.detection.result_log import ImageResult, ResultHeader, read_results
from trt_ssd_ros.tools.detection.summary import summary

ONNX = ("--backend", "onnxruntime")


@pytest.fixture(scope="module")
def video(tmp_path_factory, repository):
    photo = cv2.imread(str(repository / "photos" / "chelsea.jpg"))
    return write_video(tmp_path_factory.mktemp("video") / "cat.mp4", pan(photo, 60))


def run(*arguments):
    return main([*map(str, arguments), *ONNX])


def start(*arguments, **options):
    command = [sys.executable, "-m", "trt_ssd_ros.tools.detect", *map(str, arguments), *ONNX]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


def files(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_a_folder_of_photos(tmp_path, repository, detector, capsys):
    out = tmp_path / "out"
    assert run(repository / "photos", "--output", out, "--format", "coco", "csv", "kitti") == 0
    names = ("astronaut", "chelsea", "coffee")
    pictures, texts = [f"annotated/{n}.jpg" for n in names], [f"kitti/{n}.txt" for n in names]
    assert files(out) == sorted([*pictures, *texts, "coco.json", "detections.csv", "results.jsonl"])
    results = {result.name: result for result in read_results(out / "results.jsonl")}
    photo = cv2.imread(str(repository / "photos" / "chelsea.jpg"))
    expected = detector.detect(photo)
    np.testing.assert_allclose(results["chelsea.jpg"].detections.boxes, expected.boxes, atol=1e-2)
    drawn = draw_detections(photo, expected, detector.card.labels)
    shown = cv2.imread(str(out / "annotated" / "chelsea.jpg"))
    assert np.abs(shown.astype(int) - drawn).mean() < 3 < np.abs(shown.astype(int) - photo).mean()
    said = capsys.readouterr().out
    assert "3 images, 0 of them unreadable; found: " in said
    assert "FPS with reading and writing" in said


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
    assert "its name is no UTF-8, rename it" in process.stderr.read()


def test_unreadable_files_are_passed_over_and_counted(tmp_path, repository):
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "cat.jpg").write_bytes((repository / "photos" / "chelsea.jpg").read_bytes())
    (folder / "broken.jpg").write_bytes(b"no image")
    (folder / "readme.txt").touch()
    process = start(folder, "--output", tmp_path / "out")
    said, warned = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "2 images, 1 of them unreadable; found: 1 Cat" in said
    assert "detect: passed over broken.jpg: cannot read" in warned
    (folder / "cat.jpg").unlink()
    assert run(folder, "--output", tmp_path / "out2") == 1


def test_a_killed_run_goes_on_to_the_same_results(tmp_path, video):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    formats = ("--format", "coco", "csv", "--batch", 2)
    assert run(video, "--output", whole, *formats) == 0
    process = start(video, "--output", killed, *formats, "--json")
    for _ in range(9):
        assert process.stdout.readline()
    process.kill()
    process.communicate()
    done = len((killed / "results.jsonl").read_text().splitlines()) - 1
    assert 9 <= done < 60
    (killed / "results.jsonl").open("a").write('{"index": 99, "ima')
    assert run(video, "--output", killed, *formats, "--resume") == 0
    assert files(whole) == files(killed) == ["annotated.mp4", "coco.json", "detections.csv", "results.jsonl"]
    for name in files(whole):
        assert (whole / name).read_bytes() == (killed / name).read_bytes(), name
    with av.open(str(whole / "annotated.mp4")) as container:
        assert sum(1 for _ in container.decode(video=0)) == 60


def test_resuming_does_not_detect_again(tmp_path, video, capsys):
    out = tmp_path / "out"
    assert run(video, "--output", out, "--no-draw", "--max-images", 5) == 0
    log = out / "results.jsonl"
    log.write_text(log.read_text().replace('"label": "Cat"', '"label": "Lion"'))
    capsys.readouterr()
    assert run(video, "--output", out, "--resume", "--no-draw", "--max-images", 8) == 0
    lines = [json.loads(line) for line in log.read_text().splitlines()[1:]]
    assert [line["index"] for line in lines] == list(range(8))
    assert [line["detections"][0]["label"] for line in lines] == ["Lion"] * 5 + ["Cat"] * 3


def test_what_was_not_drawn_is_drawn_by_a_run_that_goes_on(tmp_path, video):
    out = tmp_path / "out"
    assert run(video, "--output", out, "--draw", "none", "--max-images", 3) == 0
    assert run(video, "--output", out, "--draw", "jpg", "--max-images", 5, "--resume") == 0
    assert files(out / "annotated") == [f"{number:06d}.jpg" for number in range(5)]
    assert len((out / "results.jsonl").read_text().splitlines()) == 6


def test_what_is_refused_is_left_as_it_was(tmp_path, repository, capsys):
    """Also the line that a killed run has not finished, before which the other images would be detected."""
    (tmp_path / "in").mkdir()
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / "in" / name).write_bytes((repository / "photos" / "chelsea.jpg").read_bytes())
    arguments = tmp_path / "in", "--output", tmp_path / "out", "--no-draw"
    assert run(*arguments) == 0
    log = tmp_path / "out" / "results.jsonl"
    log.write_bytes(log.read_bytes()[:-9])
    before = log.read_bytes()
    (tmp_path / "in" / "a.jpg").unlink()
    assert run(*arguments, "--resume") == 1
    assert "results.jsonl has a.jpg, expected b.jpg" in capsys.readouterr().err
    assert log.read_bytes() == before


def test_resuming_in_another_way_is_refused(tmp_path, video, capsys):
    out = tmp_path / "out"
    assert run(video, "--output", out, "--no-draw", "--max-images", 2) == 0
    before = (out / "results.jsonl").read_bytes()
    assert run(video, "--output", out, "--no-draw") == 1
    assert (
        f"{out}/results.jsonl exists: --resume goes on with it, --overwrite begins anew" in capsys.readouterr().err
    )
    assert run(video, "--output", out, "--no-draw", "--resume", "--threshold", 0.5) == 1
    assert "was made with score_threshold 0.3, expected 0.5 as now" in capsys.readouterr().err
    assert (out / "results.jsonl").read_bytes() == before
    assert run(video, "--output", out, "--no-draw", "--overwrite", "--max-images", 1) == 0
    assert len((out / "results.jsonl").read_text().splitlines()) == 2


def test_beginning_anew_leaves_nothing_of_the_earlier_run_and_all_else(tmp_path, repository):
    out, photos = tmp_path / "out", sorted((repository / "photos").glob("*.jpg"))
    assert run(*photos, "--output", out, "--format", "csv", "kitti") == 0
    (out / "notes.txt").write_text("mine")
    assert run(photos[0], "--output", out, "--overwrite", "--format", "coco") == 0
    assert [path.name for path in sorted(out.rglob("*")) if path.is_file()] == [
        photos[0].name,
        "coco.json",
        "notes.txt",
        "results.jsonl",
    ]


def test_two_runs_in_one_folder_do_not_mix(tmp_path, video, capsys):
    out = tmp_path / "out"
    with claimed(out):
        assert run(video, "--output", out) == 1
        assert list(out.iterdir()) == []
    assert f"found another run at work in {out}, expected a folder of its own" in capsys.readouterr().err


def test_what_was_written_is_not_read(tmp_path, repository):
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "cat.jpg").write_bytes((repository / "photos" / "chelsea.jpg").read_bytes())
    for more in ((), ("--resume",)):
        assert run(folder, "--output", folder / "out", *more) == 0
    assert [result.name for result in read_results(folder / "out" / "results.jsonl")] == ["cat.jpg"]


def test_resuming_with_other_images_is_refused(tmp_path, repository, capsys):
    for name in ("b.jpg", "a.jpg"):
        (tmp_path / "in").mkdir(exist_ok=True)
        (tmp_path / "in" / name).write_bytes((repository / "photos" / "chelsea.jpg").read_bytes())
        code = run(tmp_path / "in", "--output", tmp_path / "out", "--resume")
    assert code == 1
    assert "results.jsonl has b.jpg, expected a.jpg: are images new or gone?" in capsys.readouterr().err
    assert run(tmp_path / "in", "--output", tmp_path / "both") == 0
    (tmp_path / "in" / "b.jpg").unlink()
    assert run(tmp_path / "in", "--output", tmp_path / "both", "--resume") == 1
    assert "results.jsonl has b.jpg, expected nothing: are images new or gone?" in capsys.readouterr().err


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
    assert said == "4 images, 0 of them unreadable; found: nothing\n4 images of the camera gave way to newer ones"


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


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_whole_files_and_says_how_to_go_on(tmp_path, video, ending):
    process = start(video, "--output", tmp_path / "out", "--json")
    assert process.stdout.readline()
    process.send_signal(ending)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130, error
    assert "interrupted; --resume goes on" in error
    assert "Traceback" not in error
    assert files(tmp_path / "out") == ["annotated.mp4", "coco.json", "results.jsonl"]


def test_who_reads_the_output_may_leave(tmp_path, video):
    process = start(video, "--output", tmp_path / "out", "--no-draw", "--json")
    first = json.loads(process.stdout.readline())
    process.stdout.close()
    error = process.stderr.read()
    process.wait(60)
    assert first["detections"][0]["label"] == "Cat"
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


def test_measure_says_what_each_stage_takes(tmp_path, capsys, monkeypatch):
    for name, number in (("ROUNDS", 1), ("KEPT", 6)):
        monkeypatch.setattr(f"trt_ssd_ros.tools.detection.measurement.{name}", number)
    assert run("demo", "--measure", "--output", tmp_path / "out", "--max-images", 12) == 0
    first, _, *lines, memory = capsys.readouterr().out.splitlines()
    assert first.startswith("12 images, 1 rounds in turns, ONNX Runtime")
    assert re.fullmatch(r"memory: \d+ MiB after 6 images of the last round, \d+ MiB at its end", memory)
    rows = {line[:26].strip(): line[26:].split() for line in lines}
    alone = [f"{name} alone" for name in ("reading", "network", "encoding")]
    assert list(rows) == [*alone, "together, nothing drawn", "together"]
    assert max(float(rows[name][2]) for name in alone) == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nothing.jpg"], "nothing.jpg does not exist, expected an image"),
        (["nothing.mp4"], "nothing.mp4 does not exist"),
        (["webcam:99"], "needs /dev/video99, which does not exist"),
        (["{video}", "{photos}"], "expected images and folders, or one video"),
        (["{photos}", "--model", "nope"], "model: found 'nope', expected the path of a model card or one of"),
        (["{photos}", "--measure"], "--measure: found images or a camera, expected a video file or a recording"),
        (["{empty}"], "found no image in"),
        ([""], "found an empty name, expected images"),
        (["{photos}", "--backend", "tensorrt"], "TensorRT cannot be imported"),
    ],
)
def test_mistakes_are_told_on_one_line(tmp_path, repository, video, capsys, arguments, said):
    (tmp_path / "empty").mkdir()
    places = {"video": video, "photos": repository / "photos", "empty": tmp_path / "empty"}
    arguments = [argument.format(**places) for argument in arguments]
    backend = () if "--backend" in arguments else ONNX
    assert main([*arguments, "--output", str(tmp_path / "out"), *backend]) == 1
    error = capsys.readouterr().err
    assert error.startswith("detect: ")
    assert said in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_network_of_one_image_takes_no_batch(tmp_path, repository, card_path, network, capsys):
    single = onnx.ModelProto()
    single.CopyFrom(network)
    for tensor in (*single.graph.input, *single.graph.output):
        tensor.type.tensor_type.shape.dim[0].dim_value = 1
    data = single.SerializeToString()
    (tmp_path / "single.onnx").write_bytes(data)
    card = yaml.safe_load(card_path.read_text())
    card |= {"name": "single", "onnx": {"path": "single.onnx", "sha256": hashlib.sha256(data).hexdigest()}}
    (tmp_path / "card.yaml").write_text(yaml.safe_dump(card))
    arguments = [repository / "photos", "--output", tmp_path / "out", "--model", tmp_path / "card.yaml"]
    assert run(*arguments, "--batch", 2) == 1
    assert "--batch: found 2, expected 1: single takes one image at a time" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_run_that_was_killed_before_its_first_line_is_begun_anew(tmp_path, repository):
    (tmp_path / "results.jsonl").touch()
    assert run(repository / "photos" / "coffee.jpg", "--output", tmp_path, "--resume", "--no-draw") == 0
    assert len((tmp_path / "results.jsonl").read_text().splitlines()) == 2


def test_a_stdout_that_is_closed_is_no_error(tmp_path, repository, monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    assert run(repository / "photos" / "coffee.jpg", "--output", tmp_path / "out", "--no-draw") == 0


@pytest.mark.parametrize("wrong", [["--batch", "0"], ["--threshold", "2"], ["--format", "xml"], []])
def test_wrong_arguments_are_refused(wrong, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["photo.jpg", *wrong] if wrong else [])
    assert "usage: detect" in capsys.readouterr().err


def test_without_pyav_nothing_is_begun(tmp_path, video, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "av", None)
    assert run(video, "--output", tmp_path / "out") == 1
    assert capsys.readouterr().err.endswith("pip install av\n")
    assert not (tmp_path / "out").exists()
