"""Inputs of the locator: they fit the publishers, and say why no message arrives."""

from __future__ import annotations

from contextlib import closing

import pytest
import rclpy
from probe import BEST_EFFORT, RELIABLE, Probe
from rclpy.context import Context
from rclpy.node import Node
from rclpy.qos import QoSDurabilityPolicy, QoSProfile
from sensor_msgs.msg import CompressedImage, Image

from trt_ssd_ros.depth.inputs import STOPPED, Input

pytestmark = pytest.mark.ros


class Driver:
    """A camera driver in a participant of its own, because Fast DDS allows one type per topic in each."""

    def __init__(self, domain: int, kind: type, qos: QoSProfile) -> None:
        self.context = Context()
        rclpy.init(args=[], context=self.context, domain_id=domain)
        self.node = Node("driver", namespace="front", context=self.context)
        self.publisher = self.node.create_publisher(kind, "/depth/image", qos)

    def close(self) -> None:
        """End the driver."""
        self.node.destroy_node()
        self.context.try_shutdown()


def await_publishers(probe: Probe, *nodes: str) -> None:
    """Wait until the graph has publishers of these nodes only, with their names."""
    found = probe.node.get_publishers_info_by_topic
    probe.spin_until(lambda: [info.node_name for info in found("/depth/image")] == [*nodes], "the graph")


def test_silence_is_explained_and_the_reliability_follows_the_publishers(probe, domain):
    received: list[Image] = []
    clock = [0.0]
    source = Input(probe.node, Image, "depth/image", received.append, now=lambda: clock[0])
    source.close()
    source.open()
    source.open()
    assert source.explain_silence().startswith("/depth/image has no publisher: start the node")
    with closing(Driver(domain, CompressedImage, RELIABLE)):
        await_publishers(probe, "driver")
        assert source.explain_silence() == (
            "/front/driver publishes sensor_msgs/msg/CompressedImage on /depth/image, expected "
            "sensor_msgs/msg/Image: remap the topic"
        )
    await_publishers(probe)
    with closing(Driver(domain, Image, BEST_EFFORT)) as driver:
        await_publishers(probe, "driver")
        assert source.explain_silence().startswith("/front/driver publishes /depth/image with another quality of")
        source.fit_publishers()  # the publisher has just come
        assert "another quality of service" in source.explain_silence()
        source.fit_publishers()
        assert source.explain_silence().startswith("/front/driver publishes /depth/image, but no message arrives")

        def arrives() -> bool:
            driver.publisher.publish(Image())
            return probe.happens(lambda: received, 0.1)

        probe.spin_until(arrives, "a message")
        assert source.explain_silence().startswith("messages of /front/driver on /depth/image arrive with older")
        clock[0] += STOPPED
        assert source.explain_silence().startswith("/front/driver has stopped publishing /depth/image")
        source.close()
        source.close()
        probe.spin_until(lambda: driver.publisher.get_subscription_count() == 0, "the end of the subscription")


def test_a_message_that_was_published_once_arrives(probe, domain):
    received: list[Image] = []
    latched = QoSProfile(depth=1, durability=QoSDurabilityPolicy.TRANSIENT_LOCAL)
    with closing(Driver(domain, Image, latched)) as driver:
        driver.publisher.publish(Image(width=7))
        await_publishers(probe, "driver")
        source = Input(probe.node, Image, "depth/image", received.append)
        source.open()
        probe.spin_until(lambda: received, "the message")
        source.close()
    assert received[0].width == 7
