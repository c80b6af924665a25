"""Flow control: a viewer that reads slowly skips frames, delays no other viewer and holds little."""

from __future__ import annotations

import heapq
import itertools
import json
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

from trt_ssd_ros.bench.acknowledgements import Acknowledgements
from trt_ssd_ros.web.protocol import MAX_IN_FLIGHT, MAX_REQUESTS_PER_SECOND, Ack, Look
from trt_ssd_ros.web.viewers import BURST_SECONDS, MAX_ANSWERS, Demand, Frame, Hub, Viewer, ViewerError


def frame(number: int, camera: str = "a") -> Frame:
    """A frame whose message is its camera and number."""
    return Frame(camera, number, f"{camera}{number}".encode())


def refuse(_: bytes) -> bool:
    """Take no packet, as a connection on which earlier bytes wait."""
    return False


def ready(viewer: Viewer) -> list[Any]:
    """Return what can be sent to a viewer now."""
    return list(iter(viewer.take_message, None))


def exhaust(viewer: Viewer) -> None:
    """Count requests faster than they are allowed."""
    while True:
        viewer.count_request()


@pytest.fixture
def demands() -> list[Demand]:
    """The demands that a hub passes on."""
    return []


@pytest.fixture
def hub(demands: list[Demand]) -> Hub:
    """A hub."""
    return Hub(demands.append)


def test_a_viewer_that_looks_at_nothing_gets_no_frame(hub):
    viewer = hub.join(refuse)
    hub.offer(frame(1))
    assert ready(viewer) == []


def test_a_viewer_that_acknowledges_nothing_gets_no_more_and_then_the_newest(hub):
    slow, quick = hub.join(refuse), hub.join(refuse)
    seen = []
    for viewer in (slow, quick):
        viewer.follow(Look(frozenset("a"), 0.0))
    for number in range(1, 101):
        hub.offer(frame(number))
        seen += ready(quick)
        quick.acknowledge(Ack("a", number, 1))
        if number <= MAX_IN_FLIGHT:
            assert ready(slow) == [f"a{number}".encode()]
    assert seen == [f"a{number}".encode() for number in range(1, 101)]
    assert ready(slow) == []
    slow.acknowledge(Ack("a", 1, 1))
    assert ready(slow) == [b"a100"]
    slow.acknowledge(Ack("a", 100, 1))
    hub.offer(frame(101))
    hub.offer(frame(102))
    assert ready(slow) == [b"a102"]


def test_a_frame_is_written_at_once_where_nothing_waits(hub):
    written: list[bytes] = []
    free = [True]

    def write(packet: bytes) -> bool:
        if free[0]:
            written.append(packet)
        return free[0]

    viewer = hub.join(write)
    viewer.follow(Look(frozenset("a"), 0.0))
    for number in (1, 2, 3):
        hub.offer(frame(number))
    assert written == [b"\x82\x02a1", b"\x82\x02a2"], "as many as may be under way"
    viewer.acknowledge(Ack("a", 1, 1))
    assert written[2:] == [b"\x82\x02a3"]
    viewer.acknowledge(Ack("a", 3, 1))
    hub.tell("state", "text")
    hub.offer(frame(4))
    assert (written[3:], ready(viewer)) == ([], ["text", b"a4"]), "a text that waits comes first"
    free[0] = False
    hub.offer(frame(5))
    assert ready(viewer) == [b"a5"]


class Link:
    """A connection to a page, in simulated time.

    Args:
        travel: Seconds from the web node to the pixels.
        back: Seconds of an acknowledgement from the page to the web node.
        transfer: Seconds for which a frame occupies the connection.
        due: Returns the number of drawn frames that the page acknowledges when it draws one at a time in seconds,
            and whether it skipped frames before.
        drawing: Returns the seconds that the page draws the next frame; meanwhile only the newest waits.
    """

    def __init__(
        self,
        travel: float,
        back: float,
        transfer: float,
        due: Callable[[float, bool], int],
        drawing: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self.viewer = Viewer(self._write)
        self.viewer.follow(Look(frozenset("a"), 0.0))
        self.acknowledged = self.skipped = 0
        self.drawn: dict[int, float] = {}
        self._travel, self._back, self._transfer, self._due, self._drawing = travel, back, transfer, due, drawing
        self._arrived: list[int] = []
        self._busy = False
        self._now = self._free = 0.0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._count = itertools.count()

    def _at(self, time: float, event: Callable[[], None]) -> None:
        heapq.heappush(self._events, (time, next(self._count), event))

    def _write(self, packet: bytes) -> bool:
        self._free = max(self._now, self._free) + self._transfer
        self._at(self._free + self._travel, partial(self._arrive, int(packet[3:])))
        return True

    def _arrive(self, number: int) -> None:
        self._arrived.append(number)
        if not self._busy:
            self._draw()

    def _draw(self) -> None:
        *skipped, number = self._arrived
        self.skipped += len(skipped)
        self._arrived, self._busy = [], True
        self._at(self._now + self._drawing(), partial(self._note_drawn, number, bool(skipped)))

    def _note_drawn(self, number: int, skipped: bool) -> None:
        self.drawn[number], self._busy = self._now, False
        if drawn := self._due(self._now, skipped):
            self.acknowledged += 1
            self._at(self._now + self._back, partial(self.viewer.acknowledge, Ack("a", number, drawn)))
        if self._arrived:
            self._draw()

    def run(self, rate: float, frames: int = 200) -> None:
        """Offer frames at a rate in Hz."""
        for number in range(frames):
            self._at(number / rate, partial(self.viewer.offer, frame(number)))
        while self._events:
            self._now, _, event = heapq.heappop(self._events)
            event()


@pytest.mark.parametrize(
    ("rate", "share"), [(60.0, 0.5), (30.0, 0.5), (15.0, 1.0)], ids=["60 Hz", "30 Hz", "15 Hz"]
)
@pytest.mark.parametrize("way", [0.1, 0.9, 1.2, 1.9], ids=lambda way: f"{way} periods")
def test_a_frame_waits_for_no_acknowledgement_that_the_page_holds_back(rate, share, way):
    link = Link(0.75 * way / rate, 0.25 * way / rate, 0.0, Acknowledgements().due)
    link.run(rate)
    first = 10  # at first, the node does not know that the page holds acknowledgements back
    late = {number: at - number / rate for number, at in link.drawn.items() if number >= first}
    assert late == pytest.approx(dict.fromkeys(range(first, 200), 0.75 * way / rate))
    assert link.acknowledged == pytest.approx(200 * share, abs=first)


def test_a_slow_page_acknowledges_each_frame_and_gets_what_it_got_then():
    slow, each = Link(0.005, 0.005, 0.1, Acknowledgements().due), Link(0.005, 0.005, 0.1, lambda *_: 1)
    for link in (slow, each):
        link.run(30.0)
    assert (slow.drawn, slow.acknowledged) == (each.drawn, len(each.drawn))


def test_a_page_that_stutters_gets_the_newest_frame_all_the_same():
    pauses = np.random.default_rng(1)
    due = Acknowledgements().due
    link = Link(0.002, 0.002, 0.001, due, lambda: float(pauses.choice([0.001, 0.02, 0.15], p=[0.6, 0.3, 0.1])))
    link.run(30.0, 3000)
    assert max(link.drawn) == 2999
    assert link.skipped > 100
    assert link.acknowledged < len(link.drawn) - 100, "it held some back"


def two_under_way() -> tuple[Viewer, list[bytes]]:
    """Return a viewer after its first two frames, and the messages that are written to its page."""
    written: list[bytes] = []

    def write(packet: bytes) -> bool:
        written.append(packet[2:])
        return True

    viewer = Viewer(write)
    viewer.follow(Look(frozenset("a"), 0.0))
    for number in (1, 2):
        viewer.offer(frame(number))
    return viewer, written


def test_one_more_frame_is_under_way_until_the_page_is_slow():
    viewer, written = two_under_way()
    viewer.acknowledge(Ack("a", 2, 2))
    for number in (3, 4, 5, 6):
        viewer.offer(frame(number))
    assert written == [b"a1", b"a2", b"a3", b"a4", b"a5"]
    viewer.acknowledge(Ack("a", 3, 1))
    assert len(written) == 5, "frame 6 waited, so two are under way again"
    viewer.acknowledge(Ack("a", 4, 1))
    assert written[5:] == [b"a6"]


def test_a_page_that_skips_a_frame_has_no_more_under_way():
    viewer, written = two_under_way()
    viewer.acknowledge(Ack("a", 2, 1))
    for number in (3, 4, 5):
        viewer.offer(frame(number))
    assert written == [b"a1", b"a2", b"a3", b"a4"]


@pytest.mark.parametrize(
    ("size", "head"),
    [
        (0, b"\x82\0"),
        (125, b"\x82\x7d"),
        (126, b"\x82\x7e\0\x7e"),
        (2**16 - 1, b"\x82\x7e\xff\xff"),
        (2**16, b"\x82\x7f\0\0\0\0\0\1\0\0"),
    ],
)
def test_a_packet_is_a_frame_of_a_websocket(size, head):
    assert Frame("", 1, bytes(size)).packet == head + bytes(size)


def test_cameras_take_turns(hub):
    viewer = hub.join(refuse)
    viewer.follow(Look(frozenset("ab"), 0.0))
    for camera in "ab":
        hub.offer(frame(1, camera))
    assert sorted(ready(viewer)) == [b"a1", b"b1"]
    assert ready(viewer) == []


def test_the_rate_of_a_viewer_is_its_own(hub):
    slow, quick = hub.join(refuse), hub.join(refuse)
    slow.follow(Look(frozenset("a"), 0.001))
    quick.follow(Look(frozenset("a"), 0.0))
    hub.offer(frame(1))
    hub.offer(frame(2))
    assert (ready(slow), ready(quick)) == ([b"a1"], [b"a2"])


def test_texts_come_first_and_only_the_newest_of_a_kind(hub):
    hub.tell("state", "old")
    viewer = hub.join(refuse)
    viewer.follow(Look(frozenset("a"), 0.0))
    hub.offer(frame(1))
    hub.tell("state", "new")
    hub.tell("parameters", "p")
    assert ready(viewer) == ["new", "p", b"a1"]
    hub.tell("state", "new")
    assert ready(viewer) == []
    assert ready(hub.join(refuse)) == ["new", "p"]


def test_a_viewer_that_reads_no_answers_is_refused(hub):
    viewer = hub.join(refuse)
    for number in range(MAX_ANSWERS):
        viewer.answer(json.dumps(number))
    with pytest.raises(ViewerError, match="unread answers"):
        viewer.answer("one more")


def test_a_viewer_that_asks_too_much_is_refused(hub):
    viewer = hub.join(refuse)
    for _ in range(int(MAX_REQUESTS_PER_SECOND * BURST_SECONDS)):
        viewer.count_request()
    with pytest.raises(ViewerError, match="requests a second"):
        exhaust(viewer)


def test_the_demand_is_that_of_all_viewers(hub, demands):
    one, two = hub.join(refuse), hub.join(refuse)
    for viewer, cameras in ((one, "a"), (two, "ab"), (one, "")):
        viewer.follow(Look(frozenset(cameras), 0.0))
        hub.follow_demand()
    hub.leave(two)
    hub.leave(one)
    assert demands == [
        *(Demand(1), Demand(2), Demand(2, frozenset("a")), Demand(2, frozenset("ab"))),
        *(Demand(1), Demand(0)),
    ]
