"""Hub and Viewer: which frames and texts go to which viewer, and when; they know neither HTTP nor ROS.

All calls are made in one thread, that of the event loop.
"""

from __future__ import annotations

import asyncio
import struct
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from trt_ssd_ros.images.rate_limit import RateLimit
from trt_ssd_ros.web.protocol import MAX_IN_FLIGHT, MAX_REQUESTS_PER_SECOND, Ack, Look

MAX_ANSWERS = 64
"""Largest number of answers that a viewer has not read."""
BURST_SECONDS = 2.0
"""A viewer may send the requests of this time at once."""
_BINARY = 0x82
"""First byte of a WebSocket frame that is a whole binary message (RFC 6455, 5.2)."""
_SHORT, _LONG = 126, 127
"""Second byte of a WebSocket frame whose length follows in two or in eight bytes; below, it is the length."""


class ViewerError(RuntimeError):
    """Viewer that does not keep to the limits."""


@dataclass(frozen=True, eq=False)
class Frame:
    """One frame, encoded once for all viewers.

    Attributes:
        camera: Name of the camera.
        number: Number of the frame.
        message: Binary message of the protocol.
    """

    camera: str
    number: int
    message: bytes

    @cached_property
    def packet(self) -> bytes:
        """The message as a frame of a WebSocket: servers do not mask, so it is the same for all viewers."""
        size = len(self.message)
        if size < _SHORT:
            head = struct.pack(">BB", _BINARY, size)
        elif size < 2**16:
            head = struct.pack(">BBH", _BINARY, _SHORT, size)
        else:
            head = struct.pack(">BBQ", _BINARY, _LONG, size)
        return head + self.message


class _CameraView:
    """One camera of one viewer: the frames under way, and the newest that waits."""

    def __init__(self) -> None:
        self.in_flight: deque[int] = deque()
        self.room = MAX_IN_FLIGHT
        self.waiting: Frame | None = None
        self.rate_limit = RateLimit()

    @property
    def due(self) -> Frame | None:
        """The waiting frame, if there is room for it."""
        return self.waiting if len(self.in_flight) < self.room else None

    def note_sent(self) -> None:
        """Note that the waiting frame is under way."""
        assert self.waiting is not None
        self.in_flight.append(self.waiting.number)
        self.waiting = None

    def note(self, ack: Ack) -> None:
        """Note that frames arrived."""
        while self.in_flight and self.in_flight[0] <= ack.frame:
            self.in_flight.popleft()
        if ack.drawn > 1:
            self.room = MAX_IN_FLIGHT + 1  # the page draws one before it acknowledges it
        elif self.waiting is not None:
            self.room = MAX_IN_FLIGHT


class Viewer:
    """One browser: its newest texts, and the newest frame of each camera that it has room for.

    A viewer that reads slowly skips frames. It holds at most one waiting frame for each camera, one text of each
    kind and `MAX_ANSWERS` answers.

    Args:
        write: Sends a packet if the connection takes it now, and returns whether it did. This spares most frames
            the way through `next_message`, and the second of two sends: half of what another viewer costs.

    Attributes:
        look: Newest request for pictures.
    """

    def __init__(self, write: Callable[[bytes], bool]) -> None:
        self.look = Look(frozenset(), 0.0)
        self._write = write
        self._views: dict[str, _CameraView] = {}
        self._texts: dict[str, str] = {}
        self._answers: deque[str] = deque()
        self._allowance = MAX_REQUESTS_PER_SECOND * BURST_SECONDS
        self._counted_at = time.monotonic()
        self._changed = asyncio.Event()

    def count_request(self) -> None:
        """Count one request.

        Raises:
            ViewerError: The viewer sends more requests than allowed.
        """
        now = time.monotonic()
        gained = (now - self._counted_at) * MAX_REQUESTS_PER_SECOND
        self._allowance = min(self._allowance + gained, MAX_REQUESTS_PER_SECOND * BURST_SECONDS) - 1
        self._counted_at = now
        if self._allowance < 0:
            raise ViewerError(f"more than {MAX_REQUESTS_PER_SECOND} requests a second")

    def follow(self, look: Look) -> None:
        """Look at other cameras."""
        self.look = look
        self._views = {camera: self._views.get(camera) or _CameraView() for camera in look.cameras}

    def acknowledge(self, ack: Ack) -> None:
        """Make room for the next frames of a camera."""
        view = self._views.get(ack.camera)
        if view is None:
            return
        view.note(ack)
        self._send(view)

    def offer(self, frame: Frame) -> None:
        """Send a frame when there is room, unless a newer one replaces it."""
        view = self._views.get(frame.camera)
        if view is not None and view.rate_limit.admits(self.look.rate, time.monotonic()):
            view.waiting = frame
            self._send(view)

    def _send(self, view: _CameraView) -> None:
        """Send the waiting frame of a camera, now or by `next_message`, if there is room."""
        frame = view.due
        if frame is None:
            return
        if not self._texts and not self._answers and self._write(frame.packet):
            view.note_sent()
        else:
            self._changed.set()

    def tell(self, kind: str, text: str) -> None:
        """Send a text that replaces an unsent text of its kind."""
        self._texts[kind] = text
        self._changed.set()

    def answer(self, text: str) -> None:
        """Send a text that nothing replaces.

        Raises:
            ViewerError: The viewer does not read its answers.
        """
        if len(self._answers) >= MAX_ANSWERS:
            raise ViewerError(f"more than {MAX_ANSWERS} unread answers")
        self._answers.append(text)
        self._changed.set()

    async def next_message(self) -> str | bytes:
        """Wait for the next message to send, and return it; see `take_message`."""
        while (message := self.take_message()) is None:
            self._changed.clear()
            await self._changed.wait()
        return message

    def take_message(self) -> str | bytes | None:
        """Return the next message to send, texts before frames; None if there is none or no room."""
        return self._take_text() or self._take_frame()

    def _take_text(self) -> str | None:
        if self._texts:
            return self._texts.pop(next(iter(self._texts)))
        return self._answers.popleft() if self._answers else None

    def _take_frame(self) -> bytes | None:
        for camera, view in self._views.items():
            frame = view.due
            if frame is not None:
                view.note_sent()
                self._views[camera] = self._views.pop(camera)  # the other cameras are next
                return frame.message
        return None


@dataclass(frozen=True)
class Demand:
    """Demand of all viewers: their number, and the cameras that they look at."""

    viewers: int = 0
    cameras: frozenset[str] = frozenset()


class Hub:
    """All viewers, and the newest text of each kind for those that come.

    Args:
        changed: Called with the new demand when it changes.

    Attributes:
        viewers: The viewers.
    """

    def __init__(self, changed: Callable[[Demand], None]) -> None:
        self.viewers: list[Viewer] = []
        self._texts: dict[str, str] = {}
        self._changed = changed
        self._demand = Demand()

    def join(self, write: Callable[[bytes], bool]) -> Viewer:
        """Return a new viewer, with the newest texts; see `Viewer`."""
        viewer = Viewer(write)
        for kind, text in self._texts.items():
            viewer.tell(kind, text)
        self.viewers.append(viewer)
        self.follow_demand()
        return viewer

    def leave(self, viewer: Viewer) -> None:
        """Forget a viewer."""
        self.viewers.remove(viewer)
        self.follow_demand()

    def follow_demand(self) -> None:
        """Pass on the demand if it has changed; call it after a viewer looks at other cameras."""
        cameras = frozenset(camera for viewer in self.viewers for camera in viewer.look.cameras)
        demand = Demand(len(self.viewers), cameras)
        if demand != self._demand:
            self._demand = demand
            self._changed(demand)

    def tell(self, kind: str, text: str) -> None:
        """Send a text to all viewers, unless it is the one before."""
        if self._texts.get(kind) == text:
            return
        self._texts[kind] = text
        for viewer in self.viewers:
            viewer.tell(kind, text)

    def forget(self, kind: str) -> None:
        """Forget a text that may not be true any more when the next viewer comes."""
        self._texts.pop(kind, None)

    def offer(self, frame: Frame) -> None:
        """Offer a frame to the viewers that look at its camera."""
        for viewer in self.viewers:
            viewer.offer(frame)
