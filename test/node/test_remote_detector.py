"""The detector node with its engine on a server, over real DDS and real HTTP."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticStatus
from node_process import NodeProcess
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from vision_msgs.msg import BoundingBox2D, Detection2DArray

from trt_ssd_ros.node.messages import image_to_msg

pytestmark = pytest.mark.ros


@pytest.fixture
def picture(photo: Callable[..., np.ndarray]) -> Callable[[int], Image]:
    """An image of a cat with a stamp in seconds."""
    cat = photo("chelsea", 320, 240)
    return lambda second: image_to_msg(cat, "bgr", Header(stamp=Time(sec=second), frame_id="camera"))


def found(answer: Detection2DArray) -> list[tuple[str, float, BoundingBox2D]]:
    """Label, score and box of each detection."""
    best = [(detection.results[0].hypothesis, detection.bbox) for detection in answer.detections]
    return [(hypothesis.class_id, hypothesis.score, box) for hypothesis, box in best]


def test_the_node_leaves_a_server_and_returns_and_says_both(start_node, client, server, picture):
    node: NodeProcess = start_node("detector_node", backend="remote", remote_url=server.url, remote_timeout=5.0)
    first = found(client.ask(picture(1)))
    assert [label for label, *_ in first] == ["cat"]
    node.wait_until_it_says(f"at {server.url}, precision unknown, resize on the host")
    server.behave("page")
    assert found(client.ask(picture(2))) == first
    node.wait_until_it_says("runs instead until the server answers again")
    client.probe.spin_until(lambda: server.url in client.newest_status().message, "a warning of the server")
    assert client.newest_status().level == DiagnosticStatus.WARN
    assert client.status()["engine"].startswith("ONNX Runtime")
    server.behave()
    seconds = iter(range(3, 1000))

    def is_back() -> bool:
        client.ask(picture(next(seconds)))
        return "answers again and runs" in node.log

    client.probe.spin_until(is_back, "the server is used again")
    client.probe.spin_until(lambda: server.url not in client.newest_status().message, "no warning of the server")
    assert client.status()["engine"].endswith(server.url)
    assert node.log.count("answers again") == 2, "once announced, once done"
    assert found(client.ask(picture(1001))) == first


def test_without_a_fallback_images_are_refused_until_the_server_answers_again(start_node, client, server, picture):
    parameters = {"remote_url": server.url, "remote_timeout": 5.0, "remote_fallback": "none"}
    node: NodeProcess = start_node("detector_node", backend="remote", **parameters)
    first = found(client.ask(picture(1)))
    server.behave("overloaded")
    seconds = iter(range(2, 1000))

    def is_refused() -> bool:
        client.send(picture(next(seconds)))
        return client.reports > 0 and int(client.status().get("refused", "0")) > 1

    client.probe.spin_until(is_refused, "refused images")
    assert "image dropped: http" in node.log
    assert "HTTP 503: " in node.log
    server.behave()
    assert found(client.ask(picture(1000))) == first


@pytest.mark.parametrize(
    ("behaviour", "message"),
    [("other model", "class_thresholds"), ("other graph", "found another graph, expected the graph of the model")],
)
def test_another_model_ends_the_node_before_it_activates(refused, server, behaviour, message):
    server.behave(behaviour)
    said = refused("detector_node", backend="remote", remote_url=server.url, remote_timeout=5.0)
    assert message in said[-1]


def test_a_missing_address_is_named(refused):
    assert "remote_url: found '', expected the server's address" in refused("detector_node", backend="remote")[-1]
