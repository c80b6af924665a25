"""Streams that go away and come back, from a real RTSP server."""

import gc
import itertools
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import cv2
import psutil
import pytest
from rtsp import RtspServer

from trt_ssd_ros.images import stream as live_stream
from trt_ssd_ros.images.open_source import open_source, open_sources
from trt_ssd_ros.images.source import AbsentSourceError, SourceError
from trt_ssd_ros.images.source_name import without_password
from trt_ssd_ros.images.stream import LiveStream, is_in_use, retry_delays

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
    source = open_sources([server.address], stop=(stop := threading.Event()))
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
    stop.set()
    assert next(images, None) is None
    source.close()


def test_nobody_streams_there(server):
    server.kill()
    with pytest.raises(AbsentSourceError, match=r"cannot open rtsp://127.0.0.1:.*check the address"):
        open_source(server.address)


@pytest.mark.parametrize(
    ("name", "width", "shown"),
    [
        ("rtsp://me:secret@127.0.0.1:1/stream", 0, "rtsp://127.0.0.1:1/stream"),
        ("rtsp://me:secret@127.0.0.1:1/a@b", 640, "rtsp://127.0.0.1:1/a@b"),
        ("rtsp:/me:secret@127.0.0.1:1/stream", 0, "rtsp:/127.0.0.1:1/stream"),
    ],
    ids=["absent", "size", "misspelt"],
)
def test_a_password_is_not_shown(name, width, shown):
    with pytest.raises(SourceError) as refused:
        open_source(name, width)
    assert "secret" not in str(refused.value)
    assert shown in str(refused.value)


def test_no_password_of_a_pipeline_is_shown():
    pipeline = "rtspsrc location=rtsp://me:secret@a/1 ! a. rtspsrc location=rtsp://me:secret@b/2 ! b."
    assert without_password(pipeline) == pipeline.replace("me:secret@", "")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("rstp://camera/1", r"found the protocol 'rstp' in rstp://camera/1, did you mean rtsp\?"),
        ("teapot://camera", "found the protocol 'teapot' in teapot://camera, expected e.g. rtsp"),
        ("gstreamer:", "gstreamer: found no pipeline, expected elements with !"),
    ],
)
def test_a_mistake_in_the_name_is_not_an_absent_source(name, said):
    with pytest.raises(SourceError, match=said) as refused:
        open_source(name)
    assert not isinstance(refused.value, AbsentSourceError)


def test_delays_double_to_the_longest():
    delays = retry_delays(1.0)
    assert [next(delays) for _ in range(6)] == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]


def test_a_stream_that_stays_away_is_reported_once_and_stop_ends_the_attempts(monkeypatch, hear):
    caplog = hear(live_stream)
    monkeypatch.setattr(live_stream, "retry_delays", lambda _: itertools.repeat(0.0))
    attempts, stop = [], threading.Event()

    def open_capture() -> cv2.VideoCapture:
        attempts.append(1)
        if len(attempts) == 5:
            stop.set()
        raise AbsentSourceError("gone")

    source = LiveStream("it", open_capture, "never used")
    source.stop_on(stop)
    assert list(source.images()) == []
    assert len(attempts) == 5
    assert source.trouble == "gone"
    assert source.interruptions == 1
    assert sum("the images have stopped" in r.getMessage() for r in caplog.records) == 1, (
        "one line, not one for each attempt"
    )


def test_no_gstreamer_is_said():
    if cv2.videoio_registry.hasBackend(cv2.CAP_GSTREAMER):
        source = open_source("gstreamer:videotestsrc num-buffers=5")
        assert next(source.images()).pixels.shape[2] == 3
    else:
        with pytest.raises(SourceError, match=r"built without GStreamer.*python3-opencv.*gscam") as refused:
            open_source("gstreamer:videotestsrc")
        assert not isinstance(refused.value, AbsentSourceError)


def test_an_attempt_that_hangs_is_continued_in_one_thread_and_stop_leaves_it(monkeypatch):
    go_on = threading.Event()
    hanging = threading.Event()

    class SlowCapture:
        def isOpened(self) -> bool:  # noqa: N802 - OpenCV's name
            return True

    def open_capture() -> SlowCapture:
        hanging.set()
        go_on.wait(30)
        return SlowCapture()

    stream = LiveStream("it", open_capture, "it does not start")
    monkeypatch.setattr(live_stream, "PATIENCE", 0.01)
    before = threading.active_count()
    for _ in range(3):
        with pytest.raises(AbsentSourceError, match="it does not start"):
            stream.open()
    assert threading.active_count() == before + 1
    assert is_in_use()
    go_on.set()
    monkeypatch.setattr(live_stream, "PATIENCE", 30.0)
    stream.open()
    assert isinstance(stream._capture, SlowCapture), "one that starts late is taken"
    go_on.clear()
    hanging.clear()

    def open_and_stop() -> None:
        with pytest.raises(AbsentSourceError, match="it does not start"):
            stream.open()

    stream.stop_on(stop := threading.Event())
    waiting = threading.Thread(target=open_and_stop)
    waiting.start()
    assert hanging.wait(30)
    stop.set()
    waiting.join(20)
    assert not waiting.is_alive(), "stop ends the wait, not PATIENCE"
    go_on.set()


def test_only_a_webcam_takes_a_size(tmp_path):
    with pytest.raises(SourceError, match="width and height: found 640x480, expected them for webcam:N only"):
        open_source(str(tmp_path), width=640, height=480)
