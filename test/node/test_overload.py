"""More images than the engine can take: results stay fresh, memory flat, and every drop is counted."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from node_process import NodeProcess
from probe import DetectorClient
from rclpy.utilities import get_rmw_implementation_identifier
from std_msgs.msg import Header

from trt_ssd_ros.node.messages import image_to_msg

pytestmark = [
    pytest.mark.ros,
    pytest.mark.skipif(
        get_rmw_implementation_identifier() != "rmw_fastrtps_cpp",
        reason="needs the shared-memory profile, and sequence numbers to count what the middleware drops",
    ),
]

RATE, SECONDS = 60, 6
DELAY = 0.1
NOISE = 0.15
"""Seconds that a busy machine of two cores usually adds to an age: publisher, node and test share it."""
STALL = 1.0
"""Seconds that it adds at worst, when something else takes both cores. An image that waited in a queue would be
older still: at the end of the flood 300 images would be waiting, 30 s of work."""
GROWTH = 16e6
"""Bytes that the node may grow by, less than three images (6.2 MB each); it is sent 360."""


def memory(process: NodeProcess) -> float:
    """Bytes of memory of the process's own; shared memory, which Fast DDS fills bit by bit, does not count."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(re.search(r"RssAnon:\s+(\d+) kB", status)[1]) * 1024


def stamp_now() -> Time:
    """The time of day as a stamp."""
    return Time(**dict(zip(("sec", "nanosec"), divmod(time.time_ns(), 10**9), strict=True)))


def seconds_since(stamp: Time) -> float:
    """Seconds from a stamp to now."""
    return time.time() - stamp.sec - stamp.nanosec * 1e-9


@pytest.fixture
def image(photo: Any) -> Any:
    """A 1920x1080 message."""
    return image_to_msg(np.ascontiguousarray(photo("chelsea", 1920, 1080)), "bgr", Header(frame_id="flood"))


def test_stays_fresh_and_counts_every_drop(client, start_slow_detector, image):
    process = start_slow_detector(DELAY)
    client.ask(image)
    sent_before = client.sent
    client.probe.spin_until(lambda: client.counts()[0] >= len(client.answers), "the counts before the flood")
    counts_before = client.counts()
    ages: list[float] = []
    sizes: list[float] = []

    flood(client, image, ages, lambda: sizes.append(memory(process)))

    image.header.stamp = stamp_now()
    client.ask(image)
    sent = client.sent - sent_before
    client.probe.spin_until(
        lambda: sum(client.counts()) - sum(counts_before) >= sent,
        f"counts of {sent} images from {counts_before}; the last are {client.counts()}",
        10,
    )
    client.probe.spin(1.2)
    processed, dropped, refused = np.subtract(client.counts(), counts_before)
    assert processed + dropped + refused == sent, "every image is accounted for"
    assert refused == 0
    assert dropped > processed > 20
    status = client.status()
    usual, slowest = (float(status[f"engine p{q} ms"]) / 1e3 for q in (50, 99))
    print(
        f"{sent} sent, {processed} processed, {dropped} dropped; inference {usual:.3f}, "
        f"at most {slowest:.3f} s; age {np.median(ages):.3f}, at most {max(ages):.3f} s; {sizes[0] / 1e6:.0f} MB, "
        f"then {max(sizes) / 1e6:.0f} MB"
    )
    assert np.median(ages) < 1.5 * usual + NOISE / 3, "it waits for the frame period and one inference"
    assert np.percentile(ages, 90) < 2 * usual + NOISE
    assert max(ages) < 2 * slowest + STALL
    third = len(ages) // 3
    assert np.median(ages[-third:]) < np.median(ages[:third]) + NOISE, "the age does not grow"
    assert max(sizes[len(sizes) // 3 :]) - sizes[len(sizes) // 3] < GROWTH


def flood(client: DetectorClient, image: Any, ages: list[float], measure: Any) -> None:
    """Publish at RATE for SECONDS, note the age of every answer as it comes, and measure with every answer."""
    start, known = time.monotonic(), len(client.answers)

    def note_answers() -> None:
        nonlocal known
        for answer in client.answers[known:]:
            ages.append(seconds_since(answer.header.stamp))
            measure()
        known = len(client.answers)

    for tick in range(RATE * SECONDS):
        image.header.stamp = stamp_now()
        client.send(image)
        while (left := start + (tick + 1) / RATE - time.monotonic()) > 0:
            client.probe.happens(lambda: len(client.answers) > known, left)
            note_answers()
        client.probe.spin_once()
        note_answers()
