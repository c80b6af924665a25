"""Streams that go away and come back, from a real RTSP server."""

import gc
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import cv2
import psutil
import pytest
from rtsp import RtspServer

from trt_ssd_ros.images import stream as live_stream
from trt_ssd_ros.images.open_source import open_source
from trt_ssd_ros.images.source import SourceError
from trt_ssd_ros.images.stream import LiveStream, open_pipeline

ROUNDS = int(os.environ.get("RTSP_ROUNDS", "2"))
"""How often the server is killed; 20 by hand."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Iterator[RtspServer]:
    """A server with a clip of the photos; not started."""
    server = RtspServer(tmp_path_factory.mktemp("rtsp"), sorted((repository / "photos").glob("*.jpg")))
    yield server
    server.kill()


def test_a_stream_whose_server_is_killed_again_and_again(server, hear):
    caplog = hear(live_stream)
    server.start()
    source = open_source(server.address)
    assert source.live
    images = source.images()
    assert next(images).pixels.shape == (480, 640, 3)
    process, before = psutil.Process(), None
    for number in range(1, ROUNDS + 1):
        server.kill()
        server.start()
        while source.interruptions < number:
            next(images)
        next(images)
        assert source.trouble == ""
        gc.collect()
        now = (threading.active_count(), process.num_threads(), process.num_fds(), process.memory_info().rss)
        before = before or now
    assert now[:3] == before[:3], "threads of Python, all threads, descriptors"
    assert now[3] - before[3] < 64 << 20, "memory"
    back = [record.args[1] for record in caplog.records if "reopened after" in record.getMessage()]
    assert len(back) == ROUNDS
    print(f"back after {min(back):.1f} to {max(back):.1f} s; rss {(now[3] - before[3]) / 2**20:+.1f} MiB")
    source.stop()
    source.close()


def test_nobody_streams_there(server):
    server.kill()
    with pytest.raises(SourceError, match=r"cannot open rtsp://127.0.0.1:.*check the address"):
        open_source(server.address)


def test_a_password_is_not_shown():
    with pytest.raises(SourceError) as refused:
        open_source("rtsp://me:secret@127.0.0.1:1/stream")
    assert "secret" not in str(refused.value)
    assert "rtsp://127.0.0.1:1/stream" in str(refused.value)


def test_waits_grow_while_it_stays_away_and_stop_ends_them(monkeypatch, hear):
    caplog = hear(live_stream)
    attempts = []

    def open_capture() -> cv2.VideoCapture:
        attempts.append(1)
        if len(attempts) > 1:
            raise SourceError("gone")
        return cv2.VideoCapture()  # never delivers

    source = LiveStream("it", open_capture)
    waits = []
    monkeypatch.setattr(source._stopped, "wait", lambda seconds: waits.append(seconds) or len(waits) > 6)
    source._stopped.is_set = lambda: len(waits) > 6
    assert list(source.images()) == []
    assert waits == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0, 1.0]
    assert source.trouble == "gone"
    assert source.interruptions == 1
    assert sum("the images have stopped" in r.getMessage() for r in caplog.records) == 1, (
        "one line, not one for each attempt"
    )


def test_no_gstreamer_is_said():
    if cv2.videoio_registry.hasBackend(cv2.CAP_GSTREAMER):
        source = open_pipeline("videotestsrc num-buffers=5")
        assert next(source.images()).pixels.shape[2] == 3
    else:
        with pytest.raises(SourceError, match=r"built without GStreamer.*python3-opencv.*gscam"):
            open_source("gstreamer:videotestsrc")


def test_a_pipeline_that_hangs_is_waited_for_in_one_thread(monkeypatch):
    go_on = threading.Event()

    class SlowCapture:
        def __init__(self, *_: object) -> None:
            go_on.wait(30)

        def isOpened(self) -> bool:  # noqa: N802 - OpenCV's name
            return True

    monkeypatch.setattr(cv2.videoio_registry, "hasBackend", lambda _: True)
    monkeypatch.setattr(cv2, "VideoCapture", SlowCapture)
    stream = live_stream.pipeline_opener("videotestsrc")
    monkeypatch.setattr(live_stream, "OPEN_TIMEOUT_MS", 10)
    before = threading.active_count()
    for _ in range(3):
        with pytest.raises(SourceError, match="the pipeline does not start"):
            stream()
    assert threading.active_count() == before + 1
    go_on.set()
    monkeypatch.setattr(live_stream, "OPEN_TIMEOUT_MS", 30_000)
    assert isinstance(stream(), SlowCapture), "one that starts late is taken"
    assert isinstance(stream(), SlowCapture)


def test_only_a_webcam_takes_a_size(tmp_path):
    with pytest.raises(SourceError, match="width and height: found 640x480, expected them for webcam:N only"):
        open_source(str(tmp_path), width=640, height=480)
