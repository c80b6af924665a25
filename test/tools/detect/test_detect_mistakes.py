"""What detect says to mistakes."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys

import cv2
import pytest
from detect_command import ONNX, files, run, start

from trt_ssd_ros.tools.detect.__main__ import main

OPENCV = tuple(map(int, cv2.__version__.split(".")[:2]))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nothing.jpg"], "nothing.jpg does not exist, expected an image"),
        (["nothing.mp4"], "nothing.mp4 does not exist"),
        (["webcam:99"], "needs /dev/video99, which does not exist"),
        (["{video}", "{photos}"], "expected recordings and videos only, or images"),
        (["{photos}", "--model", "nope"], "model: found 'nope', expected the path of a model card or one of"),
        (["{empty}"], "found no image in"),
        (["{photos}", "--track"], "--track: found image files, expected a video, a recording or a camera"),
        (["{video}", "--format", "mot"], "--format mot: found no --track, expected it"),
        ([""], "source: found an empty name, expected an image"),
        (
            ["{photos}", "--remote-url", "http://gpu"],
            "--remote-url: found it beside the backend onnxruntime, expected the backend remote",
        ),
        (["{photos}", "--remote-ca-file", "ca.pem"], "--remote-ca-file: found it beside the backend onnxruntime"),
        *(
            (
                ["{photos}", "--backend", "remote", option, value],
                f"{option}: found {value} beside the backend remote",
            )
            for option, value in (("--gpu", "1"), ("--precision", "fp16"), ("--gpu-wait", "spin"))
        ),
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


def test_a_network_of_one_image_takes_no_batch(tmp_path, repository, single_card_path, capsys):
    arguments = [repository / "photos", "--output", tmp_path / "out", "--model", single_card_path]
    assert run(*arguments, "--batch", 2) == 1
    assert "--batch: found 2, expected 1: single takes one image at a time" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


WRONG = [["--batch", "0"], ["--threshold", "2"], ["--format", "xml"], []]
WRONG += [["--cpu-threads", number] for number in ("-1", "257", "all")]
WRONG += [["--ray", "local", "--ray-timeout", seconds] for seconds in ("0", "nan", "inf")]
WRONG += [["--track", "--track-max-gap", seconds] for seconds in ("-1", "nan", "61")]


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_arguments_are_refused(wrong, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["photo.jpg", *wrong] if wrong else [])
    assert "usage: detect" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "missing"), [("--ray-slice", "--ray"), ("--ray-timeout", "--ray"), ("--track-max-gap", "--track")]
)
def test_settings_of_an_option_that_is_not_given_are_refused(option, missing, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["drive.mp4", option, "7"])
    assert capsys.readouterr().err.endswith(f"detect: error: {option}: found no {missing}, expected it\n")


def test_measuring_is_a_command_of_its_own(capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["demo", "--measure"])
    error = capsys.readouterr().err.splitlines()[-1]
    assert error == "detect: error: --measure is now a command: benchmark --video VIDEO, or benchmark --video demo"


def test_without_pyav_nothing_is_begun(tmp_path, video, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "av", None)
    assert run(video, "--output", tmp_path / "out") == 1
    assert capsys.readouterr().err.endswith("pip install av\n")
    assert not (tmp_path / "out").exists()


def test_pipes_under_the_names_of_images_and_videos_hang_nothing(tmp_path, repository):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "cat.jpg").write_bytes((repository / "photos" / "chelsea.jpg").read_bytes())
    for name in ("pipe.jpg", "pipe.mp4"):
        os.mkfifo(tmp_path / "in" / name)
    for path, code, told in (
        (tmp_path / "in", 0, "pipe.jpg as an image: it is not a file"),
        (tmp_path / "in" / "pipe.jpg", 1, "pipe.jpg as an image: it is not a file"),
        (
            tmp_path / "in" / "pipe.mp4",
            1,
            "pipe.mp4 is not a file, expected an image, a folder of images, a video",
        ),
    ):
        process = start(path, "--output", tmp_path / "out", "--overwrite")
        _, error = process.communicate(timeout=60)
        assert (process.returncode, told in error) == (code, True), error


@pytest.mark.skipif(OPENCV <= (4, 5), reason="OpenCV 4.5 and its FFmpeg write at any log level")
def test_opencv_adds_nothing_to_what_is_told_of_unreadable_files(tmp_path, repository, video):
    """In processes of their own, because OpenCV and its libraries write to the file descriptor."""
    whole = cv2.imencode(".png", cv2.imread(str(repository / "photos" / "coffee.jpg")))[1].tobytes()
    broken = {"cut.png": whole[: len(whole) // 2], "text.png": b"text", "header.bmp": b"BM" + bytes(99)}
    source = tmp_path / "in"
    source.mkdir()
    for name, content in broken.items():
        (source / name).write_bytes(content)
    (tmp_path / "no.mp4").write_bytes(video.read_bytes()[:2000])
    for given, told in (
        (source, [f"detect: skipped {name}: cannot read" for name in sorted(broken)]),
        (tmp_path / "no.mp4", ["detect: the video has no frames"]),
    ):
        process = start(given, "--output", tmp_path / "out", "--overwrite")
        _, error = process.communicate(timeout=60)
        lines = [line for line in error.splitlines() if line.strip()]
        assert [line.startswith(begin) for line, begin in zip(lines, told, strict=True)] == [True] * len(told), (
            error
        )


def test_two_images_that_would_be_drawn_into_one_file_are_refused(tmp_path, repository, capsys):
    picture = cv2.imread(str(repository / "photos" / "coffee.jpg"))
    for name in ("a.bmp", "a.bmp.png"):
        cv2.imwrite(str(tmp_path / name), picture)
    assert run(tmp_path, "--output", tmp_path / "out") == 1
    assert "a.bmp and a.bmp.png would both be written to a.bmp.png: rename one" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_video_that_is_cut_short_is_told(tmp_path, video, capsys):
    data = video.read_bytes()
    (tmp_path / "cut.mp4").write_bytes(data[: len(data) * 9 // 10])
    assert run(tmp_path / "cut.mp4", "--output", tmp_path / "out", "--no-draw") == 0
    said = capsys.readouterr().out
    assert re.search(r"read \d+ images, expected 60: the input may be cut short", said)
    assert run(tmp_path / "cut.mp4", "--output", tmp_path / "out2", "--no-draw", "--max-images", 2) == 0
    assert "cut short" not in capsys.readouterr().out


def test_strange_names_and_folders_that_are_called_images(tmp_path, repository):
    source, photo = tmp_path / "in", (repository / "photos" / "coffee.jpg").read_bytes()
    (source / "folder.jpg").mkdir(parents=True)
    (source / "circle.jpg").symlink_to("circle.jpg")
    longest = "n" * 251 + ".jpg"
    for name in (longest, "кошка 猫.JPG"):
        (source / name).write_bytes(photo)
    process = start(source, "--output", tmp_path / "out")
    said, error = process.communicate(timeout=60)
    assert process.returncode == 0, error
    assert "3 images, 1 of them unreadable; found: 2 cup, 2 dining table" in said
    assert "skipped circle.jpg" in error
    assert files(tmp_path / "out" / "annotated") == [longest, "кошка 猫.JPG"]


def test_a_file_where_a_folder_is_to_be_written(tmp_path, repository, capsys):
    (tmp_path / "out").write_text("mine")
    assert run(repository / "photos" / "coffee.jpg", "--output", tmp_path / "out") == 1
    assert f"--output: {tmp_path / 'out'} is a file, expected a folder" in capsys.readouterr().err
    assert (tmp_path / "out").read_text() == "mine"


def test_streams_that_are_closed_are_not_taken_for_results(tmp_path, video):
    """A file that is opened when standard error is closed gets its number, and what OpenCV and FFmpeg say."""
    command = shlex.join(
        [sys.executable, "-m", "trt_ssd_ros.tools.detect", str(video), *ONNX, "--max-images", "3"]
    )
    done = subprocess.run(
        ["/bin/sh", "-c", f"{command} --output {tmp_path / 'out'} <&- >&- 2>&-"], timeout=60, check=False
    )
    assert done.returncode == 0
    assert len((tmp_path / "out" / "results.jsonl").read_text().splitlines()) == 4
