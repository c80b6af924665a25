"""Simulated time: bags that loop and clocks that are set."""

from __future__ import annotations

import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from image_messages import blank_image
from probe import DetectorClient
from rosgraph_msgs.msg import Clock

pytestmark = pytest.mark.ros
STEP = 50_000_000
"""Nanoseconds of simulated time between two images."""


class Bag:
    """Plays images and the clock, from any second on."""

    def __init__(self, client: DetectorClient) -> None:
        self._client = client
        self._clock = client.probe.node.create_publisher(Clock, "/clock", 10)
        self.now = 0

    def play(self, start: int, images: int) -> None:
        """Play so many images from a second on; each is a step after the one before and 10 ms old."""
        self.now = start * 10**9
        for _ in range(images):
            self.now += STEP
            self.tick()
            image = blank_image()
            stamp = self.now - 10_000_000
            image.header.stamp.sec, image.header.stamp.nanosec = divmod(stamp, 10**9)
            self._client.send(image)
            self._client.probe.spin(0.02)

    def tick(self) -> None:
        """Publish the time."""
        message = Clock()
        message.clock.sec, message.clock.nanosec = divmod(self.now, 10**9)
        self._clock.publish(message)


def test_a_bag_that_loops_begins_ages_and_rates_anew(client, start_blank_detector):
    process = start_blank_detector(use_sim_time=True)
    bag, probe = Bag(client), client.probe

    def first_answer() -> bool:
        bag.play(1000, 5)
        return bool(client.answers)

    probe.spin_until(first_answer, "the first detections")
    for loop in range(3):
        known = client.reports
        bag.play(1000, 60)
        assert process.log.count("the clock went back by") >= loop, "each loop is noticed"
        probe.spin_until(lambda n=known: client.reports > n, "diagnostics on the simulated clock")
    bag.play(2000, 60)
    probe.spin_until(lambda: float(client.status().get("output Hz", 0)) > 0, "rates")
    status = client.newest_status()
    values = client.status()
    assert status.level in (DiagnosticStatus.OK, DiagnosticStatus.WARN)
    assert 0 <= float(values["age p50 ms"]) <= 200
    assert -100 <= float(values["latency p50 ms"]) <= 1000
    assert float(values["output Hz"]) <= 25
    assert values["input Hz"] == "unknown" or float(values["input Hz"]) <= 25
    assert "[ERROR]" not in process.log
    assert process.log.count("[WARN]") <= 4
