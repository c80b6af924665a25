"""The stages of detect, timed on a short video."""

from __future__ import annotations

import re

import pytest

from trt_ssd_ros.bench.__main__ import main

ONNX = ("--backend", "onnxruntime")


def test_a_video_is_measured_stage_by_stage(capsys, monkeypatch):
    for name, number in (("ROUNDS", 1), ("BUFFERED", 6)):
        monkeypatch.setattr(f"trt_ssd_ros.bench.offline.{name}", number)
    assert main(["--video", "demo", "--repeats", "12", *ONNX]) == 0
    first, _, *lines, memory = capsys.readouterr().out.splitlines()
    assert first.startswith("12 images, 1 interleaved rounds, ONNX Runtime")
    assert re.fullmatch(r"memory: \d+ MiB after 6 images of the last round, \d+ MiB at its end", memory)
    rows = {line[:26].strip(): line[26:].split() for line in lines}
    alone = [f"{name} alone" for name in ("reading", "network", "encoding")]
    assert list(rows) == [*alone, "together, nothing drawn", "together"]
    assert max(float(rows[name][2]) for name in alone) == 1


@pytest.mark.parametrize(
    ("video", "said"),
    [
        ("photos", "--video: found images or a camera, expected a video file or a recording"),
        ("nothing.mp4", "nothing.mp4 does not exist"),
    ],
)
def test_what_is_no_video_is_told_on_one_line(repository, capsys, monkeypatch, video, said):
    monkeypatch.chdir(repository)
    assert main(["--video", video, *ONNX]) == 1
    error = capsys.readouterr().err
    assert error.startswith("benchmark: ")
    assert said in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--video", "demo", "--json", "a.json"], "--json does not go with --video"),
        (["--topic", "/image"], "--topic needs --video"),
        (["--video", "demo", "--compare", "a", "b"], "not allowed with argument"),
    ],
)
def test_options_of_another_measurement_are_refused(capsys, arguments, said):
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    assert said in capsys.readouterr().err
