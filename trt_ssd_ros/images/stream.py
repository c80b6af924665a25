"""LiveStream: a webcam, a network stream or a GStreamer pipeline, opened again when it goes away."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from functools import partial
from pathlib import Path
from threading import Event, Thread
from time import monotonic

import cv2
import numpy as np

from trt_ssd_ros.errors import one_line
from trt_ssd_ros.images.source import Capture, ImageSource, SourceError, SourceImage
from trt_ssd_ros.images.video import stated_rate

LOGGER = logging.getLogger(__name__)
FIRST_WAIT, LONGEST_WAIT = 0.1, 1.0
"""Seconds before it is opened again: doubled from the first to the longest."""
OPEN_TIMEOUT_MS, READ_TIMEOUT_MS = 4000, 4000
FFMPEG_OPTIONS = "OPENCV_FFMPEG_CAPTURE_OPTIONS"
"""Environment variable with FFmpeg's options for streams; what the user has set is left."""
STREAM_OPTIONS = "rtsp_flags;prefer_tcp|fflags;nobuffer|flags;low_delay|fpsprobesize;0|analyzeduration;500000"
"""Open soon and keep nothing back. OpenCV 4.11 of pip ignores the variable (opencv issue 27091): it looks at a
second or two of a stream before it gives the first image."""

OpenCapture = Callable[[], cv2.VideoCapture]


class LiveStream(ImageSource):
    """Images that come at their own pace; when they stop, the stream is opened again, with waits that grow.

    Args:
        name: What it is called in the log.
        open_capture: Opens it.

    Raises:
        SourceError: It cannot be opened now.
    """

    live = True

    def __init__(self, name: str, open_capture: OpenCapture) -> None:
        self._name = name
        self._open_capture = open_capture
        self._capture = open_capture()
        self._begun = monotonic()
        self._stopped = Event()
        self._interruptions = 0
        self._trouble = ""

    @property
    def rate(self) -> float | None:
        """Frames a second as the stream or driver states them."""
        return stated_rate(self._capture)

    @property
    def interruptions(self) -> int:
        """Number of times that it went away so far."""
        return self._interruptions

    @property
    def trouble(self) -> str:
        """Reason why no images come at present; empty if nothing is wrong."""
        return self._trouble

    def captures(self) -> Iterator[Capture]:
        """Read until it is stopped."""
        index = -1
        while not self._stopped.is_set():
            if self._capture.grab():
                index += 1
                yield partial(self._retrieve, index, monotonic() - self._begun)
            elif not self._stopped.is_set():
                self._reopen()

    def _retrieve(self, index: int, seconds: float) -> SourceImage:
        decoded, image = self._capture.retrieve()
        if not decoded:
            return SourceImage.unreadable(index, f"{index:06d}", "the frame cannot be decoded")
        return SourceImage(index, f"{index:06d}", np.asarray(image, np.uint8), seconds=seconds)

    def _reopen(self) -> None:
        lost, pause = monotonic(), FIRST_WAIT
        self._interruptions += 1
        self._trouble = "no more images come"
        self._capture.release()
        LOGGER.warning("%s: no more images come; opening it again until they do", self._name)
        while not self._stopped.wait(pause):
            try:
                self._capture = self._open_capture()
            except SourceError as error:
                self._trouble = str(error)
                pause = min(2 * pause, LONGEST_WAIT)
                continue
            self._trouble = ""
            LOGGER.warning("%s: open again after %.1f s", self._name, monotonic() - lost)
            return

    def stop(self) -> None:
        """Have `captures` end soon; any thread may call it."""
        self._stopped.set()

    def close(self) -> None:
        """Give the device or connection back."""
        self._capture.release()


def open_webcam(number: int, width: int = 0, height: int = 0, rate: float = 0.0) -> LiveStream:
    """Open a webcam through Video4Linux.

    Args:
        number: Of /dev/video.
        width: Asked of it, in pixels; 0: as it likes.
        height: The same.
        rate: Frames a second asked of it; 0: as it likes.

    Raises:
        SourceError: It is not there, or not for this user.
    """
    device = Path(f"/dev/video{number}")
    asked = {cv2.CAP_PROP_FRAME_WIDTH: width, cv2.CAP_PROP_FRAME_HEIGHT: height, cv2.CAP_PROP_FPS: rate}

    def open_capture() -> cv2.VideoCapture:
        if not device.exists():
            there = ", ".join(sorted(map(str, device.parent.glob("video*")))) or "no webcam at all"
            raise SourceError(f"webcam:{number} needs {device}, which does not exist; found {there}")
        capture = cv2.VideoCapture(number, cv2.CAP_V4L2)
        if not capture.isOpened():
            raise SourceError(f"cannot open {device}: may this user read it?")
        for setting, value in asked.items():
            if value:
                capture.set(setting, value)
        capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        return capture

    return LiveStream(f"webcam:{number}", open_capture)


def open_address(address: str) -> LiveStream:
    """Open a stream of the network through FFmpeg; RTSP over TCP where the server has it.

    Raises:
        SourceError: Nobody streams there.
    """
    os.environ.setdefault(FFMPEG_OPTIONS, STREAM_OPTIONS)  # OpenCV reads it whenever it opens a stream
    timeouts = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, OPEN_TIMEOUT_MS, cv2.CAP_PROP_READ_TIMEOUT_MSEC, READ_TIMEOUT_MS]

    def open_capture() -> cv2.VideoCapture:
        capture = cv2.VideoCapture(address, cv2.CAP_FFMPEG, timeouts)
        if not capture.isOpened():
            raise SourceError(f"cannot open {without_password(address)}: does anybody stream there?")
        return capture

    return LiveStream(without_password(address), open_capture)


def open_pipeline(pipeline: str) -> LiveStream:
    """Open a GStreamer pipeline; an appsink is added if it has none.

    Raises:
        SourceError: OpenCV was built without GStreamer, or the pipeline does not start.
    """
    if not cv2.videoio_registry.hasBackend(cv2.CAP_GSTREAMER):
        raise SourceError(
            f"gstreamer: this OpenCV ({cv2.__version__}) was built without GStreamer, as all of pip are; that of "
            "apt (python3-opencv) has it. Or use source:=gscam"
        )
    return LiveStream("gstreamer", pipeline_opener(pipeline))


def pipeline_opener(pipeline: str) -> OpenCapture:
    """Return what opens a pipeline; it raises SourceError where that does not start in time."""
    sink = " ! videoconvert ! video/x-raw,format=BGR ! appsink drop=true max-buffers=1 sync=false"
    whole = pipeline if "appsink" in pipeline else pipeline + sink
    attempts: list[Future[cv2.VideoCapture]] = []

    def open_capture() -> cv2.VideoCapture:
        if not attempts:  # else one still hangs: OpenCV waits without end for a pipeline that is wrong
            attempts.append(_in_a_thread(lambda: cv2.VideoCapture(whole, cv2.CAP_GSTREAMER)))
        wait(attempts, OPEN_TIMEOUT_MS / 1000)
        capture = attempts.pop().result() if attempts[0].done() else None
        if capture is None or not capture.isOpened():
            raise SourceError(f"gstreamer: the pipeline does not start: {without_password(whole)}")
        return capture

    return open_capture


def _in_a_thread(open_capture: OpenCapture) -> Future[cv2.VideoCapture]:
    """Open something in a thread that the process need not wait for at its end."""
    opened: Future[cv2.VideoCapture] = Future()

    def attempt() -> None:
        try:
            opened.set_result(open_capture())
        except cv2.error as error:
            opened.set_exception(SourceError(one_line(error)))

    Thread(target=attempt, daemon=True).start()
    return opened


def without_password(address: str) -> str:
    """Return an address as it may be shown."""
    scheme, _, rest = address.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}" if "@" in rest.partition("/")[0] else address
