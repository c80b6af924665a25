"""The locator takes its inputs only while another node wants its results."""

from __future__ import annotations

import sys

import pytest
from depth_rig import DepthRig
from rclpy.qos import QoSProfile, QoSReliabilityPolicy
from vision_msgs.msg import Detection3DArray
from visualization_msgs.msg import MarkerArray

pytestmark = pytest.mark.ros


def test_inputs_follow_the_subscribers(probe, start_node):
    start_node("locator_node", **{"diagnostic_updater.period": 0.1})
    rig = DepthRig(probe, receives=False)
    probe.spin_until(lambda: rig.status().message == "idle: no topic with results has a subscriber", "its status")
    rig.await_node(listening=False)
    best_effort = QoSProfile(depth=1, reliability=QoSReliabilityPolicy.BEST_EFFORT)
    for kind, topic in ((Detection3DArray, "detections_3d"), (MarkerArray, "markers")) * 2:
        received: list[object] = []
        subscription = probe.node.create_subscription(kind, topic, received.append, best_effort)
        rig.await_node()

        def is_answered(received: list[object] = received) -> bool:
            rig.step()  # also while the subscriptions leave: a message that is under way must not end the process
            return probe.happens(lambda: received, 0.05)

        probe.spin_until(is_answered, topic)
        probe.node.destroy_subscription(subscription)
        for _ in range(5):
            rig.step()
            probe.spin(0.05)
        rig.await_node(listening=False)
    assert probe.set_parameter("publish_tf", True, "locator").successful
    rig.await_node()
    assert probe.set_parameter("publish_tf", False, "locator").successful
    rig.await_node(listening=False)
    probe.spin_until(lambda: rig.status().message.startswith("idle"), "its status")


def test_a_best_effort_depth_camera_is_matched(probe, start_node):
    start_node("locator_node", **{"diagnostic_updater.period": 0.1})
    rig = DepthRig(probe)
    rig.use_best_effort_depth()
    probe.spin_until(lambda: bool(rig.step()) and probe.happens(lambda: rig.answers, 0.1), "an answer")


def test_the_example_prints_where_objects_are(probe, start_process, start_node, repository):
    start_node("locator_node")
    example = start_process([sys.executable, str(repository / "examples" / "locate_objects.py")])
    rig = DepthRig(probe, receives=False)
    said = "person run-7 in camera_optical: x 0.0"
    probe.spin_until(lambda: bool(rig.step()) and probe.happens(lambda: said in example.log, 0.1), "a line")


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"min_range": 5.0, "max_range": 2.0}, "max_range: found 2.0, expected more than min_range"),
        ({"max_rnge": 2.0}, "max_rnge"),
        ({"registration": "later"}, "registration"),
    ],
)
def test_a_wrong_parameter_ends_the_node_with_one_line(refused, parameters, said):
    [line] = refused("locator_node", **parameters)
    assert said in line
