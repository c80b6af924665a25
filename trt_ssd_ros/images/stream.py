"""LiveStream: a webcam, network stream or GStreamer pipeline, reopened after an interruption."""

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
MIN_RETRY_SECONDS, MAX_RETRY_SECONDS = 0.1, 1.0
"""Seconds before a stream is reopened: the delay doubles from the least to the most."""
OPEN_TIMEOUT_MS, READ_TIMEOUT_MS = 4000, 4000
FFMPEG_OPTIONS = "OPENCV_FFMPEG_CAPTURE_OPTIONS"
"""Environment variable with FFmpeg's options for streams; a value that the user has set is kept."""
STREAM_OPTIONS = "rtsp_flags;prefer_tcp|fflags;nobuffer|flags;low_delay|fpsprobesize;0|analyzeduration;500000"
"""Options for a fast start without buffering. OpenCV 4.11 from pip ignores the variable (opencv issue 27091): it
analyses a second or two of a stream before it returns the first image."""

OpenCapture = Callable[[], cv2.VideoCapture]


class LiveStream(ImageSource):
    """Live images; when they stop, the stream is reopened, with growing delays between the attempts.

    Args:
        name: Name of the stream in the log.
        open_capture: Function that opens the stream.

    Raises:
        SourceError: The stream cannot be opened.
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
        """Frames per second that the stream or driver states; None if unknown."""
        return stated_rate(self._capture)

    @property
    def interruptions(self) -> int:
        """Number of interruptions so far."""
        return self._interruptions

    @property
    def trouble(self) -> str:
        """Reason why no images arrive at present; empty if images arrive."""
        return self._trouble

    def captures(self) -> Iterator[Capture]:
        """Read until `stop` is called; see `ImageSource.captures`."""
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
        lost, pause = monotonic(), MIN_RETRY_SECONDS
        self._interruptions += 1
        self._trouble = "the images have stopped"
        self._capture.release()
        LOGGER.warning("%s: the images have stopped; reopening until they resume", self._name)
        while not self._stopped.wait(pause):
            try:
                self._capture = self._open_capture()
            except SourceError as error:
                self._trouble = str(error)
                pause = min(2 * pause, MAX_RETRY_SECONDS)
                continue
            self._trouble = ""
            LOGGER.warning("%s: reopened after %.1f s", self._name, monotonic() - lost)
            return

    def stop(self) -> None:
        """Make `captures` end soon; any thread may call it."""
        self._stopped.set()

    def close(self) -> None:
        """Release the device or connection."""
        self._capture.release()


def open_webcam(number: int, width: int = 0, height: int = 0, rate: float = 0.0) -> LiveStream:
    """Open a webcam through Video4Linux.

    Args:
        number: Number N of /dev/videoN.
        width: Width in pixels to request; 0: the webcam's default.
        height: Height in pixels to request; 0: the webcam's default.
        rate: Frames per second to request; 0: the webcam's default.

    Raises:
        SourceError: The webcam does not exist, or this user may not open it.
    """
    device = Path(f"/dev/video{number}")
    asked = {cv2.CAP_PROP_FRAME_WIDTH: width, cv2.CAP_PROP_FRAME_HEIGHT: height, cv2.CAP_PROP_FPS: rate}

    def open_capture() -> cv2.VideoCapture:
        if not device.exists():
            there = ", ".join(sorted(map(str, device.parent.glob("video*")))) or "no webcam"
            raise SourceError(f"webcam:{number} needs {device}, which does not exist; found {there}")
        capture = cv2.VideoCapture(number, cv2.CAP_V4L2)
        if not capture.isOpened():
            raise SourceError(f"cannot open {device}: check that it is a camera and that this user may read it")
        for setting, value in asked.items():
            if value:
                capture.set(setting, value)
        capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        return capture

    return LiveStream(f"webcam:{number}", open_capture)


def open_address(address: str) -> LiveStream:
    """Open a network stream through FFmpeg; RTSP uses TCP if the server supports it.

    Raises:
        SourceError: The address cannot be opened.
    """
    os.environ.setdefault(FFMPEG_OPTIONS, STREAM_OPTIONS)  # OpenCV reads it whenever it opens a stream
    timeouts = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, OPEN_TIMEOUT_MS, cv2.CAP_PROP_READ_TIMEOUT_MSEC, READ_TIMEOUT_MS]

    def open_capture() -> cv2.VideoCapture:
        capture = cv2.VideoCapture(address, cv2.CAP_FFMPEG, timeouts)
        if not capture.isOpened():
            raise SourceError(
                f"cannot open {without_password(address)}: check the address and that its server is streaming"
            )
        return capture

    return LiveStream(without_password(address), open_capture)


def open_pipeline(pipeline: str) -> LiveStream:
    """Open a GStreamer pipeline; an appsink is added if it has none.

    Raises:
        SourceError: OpenCV was built without GStreamer, or the pipeline does not start.
    """
    if not cv2.videoio_registry.hasBackend(cv2.CAP_GSTREAMER):
        raise SourceError(
            f"gstreamer: this OpenCV ({cv2.__version__}) was built without GStreamer, as are all from pip: "
            "use python3-opencv from apt, or source:=gscam"
        )
    return LiveStream("gstreamer", pipeline_opener(pipeline))


def pipeline_opener(pipeline: str) -> OpenCapture:
    """Return a function that opens a pipeline; it raises SourceError if the pipeline does not start in time."""
    sink = " ! videoconvert ! video/x-raw,format=BGR ! appsink drop=true max-buffers=1 sync=false"
    whole = pipeline if "appsink" in pipeline else pipeline + sink
    attempts: list[Future[cv2.VideoCapture]] = []

    def open_capture() -> cv2.VideoCapture:
        if not attempts:  # else an attempt still hangs: OpenCV waits forever for a faulty pipeline
            attempts.append(_in_a_thread(lambda: cv2.VideoCapture(whole, cv2.CAP_GSTREAMER)))
        wait(attempts, OPEN_TIMEOUT_MS / 1000)
        capture = attempts.pop().result() if attempts[0].done() else None
        if capture is None or not capture.isOpened():
            raise SourceError(f"gstreamer: the pipeline does not start: {without_password(whole)}")
        return capture

    return open_capture


def _in_a_thread(open_capture: OpenCapture) -> Future[cv2.VideoCapture]:
    """Open a capture in a daemon thread, which does not delay the end of the process."""
    opened: Future[cv2.VideoCapture] = Future()

    def attempt() -> None:
        try:
            opened.set_result(open_capture())
        except cv2.error as error:
            opened.set_exception(SourceError(one_line(error)))

    Thread(target=attempt, daemon=True).start()
    return opened


def without_password(address: str) -> str:
    """Return an address without user name and password, for logs and errors."""
    scheme, _, rest = address.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}" if "@" in rest.partition("/")[0] else address
