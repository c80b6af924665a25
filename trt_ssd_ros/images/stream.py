"""LiveStream: a webcam, network stream or GStreamer pipeline, reopened after an interruption."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from time import monotonic

import cv2
import numpy as np

from trt_ssd_ros.errors import one_line
from trt_ssd_ros.images.source import AbsentSourceError, Capture, ImageSource, SourceError, SourceImage
from trt_ssd_ros.images.source_name import without_password
from trt_ssd_ros.images.video import stated_rate

LOGGER = logging.getLogger(__name__)
MIN_RETRY_SECONDS, MAX_RETRY_SECONDS = 0.1, 1.0
"""Seconds before a stream is reopened: the delay doubles from the least to the most."""
OPEN_TIMEOUT_MS, READ_TIMEOUT_MS = 4000, 4000
PATIENCE = 5.0
"""Seconds after which an attempt to open has failed; more than FFmpeg's own limit, OPEN_TIMEOUT_MS."""
POLL_SECONDS = 0.05
"""Seconds between two checks for a stop while a stream opens."""
OPENER, READER = "source_opener", "source_reader"
"""Names of the threads that open and read a source."""
FFMPEG_OPTIONS = "OPENCV_FFMPEG_CAPTURE_OPTIONS"
"""Environment variable with FFmpeg's options for streams; a value that the user has set is kept."""
STREAM_OPTIONS = "rtsp_flags;prefer_tcp|fflags;nobuffer|flags;low_delay|fpsprobesize;0|analyzeduration;500000"
"""Options for a fast start without buffering. OpenCV 4.11 from pip ignores the variable (opencv issue 27091): it
analyses a second or two of a stream before it returns the first image."""
USUAL_PROTOCOLS = ("rtsp", "http", "https", "rtmp", "udp")
PROTOCOLS = frozenset(
    "amqp ftp gopher gophers hls http httpproxy https icecast ipfs ipns mmsh mmst rist rtmp rtmpe "  # noqa: SIM905
    "rtmps rtmpt rtmpte rtmpts rtp rtsp rtsps sap sctp sftp smb srt srtp tcp tls udp udplite unix zmq".split()
)
"""Network protocols of FFmpeg (ffmpeg.org/ffmpeg-protocols.html)."""

OpenCapture = Callable[[], cv2.VideoCapture]


class LiveStream(ImageSource):
    """Live images; when they stop, the stream is reopened, with growing delays between the attempts.

    OpenCV cannot be interrupted while it opens a stream, and may wait forever for a pipeline. So another
    thread opens it; an attempt that hangs goes on, and the next call of `open` waits for it.

    Args:
        name: Name of the stream in the log.
        open_capture: Function that opens the stream.
        failure: Error message for a stream that does not open.
    """

    live = True

    def __init__(self, name: str, open_capture: OpenCapture, failure: str) -> None:
        self._name = name
        self._open_capture = open_capture
        self._failure = failure
        self._capture = cv2.VideoCapture()
        self._attempt: Future[cv2.VideoCapture] | None = None
        self._stopped = threading.Event()
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

    def open(self) -> None:
        """Open the stream; see `ImageSource.open`."""
        attempt = self._attempt or _in_a_thread(self._open_capture)
        deadline = monotonic() + PATIENCE
        while not (attempt.done() or self._stopped.is_set() or monotonic() > deadline):
            wait((attempt,), POLL_SECONDS)
        self._attempt = None if attempt.done() else attempt
        if self._attempt is not None:
            raise AbsentSourceError(self._failure)
        try:
            self._capture = attempt.result()
        except cv2.error as error:
            raise AbsentSourceError(one_line(error)) from error
        if not self._capture.isOpened():
            raise AbsentSourceError(self._failure)

    def captures(self) -> Iterator[Capture]:
        """Read until the event of `stop_on` is set; see `ImageSource.captures`."""
        begun, index = monotonic(), -1
        while not self._stopped.is_set():
            if self._capture.grab():
                index += 1
                yield partial(self._retrieve, index, monotonic() - begun)
            elif not self._stopped.is_set():
                self._reopen()

    def _retrieve(self, index: int, seconds: float) -> SourceImage:
        decoded, image = self._capture.retrieve()
        if not decoded:
            return SourceImage.unreadable(index, f"{index:06d}", "the frame cannot be decoded")
        return SourceImage(index, f"{index:06d}", np.asarray(image, np.uint8), seconds=seconds)

    def _reopen(self) -> None:
        lost, delays = monotonic(), retry_delays(MAX_RETRY_SECONDS)
        self._interruptions += 1
        self._trouble = "the images have stopped"
        self._capture.release()
        LOGGER.warning("%s: the images have stopped; reopening until they resume", self._name)
        while not self._stopped.wait(next(delays)):
            try:
                self.open()
            except AbsentSourceError as error:
                self._trouble = str(error)
                continue
            self._trouble = ""
            LOGGER.warning("%s: reopened after %.1f s", self._name, monotonic() - lost)
            return

    def stop_on(self, event: threading.Event) -> None:
        """Make `open` and `captures` end soon after an event is set; see `ImageSource.stop_on`."""
        self._stopped = event

    def close(self) -> None:
        """Release the device or connection."""
        self._capture.release()


def retry_delays(longest: float) -> Iterator[float]:
    """Yield the delays between attempts to open a source, in seconds: they double up to `longest`."""
    delay = MIN_RETRY_SECONDS
    while True:
        yield delay
        delay = min(2 * delay, longest)


def webcam(number: int, width: int = 0, height: int = 0, rate: float = 0.0) -> LiveStream:
    """Return a webcam that Video4Linux opens.

    Args:
        number: Number N of /dev/videoN.
        width: Width in pixels to request; 0: the webcam's default.
        height: Height in pixels to request; 0: the webcam's default.
        rate: Frames per second to request; 0: the webcam's default.
    """
    device = Path(f"/dev/video{number}")
    asked = {cv2.CAP_PROP_FRAME_WIDTH: width, cv2.CAP_PROP_FRAME_HEIGHT: height, cv2.CAP_PROP_FPS: rate}

    def open_capture() -> cv2.VideoCapture:
        if not device.exists():
            there = ", ".join(sorted(map(str, device.parent.glob("video*")))) or "no webcam"
            raise AbsentSourceError(f"webcam:{number} needs {device}, which does not exist; found {there}")
        capture = cv2.VideoCapture(number, cv2.CAP_V4L2)
        for setting, value in asked.items():
            if value:
                capture.set(setting, value)
        capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        return capture

    failure = f"cannot open {device}: check that it is a camera and that this user may read it"
    return LiveStream(f"webcam:{number}", open_capture, failure)


def network_stream(address: str) -> LiveStream:
    """Return a network stream that FFmpeg opens; RTSP uses TCP if the server supports it.

    Raises:
        SourceError: FFmpeg does not know the protocol.
    """
    protocol, name = address.partition("://")[0].lower(), without_password(address)
    if protocol not in PROTOCOLS:
        near = get_close_matches(protocol, USUAL_PROTOCOLS, n=1)
        expected = f"did you mean {near[0]}?" if near else f"expected e.g. {', '.join(USUAL_PROTOCOLS)}"
        raise SourceError(f"source: found the protocol '{protocol}' in {name}, {expected}")
    os.environ.setdefault(FFMPEG_OPTIONS, STREAM_OPTIONS)  # OpenCV reads it whenever it opens a stream
    timeouts = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, OPEN_TIMEOUT_MS, cv2.CAP_PROP_READ_TIMEOUT_MSEC, READ_TIMEOUT_MS]
    failure = f"cannot open {name}: check the address and that its server is streaming"
    return LiveStream(name, lambda: cv2.VideoCapture(address, cv2.CAP_FFMPEG, timeouts), failure)


def pipeline_stream(pipeline: str) -> LiveStream:
    """Return a stream of a GStreamer pipeline; an appsink is added if it has none.

    Raises:
        SourceError: The pipeline is empty, or OpenCV was built without GStreamer.
    """
    if not pipeline.strip():
        raise SourceError(
            'gstreamer: found no pipeline, expected elements with !, e.g. pipeline:="v4l2src ! decodebin"'
        )
    if not cv2.videoio_registry.hasBackend(cv2.CAP_GSTREAMER):
        raise SourceError(
            f"gstreamer: this OpenCV ({cv2.__version__}) was built without GStreamer, as are all from pip: "
            "use python3-opencv from apt, or source:=gscam"
        )
    sink = " ! videoconvert ! video/x-raw,format=BGR ! appsink drop=true max-buffers=1 sync=false"
    whole = pipeline if "appsink" in pipeline else pipeline + sink
    failure = f"gstreamer: the pipeline does not start: {without_password(whole)}"
    return LiveStream("gstreamer", lambda: cv2.VideoCapture(whole, cv2.CAP_GSTREAMER), failure)


def _in_a_thread(open_capture: OpenCapture) -> Future[cv2.VideoCapture]:
    """Open a capture in a daemon thread, which does not delay the end of the process."""
    opened: Future[cv2.VideoCapture] = Future()

    def attempt() -> None:
        try:
            opened.set_result(open_capture())
        except Exception as error:
            opened.set_exception(error)

    threading.Thread(target=attempt, name=OPENER, daemon=True).start()
    return opened


def is_in_use() -> bool:
    """Return whether a thread of this process is in a source, opening or reading it."""
    return any(thread.name in (OPENER, READER) for thread in threading.enumerate())


def exit_code(code: int) -> int:
    """Return an exit code; end the process with it at once if a thread is still in a source.

    OpenCV would abort the process if it returned while the interpreter ends.
    """
    if is_in_use():
        os._exit(code)
    return code
