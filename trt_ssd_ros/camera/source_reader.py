"""SourceReader: a thread that opens a source, paces its images, and opens it again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import inf
from threading import Event, Thread
from time import monotonic
from typing import Protocol

from rclpy.impl.rcutils_logger import RcutilsLogger

from trt_ssd_ros.errors import counted, one_line
from trt_ssd_ros.images.rate_limit import RateLimit
from trt_ssd_ros.images.source import AbsentSourceError, Capture, ImageSource, SourceError, SourceSettingError
from trt_ssd_ros.images.stream import READER, retry_delays
from trt_ssd_ros.ros.process import signals_blocked
from trt_ssd_ros.ros.transport import DEMAND_PERIOD

DEFAULT_RATE = 30.0
LONGEST_RETRY = 2.0
"""Seconds between two attempts to open a source, at most."""
SETTLING = 0.5
"""Seconds for a discovered subscriber to discover the publisher, and to receive the last image."""
HANG = 12.0
"""Seconds without a return from the source after which it hangs.

OpenCV returns from V4L2 after 10 s without an image (cap_v4l.cpp, OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT), and from
FFmpeg after READ_TIMEOUT_MS; such a source is reopened without a new thread. GStreamer's limit is longer, 30 s
(cap_gstreamer.cpp): its thread is left, and ends then."""
END = 2.0
"""Seconds for the thread to end; it cannot be interrupted while the source hangs."""


class Viewer(Protocol):
    """Interface of the camera node to its reader, called in the reader's thread.

    Attributes:
        demand: Nodes that may want images, for the log.
    """

    demand: str

    @property
    def is_ending(self) -> bool:
        """Whether ROS is shut down."""

    def is_wanted(self) -> bool:
        """Return whether the detector or a subscriber wants images."""

    def note_opened(self, pace: str) -> None:
        """Log that the source is open, and the pace of its images."""

    def show(self, capture: Capture) -> bool:
        """Decode and publish an image; return whether it could be read."""

    def end(self, error: Exception | None) -> None:
        """End the camera, because the source has ended or failed."""


@dataclass(frozen=True)
class Playback:
    """How a source is read.

    Attributes:
        rate: Images per second, for a live source at most; 0: the rate of the source, else DEFAULT_RATE.
        loop: Whether a file starts again at its end.
        start: Number of the first image of a file, from 0.
        waits: Whether a source that cannot be opened at the start is waited for.
        reopens: Whether a source that has failed is opened again.
    """

    rate: float = 0.0
    loop: bool = True
    start: int = 0
    waits: bool = True
    reopens: bool = False


class SourceReader:
    """Reader of one source, in a separate thread, which cannot be interrupted in a source that hangs.

    Args:
        find: Function that returns the source, not yet open.
        playback: How the source is read.
        viewer: Camera node.
        logger: Logger of the node.
        hung: Reader that this one replaces, because its source hangs.

    Attributes:
        source: Source that is read.
        absence: Reason why the source cannot be opened, before its first image; else empty.
        failure: Reason why the source failed last, until its next image; else empty.
        idle: Whether the source is closed because no images are wanted.
        ended: Whether the source has ended.
    """

    def __init__(
        self,
        find: Callable[[], ImageSource],
        playback: Playback,
        viewer: Viewer,
        logger: RcutilsLogger,
        hung: SourceReader | None = None,
    ) -> None:
        self.absence = ""
        self.failure: str = "" if hung is None else hung.failure
        self.idle = self.ended = False
        self.source: ImageSource = find() if hung is None else hung.source
        self._used = hung is not None
        self._waits = playback.waits or hung is not None
        self._earlier_interruptions: int = 0 if hung is None else hung._earlier_interruptions + 1
        self._find = find
        self._playback = playback
        self._viewer = viewer
        self._logger = logger
        self._limit = RateLimit()
        self._stop = Event()
        self._readable = 0
        self._has_shown = False
        self._began = 0.0
        self._delays = retry_delays(LONGEST_RETRY)
        self._opened = ""
        self._inside: float | None = None
        self._interrupted = -inf
        self._thread = Thread(target=self._run, name=READER, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        with signals_blocked():
            self._thread.start()

    def stop(self, seconds: float = END) -> None:
        """Let the thread end, and wait for it at most some seconds."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(seconds)

    @property
    def interruptions(self) -> int:
        """Number of interruptions and hangs so far."""
        return self._earlier_interruptions + self.source.interruptions

    @property
    def thread_id(self) -> int | None:
        """Identifier of the thread, as in log records; None before its start."""
        return self._thread.ident

    @property
    def is_alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def find_hang(self) -> str:
        """Return a text about a source that has not returned for HANG seconds; empty if it returns.

        The time of an interruption does not count. Call it about once a second, so that it sees their ends.
        """
        now, inside = monotonic(), self._inside
        if self.source.trouble:
            self._interrupted = now
        hangs = inside is not None and now - max(inside, self._interrupted) > HANG
        return f"the source hangs: no image for {HANG:g} s" if hangs else ""

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._await_demand()
                if self._stop.is_set():
                    return
                self._renew()
                self.ended = self._read()
            except Exception as error:
                if self._stop.is_set() or self._viewer.is_ending or not self._note_failure(error):
                    return
                self._stop.wait(next(self._delays))
            else:
                self._delays = retry_delays(LONGEST_RETRY)
                if self.ended:
                    self._stop.wait(SETTLING)
                    self._viewer.end(None)
                    return

    def _renew(self) -> None:
        """Find the source again if it was open, because a file that was closed cannot be opened again."""
        if self._used:
            with self._inside_source():
                source = self._find()
            self._earlier_interruptions += self.source.interruptions
            self.source, self._used = source, False

    def _read(self) -> bool:
        """Open the source, show its images and close it; return whether it has ended."""
        self.source.stop_on(self._stop)
        try:
            return self._open() and self._play()
        finally:
            self.source.close()

    @contextmanager
    def _inside_source(self) -> Iterator[None]:
        """Let `find_hang` measure the time in the block."""
        self._inside = monotonic()
        try:
            yield
        finally:
            self._inside = None

    def _note_failure(self, error: Exception) -> bool:
        """Record a failure; return whether the source is opened again.

        A wrong setting ends the camera, unless it was right before: then the source has changed.
        """
        never_open = isinstance(error, AbsentSourceError)
        is_mistake = isinstance(error, SourceSettingError) and not self._has_shown
        if never_open or is_mistake or not self._playback.reopens:
            self._viewer.end(error)
            return False
        reason = one_line(error)
        if reason != self.failure:
            self._logger.error(f"the source failed, trying again until it opens: {reason}")
        self.failure = reason
        return True

    def _await_demand(self) -> None:
        if self._viewer.is_wanted():
            return
        self.idle = True
        self._logger.info(f"waiting for {self._viewer.demand}")
        while not (self._viewer.is_wanted() or self._stop.wait(DEMAND_PERIOD)):
            pass
        self.idle = False
        if self._plays_once:
            self._stop.wait(SETTLING)

    @property
    def _plays_once(self) -> bool:
        return not (self._playback.loop or self.source.live)

    def _open(self) -> bool:
        """Open the source; return false after a stop, or once no more images are wanted.

        Raises:
            AbsentSourceError: The source cannot be opened at the start, and is not waited for.
        """
        began, delays = monotonic(), retry_delays(LONGEST_RETRY)
        while not self._try_to_open():
            if self._stop.wait(next(delays)):
                return False
            if not self._viewer.is_wanted():
                self.absence = ""
                return False
        waited = f", after {monotonic() - began:.1f} s of waiting for it" if self.absence else ""
        self.absence = ""
        by_source = self.source.live and not self._playback.rate
        pace = "at the rate of the source" if by_source else f"at {1 / self._period:.4g} Hz"
        self._used = self._waits = True
        self._opened = f"{pace}{waited}"
        if not self.failure:  # else once an image comes
            self._viewer.note_opened(self._opened)
        return True

    def _try_to_open(self) -> bool:
        try:
            with self._inside_source():
                self.source.open()
        except AbsentSourceError as error:
            if self._stop.is_set():
                return False
            if not self._waits:
                raise
            if not self.absence:
                advice = " (wait_for_source:=false ends the node instead)" if self._playback.waits else ""
                self._logger.warning(f"{error}; trying again until it opens{advice}")
            self.absence = str(error)
            return False
        return True

    @property
    def _period(self) -> float:
        return 1 / (self._playback.rate or self.source.rate or DEFAULT_RATE)

    def _play(self) -> bool:
        """Show the images; return whether the source has ended, else it was stopped or no more are wanted."""
        self._began = due = monotonic()
        for capture in self._captures():
            if self._stop.is_set():
                return False
            if self.source.live:
                if not self._limit.admits(self._playback.rate, monotonic()):
                    continue
            elif self._stop.wait(max(0.0, due - monotonic())):
                return False
            with self._inside_source():
                readable = self._viewer.show(capture)
            if readable:
                self._note_readable()
            if not (self._plays_once or self._viewer.is_wanted()):
                return False
            due = max(due + self._period, monotonic())
        return not self._stop.is_set()

    def _note_readable(self) -> None:
        """Record an image; after a good run, of LONGEST_RETRY seconds with images, retries start afresh."""
        self._readable += 1
        self._has_shown = True
        if monotonic() - self._began >= LONGEST_RETRY:
            self._delays = retry_delays(LONGEST_RETRY)
        if self.failure:
            self.failure = ""
            self._viewer.note_opened(self._opened)

    def _captures(self) -> Iterator[Capture]:
        yield from self._one_pass()
        while self._playback.loop and not self._stop.is_set():
            yield from self._one_pass()

    def _one_pass(self) -> Iterator[Capture]:
        """Read the source once, from image number `start` on.

        Raises:
            SourceSettingError: The source has fewer images.
            SourceError: The source has no image that can be read.
        """
        start, total, self._readable = self._playback.start, 0, 0
        captures = enumerate(self.source.captures(), 1)
        while (numbered := self._next(captures)) is not None:
            total, capture = numbered
            if total > start:
                yield capture
        if start >= total > 0:
            raise SourceSettingError(
                f"start: found {start}, expected at most {total - 1}: the source has {counted(total, 'image')}"
            )
        if total and not self._readable and not self._stop.is_set():
            raise SourceError(f"source: found {counted(total - start, 'file')}, but no image that can be read")

    def _next(self, captures: Iterator[tuple[int, Capture]]) -> tuple[int, Capture] | None:
        with self._inside_source():
            return next(captures, None)
