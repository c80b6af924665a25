"""The recorder: its table, its pictures, its video, and that it understands the nodes."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from trt_ssd_ros.ros.recording import PICTURES, Recording, Sighting, table, write_pictures
from trt_ssd_ros.ros.video import VIDEO_RATE, VIDEO_WIDTH, Video

pytestmark = pytest.mark.ros


def picture(shade: int, width: int = 64, height: int = 48) -> np.ndarray:
    """A picture of one shade."""
    return np.full((height, width, 3), shade, np.uint8)


@pytest.fixture
def recording() -> Recording:
    """Two labels in ten frames."""
    return Recording(
        frames=10,
        latencies=[float(number) for number in range(101)],
        sightings={
            "Cat": Sighting(3, 0.875, (1, 20, 300, 4000), picture(10)),
            "Coffee cup": Sighting(9, 0.5, (5, 6, 7, 8), picture(200)),
            "Dog": Sighting(1),
        },
        counts={"engine": "Babbage 1", "processed": "10", "overwritten": "4", "refused": "2", "lost": "1"},
    )


def test_the_table_tells_what_was_seen(recording: Recording) -> None:
    lines = [line.split() for line in table(recording).splitlines()]
    assert lines[1] == ["Coffee", "cup", "0.50", "5", "6", "7", "8", "9"], "most frames first"
    assert lines[2] == ["Cat", "0.88", "1", "20", "300", "4000", "3"]
    assert lines[3] == ["Dog", "0.00", "0", "0", "0", "0", "1"]
    text = table(recording)
    assert re.search(r"^engine +Babbage 1$", text, re.MULTILINE)
    assert "17 in, 10 processed, 7 dropped (4 replaced by newer ones, 1 by the middleware, 2 unreadable)" in text
    assert "p50 50.0 ms, p99 99.0 ms" in text


def test_the_table_counts_from_the_first_diagnostics(recording: Recording) -> None:
    recording.counts_before = {"processed": "3", "overwritten": "4"}
    assert "10 in, 7 processed, 3 dropped (0 replaced" in table(recording)


def test_the_table_does_without_diagnostics() -> None:
    text = table(Recording(frames=1, latencies=[1.0]))
    assert "unknown" in text
    assert "0 in, 0 processed, 0 dropped" in text


def test_pictures_can_be_opened(recording: Recording, tmp_path: Path) -> None:
    paths = write_pictures(recording, tmp_path)
    assert [path.name for path in paths] == ["coffee_cup.png", "cat.png"]
    assert [cv2.imread(str(path)).mean() for path in paths] == [200, 10]


def test_a_video_has_a_frame_for_each_time_that_is_due(tmp_path: Path) -> None:
    video = Video(tmp_path / "a.mkv")
    for frame, shade in enumerate((0, 250, 100, 250, 200, 250)):
        video.add(picture(shade, 1280, 720), 1000 + frame / VIDEO_RATE / 2)
    video.close()
    assert video.frames == 3
    capture = cv2.VideoCapture(str(video.path))
    frames = [capture.read()[1] for _ in range(3)]
    assert not capture.read()[0]
    assert {frame.shape for frame in frames} == {(360, VIDEO_WIDTH, 3)}
    assert [frame.mean() for frame in frames] == pytest.approx([0, 100, 200], abs=8)


def test_no_picture_no_video(tmp_path: Path) -> None:
    Video(tmp_path / "a.mkv").close()
    assert not (tmp_path / "a.mkv").exists()


def test_a_video_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"cannot write .*nowhere"):
        Video(tmp_path / "nowhere" / "a.mkv").add(picture(1), 0)


def test_a_label_is_a_file_name_and_there_are_not_too_many(tmp_path: Path) -> None:
    sightings = {
        f"A/B {number}": Sighting(number, 0.5, (0, 0, 1, 1), picture(1)) for number in range(PICTURES + 5)
    }
    paths = write_pictures(Recording(1, [1.0], sightings), tmp_path)
    assert [path.name for path in paths] == [f"a_b_{number}.png" for number in range(PICTURES + 4, 4, -1)]
    assert all(path.parent == tmp_path and path.is_file() for path in paths)


def test_a_folder_that_cannot_be_written_is_an_error(recording: Recording, tmp_path: Path) -> None:
    (tmp_path / "coffee_cup.png").mkdir()
    with pytest.raises((RuntimeError, cv2.error)):
        write_pictures(recording, tmp_path)


def test_watches_the_nodes(start_node: Any, start_process: Any, tmp_path: Path) -> None:
    start_process([sys.executable, "-m", "trt_ssd_ros.ros.detector_node", "--ros-args", "-r", "image:=image_raw"])
    start_node("camera_node", rate=10.0)
    folder = tmp_path / "recording"
    recorder = start_process(
        [sys.executable, "-m", "trt_ssd_ros.ros.recorder_node", "--seconds", "2", "--output", str(folder)]
    )
    assert recorder.wait() == 0
    assert "ONNX Runtime" in recorder.log
    counts = re.search(r"frames +(\d+) in, (\d+) processed", recorder.log)
    assert counts
    assert int(counts[2]) > 0
    assert re.search(r"p50 \d+\.\d ms", recorder.log)
    written = re.findall(r"wrote +(\S+)", recorder.log)
    assert len(written) >= 2, "a picture and the video"
    assert all(Path(path).stat().st_size > 500 for path in written)
    assert all(cv2.VideoCapture(path).read()[0] for path in written)
