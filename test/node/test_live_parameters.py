"""Parameters of a running detector node, set over real DDS while it detects."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from node_process import NodeProcess
from parameter_client import ParameterClient
from probe import DetectorClient, Probe, new_domain
from rclpy.qos import QoSDurabilityPolicy, QoSProfile
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from vision_msgs.msg import Detection2DArray, LabelInfo

from trt_ssd_ros.detection.draw import DrawStyle, draw_detections
from trt_ssd_ros.detection.region import Region
from trt_ssd_ros.detection.views import Views, named_region
from trt_ssd_ros.images.frame import Frame, frame_from_message
from trt_ssd_ros.node.messages import image_to_msg
from trt_ssd_ros.node.parameter_table import DETECTION

pytestmark = pytest.mark.ros

LIVE = [spec.name for spec in DETECTION]
LATCHED = QoSProfile(depth=1, durability=QoSDurabilityPolicy.TRANSIENT_LOCAL)


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[NodeProcess, Probe]]:
    """A detector node for all tests of this file, and a node in its domain."""
    log = tmp_path_factory.mktemp("live") / "process.log"
    command = [sys.executable, "-m", "trt_ssd_ros.node.detector_node"]
    with new_domain() as domain:
        process = NodeProcess([*command, "--ros-args", "-p", "diagnostic_updater.period:=0.1"], domain, log)
        probe = Probe(domain)
        yield process, probe
        probe.close()
        process.close()


@pytest.fixture(scope="module")
def client(process: tuple[NodeProcess, Probe]) -> DetectorClient:
    """Sends images to it."""
    return DetectorClient(process[1])


@pytest.fixture(scope="module")
def shared_parameters(process: tuple[NodeProcess, Probe]) -> ParameterClient:
    """Sets its parameters."""
    return ParameterClient(process[1])


@pytest.fixture
def parameters(shared_parameters: ParameterClient) -> Iterator[ParameterClient]:
    """Sets its parameters, for a test that leaves them as they were."""
    before = shared_parameters.get(LIVE)
    yield shared_parameters
    assert shared_parameters.set_together(before).successful


def image_now(client: DetectorClient, pixels: np.ndarray, seconds_ago: int = 0) -> Image:
    """An image with a stamp of now or earlier."""
    stamp = client.probe.node.get_clock().now().to_msg()
    return image_to_msg(pixels, "bgr", Header(stamp=Time(sec=stamp.sec - seconds_ago, nanosec=stamp.nanosec)))


def names(answer: Detection2DArray) -> list[str]:
    return [detection.results[0].hypothesis.class_id for detection in answer.detections]


def corners(answer: Detection2DArray) -> np.ndarray:
    boxes = [(d.bbox.center.position, d.bbox.size_x / 2, d.bbox.size_y / 2) for d in answer.detections]
    return np.array([(c.x - x, c.y - y, c.x + x, c.y + y) for c, x, y in boxes]).reshape(-1, 4)


@pytest.fixture
def found(client: DetectorClient, photo: Any) -> Any:
    """Detect in a photograph that holds several classes: found() gives the names."""
    pixels = photo("coffee", 480, 320)
    return lambda: names(client.ask(image_now(client, pixels)))


def test_classes_and_their_thresholds_act_on_the_next_frame(parameters, found):
    assert parameters.set_together({"score_threshold": 0.05}).successful
    every = found()
    assert len(set(every)) > 2
    first, second = sorted(set(every))[:2]
    assert parameters.set_together({"include_classes": [first, second]}).successful
    assert found() == [name for name in every if name in (first, second)]
    assert parameters.set_together({"exclude_classes": [second]}).successful
    assert set(found()) == {first}
    assert parameters.set_together({"include_classes": [], "exclude_classes": [first]}).successful
    assert found() == [name for name in every if name != first]
    assert parameters.set_together({"exclude_classes": [], "class_thresholds": [f"{second}=1.0"]}).successful
    assert found() == [name for name in every if name != second]


def test_label_info_has_the_lowest_threshold_of_all_classes(client, parameters):
    infos = client.probe.receive(LabelInfo, "label_info", LATCHED)
    client.probe.spin_until(lambda: infos, "label_info")

    def lowest_after(**values: Any) -> float:
        count = len(infos)
        assert parameters.set_together(values).successful
        client.probe.spin_until(lambda: len(infos) > count, "label_info once more")
        return pytest.approx(infos[-1].threshold)

    assert lowest_after(score_threshold=0.5) == 0.5
    assert lowest_after(class_thresholds=["cat=0.25"]) == 0.25
    assert lowest_after(exclude_classes=["cat"]) == 0.5
    assert lowest_after(include_classes=["cat", "dog"], exclude_classes=["dog"]) == 0.25


@pytest.mark.parametrize("roi", [[0.25, 0.0, 0.75, 1.0], [100, 20, 9999, 260]], ids=["fractions", "pixels"])
def test_a_region_is_looked_at_alone_in_pixels_of_the_whole(client, parameters, detector, photo, roi):
    pixels = photo("chelsea", 400, 300)
    assert parameters.set_together({"roi": roi}).successful
    answer = client.ask(image_now(client, pixels))
    left, top, bottom = (100, 0, 300) if roi[0] < 1 else (100, 20, 280)
    expected = detector.detect(pixels[top:bottom, left:])
    assert names(answer) == [detector.card.labels[n] for n in expected.class_ids] != []
    np.testing.assert_allclose(corners(answer), expected.boxes + np.array([left, top, left, top]), atol=0.01)


def test_tiles_are_looked_at_too_and_boxes_are_of_the_whole(process, client, parameters, detector, photo):
    pixels, views = photo("coffee", 600, 400), Views(tiles=(2, 2))
    assert parameters.set_together({"tiles": [2, 2]}).successful
    answer = client.ask(image_now(client, pixels))
    expected = detector.detect_frame(Frame(pixels, "bgr"), views)
    assert names(answer) == [detector.card.labels[n] for n in expected.class_ids] != []
    np.testing.assert_allclose(corners(answer), expected.boxes, atol=0.1)
    process[0].wait_until_it_says("5 views of an image, resized on the host")
    assert parameters.set_together({"tiles": [1, 1], "regions": ["cup=0.2,0.0,0.6,1.0"]}).successful
    expected = detector.detect_frame(Frame(pixels, "bgr"), Views(regions=(named_region("cup=0.2,0.0,0.6,1.0"),)))
    np.testing.assert_allclose(corners(client.ask(image_now(client, pixels))), expected.boxes, atol=0.1)
    refused = parameters.set_together({"tiles": [2, 1]})
    assert refused.reason == "regions: found them beside tiles [2, 1], expected only one of the two"


def test_an_image_outside_of_the_region_is_refused_and_counted(process, client, parameters, photo):
    client.ask(image_now(client, photo("chelsea", 400, 300)))
    assert parameters.set_together({"roi": [400, 0, 100, 100]}).successful
    client.probe.spin_until(client.status, "diagnostics")
    refused = int(client.status()["refused"])
    client.send(image_now(client, photo("chelsea", 400, 300)))
    client.probe.spin_until(lambda: int(client.status()["refused"]) == refused + 1, "one more refused")
    process[0].wait_until_it_says(
        "image dropped: roi: found its corner at 400, 0, expected it inside the image of 400x300"
    )
    client.ask(image_now(client, photo("chelsea", 800, 600)))


def test_images_beyond_the_rate_are_left_out_and_counted(client, parameters, photo):
    client.ask(image_now(client, photo("chelsea", 400, 300)))
    assert parameters.set_together({"max_rate": 0.001}).successful
    last = client.ask(image_now(client, photo("chelsea", 400, 300)))
    counted = client.probe.spin_until(client.status, "diagnostics") or client.status()["rate_limited"]
    for _ in range(5):
        client.send(image_now(client, photo("chelsea", 400, 300)))
        client.probe.spin(0.1)
    assert client.answers[-1] == last
    assert parameters.set_together({"max_rate": 0.0}).successful
    client.ask(image_now(client, photo("chelsea", 400, 300)))
    if counted != "unknown":
        client.probe.spin_until(
            lambda: int(client.status()["rate_limited"]) >= int(counted) + 4,
            "in /diagnostics, the images that were not taken",
        )


def test_old_images_are_dropped_and_counted(process, client, parameters, photo):
    pixels = photo("chelsea", 400, 300)
    client.ask(image_now(client, pixels, seconds_ago=500))
    assert parameters.set_together({"max_input_age": 100}).successful
    client.send(image_now(client, pixels, seconds_ago=500))
    client.probe.spin_until(lambda: client.status().get("too_old") == "1", "too_old = 1 in /diagnostics")
    process[0].wait_until_it_says("image dropped: 500 s old, max_input_age is 100 s")
    client.ask(image_now(client, pixels))
    client.ask(image_to_msg(pixels, "bgr", Header()))
    assert client.status()["too_old"] == "1"


def test_what_class_id_carries_changes_live(client, parameters, photo):
    assert parameters.set_together({"class_id_format": "id"}).successful
    assert names(client.ask(image_now(client, photo("chelsea")))) == ["17"]
    assert parameters.set_together({"class_id_format": "name"}).successful
    assert names(client.ask(image_now(client, photo("chelsea")))) == ["cat"]


@pytest.mark.parametrize(("class_id_format", "field"), [("name", "class_name"), ("id", "class_id")])
def test_class_id_joins_with_label_info(client, parameters, photo, class_id_format, field):
    received = client.probe.receive(LabelInfo, "label_info", LATCHED)
    client.probe.spin_until(lambda: received, "label_info")
    assert parameters.set_together({"class_id_format": class_id_format}).successful
    [found] = names(client.ask(image_now(client, photo("chelsea"))))
    [entry] = [entry for entry in received[-1].class_map if str(getattr(entry, field)) == found]
    assert (entry.class_id, entry.class_name) == (17, "cat")


def test_the_debug_image_is_drawn_as_asked(client, parameters, detector, photo):
    drawn = client.probe.receive(Image, "debug_image")
    pixels, style = photo("chelsea", 400, 300), DrawStyle(9, captions=False)
    views = Views(Region(0.1, 0, 0.9, 1))
    asked = {"debug_line_width": 9, "debug_labels": False, "roi": [0.1, 0.0, 0.9, 1.0]}
    assert parameters.set_together(asked).successful

    def one_came() -> bool:
        client.ask(image_now(client, pixels))
        return client.probe.happens(lambda: drawn, 0.2)

    client.probe.spin_until(one_came, "debug_image")
    found = detector.detect_frame(Frame(pixels, "bgr"), views)
    expected = draw_detections(pixels, found, detector.card.labels, style=style, views=views.windows(400, 300))
    np.testing.assert_array_equal(frame_from_message(drawn[-1]).pixels, expected)
    assert parameters.set_together({"debug_timing": True}).successful
    drawn.clear()
    client.probe.spin_until(one_came, "debug_image with a note")
    rows, columns = np.nonzero((frame_from_message(drawn[-1]).pixels != expected).any(axis=-1))
    assert (rows.max(), columns.min()) == (299, 0)
    assert rows.min() > 250
    assert columns.max() > 20


def test_what_is_set_together_acts_together(client, parameters, photo):
    assert parameters.set_together({"score_threshold": 0.05}).successful
    pixels, before = photo("coffee", 480, 320), len(client.answers)
    timer = client.probe.node.create_timer(0.01, lambda: client.send(image_now(client, pixels)))
    formats = [{"class_id_format": "id", "max_detections": 2}, {"class_id_format": "name", "max_detections": 3}]
    for values in itertools.islice(itertools.cycle(formats), 1000):
        assert parameters.set_together(values).successful
        counts = {len(answer.detections) for answer in client.answers[before:]}
        if len(client.answers) >= before + 20 and counts >= {2, 3}:
            break
    client.probe.node.destroy_timer(timer)
    seen = [names(answer) for answer in client.answers[before:]]
    mixed = [found for found in seen if len(found) < 4 and found[0].isdigit() != (len(found) == 2)]
    assert mixed == []
    assert {len(found) for found in seen} >= {2, 3}


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("score_threshold", "1", 1.0),
        ("include_classes", "[cat, wine glass]", ["cat", "wine glass"]),
        ("include_classes", "cat", ["cat"]),
        ("include_classes", "[]", []),
        ("class_thresholds", "[cat=0.5, wine glass=0.25]", ["cat=0.5", "wine glass=0.25"]),
        ("class_thresholds", "['cat: 0.5']", ["cat: 0.5"]),
        ("roi", "[0, 0, 0.5, 1]", [0.0, 0.0, 0.5, 1.0]),
        ("roi", "[10, 20, 30, 40]", [10.0, 20.0, 30.0, 40.0]),
    ],
)
def test_what_one_types_is_understood(parameters, name, text, value):
    result = parameters.set_text(name, text)
    assert result.successful, result.reason
    assert parameters.get([name])[name] == value


def test_a_start_understands_what_the_command_line_can_say(start_node, probe):
    typed = {"exclude_classes": "[]", "include_classes": "[cat, dog]", "class_thresholds": "[cat=0.5]"}
    start_node("detector_node", **typed, roi="[0, 0, 400, 300]", score_threshold=1, max_rate=5)
    got = ParameterClient(probe).get([*typed, "roi", "score_threshold", "max_rate"])
    assert list(got.values()) == [[], ["cat", "dog"], ["cat=0.5"], [0.0, 0.0, 400.0, 300.0], 1.0, 5.0]
