"""The detector node on a real GPU over real DDS.

TRT_SSD_ENDURANCE=1 runs the full numbers, as scripts/gpu_check does.
"""

from __future__ import annotations

import itertools
import os
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from gpu import missing
from node_process import NodeProcess
from probe import new_domain
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from trt_ssd_ros.node.messages import image_to_msg

pytestmark = [
    pytest.mark.ros,
    pytest.mark.gpu,
    pytest.mark.skipif(bool(missing()), reason=f"needs a GPU: {missing()}"),
]
STARTS = 200 if os.environ.get("TRT_SSD_ENDURANCE") == "1" else 8
AT_ONCE = 8
STAMPS = itertools.count(1)
READY = "waiting for images"
NODE = [sys.executable, "-m", "trt_ssd_ros.node.detector_node", "--ros-args"]
ON_GPU = ["-p", "backend:=tensorrt", "-p", "precision:=fp32"]


@pytest.fixture(scope="module", autouse=True)
def plans(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Keep the plans of these tests by themselves."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRT_SSD_ENGINE_DIR", str(tmp_path_factory.mktemp("plans")))
        yield


def image_of(pixels: np.ndarray) -> Image:
    """Make a message with a stamp of its own."""
    nanoseconds = next(STAMPS)
    return image_to_msg(pixels, "bgr", Header(stamp=Time(sec=1, nanosec=nanoseconds), frame_id="camera"))


def test_auto_detects_on_the_gpu(client, start_process, photo):
    process = start_process(NODE)
    process.wait_until_it_says(READY, patience=120)
    answer = client.ask(image_of(photo("chelsea")))
    assert [result.hypothesis.class_id for found in answer.detections for result in found.results] == ["cat"]
    client.probe.spin_until(lambda: "tensorrt" in str(client.status()), "the engine in /diagnostics")


def test_an_image_beyond_the_plan_is_dropped_and_counted(client, start_process, photo):
    process = start_process([*NODE, *ON_GPU, "-p", "max_image_side:=640"])
    process.wait_until_it_says(READY, patience=120)
    client.ask(image_of(photo("chelsea", 640, 480)))
    client.send(image_of(photo("chelsea", 641, 480)))
    process.wait_until_it_says("image dropped: input image: found [1, 480, 641, 3]")
    assert len(client.ask(image_of(photo("chelsea", 320, 240))).detections) == 1


def test_a_broken_gpu_ends_the_process_with_the_reason(client, start_process, photo):
    process = start_process([sys.executable, str(Path(__file__).parents[1] / "support" / "breaking_detector.py")])
    process.wait_until_it_says(READY, patience=120)
    image = image_of(photo("chelsea"))
    client.ask(image)
    while process.running and "detection failed" not in process.log:
        client.send(image)
        client.probe.spin(0.05)
    assert process.wait(patience=5) == 1
    assert "detection failed, the node exits" in process.log


def test_starts_and_stops_leave_no_abort(tmp_path):
    def start_and_stop(number: int) -> tuple[int, str]:
        log = tmp_path / f"{number}.log"
        with new_domain() as domain, closing(NodeProcess([*NODE, *ON_GPU], domain, log)) as process:
            process.wait_until_it_says(READY, patience=120)
            process.send_signal(signal.SIGINT if number % 2 else signal.SIGTERM)
            return process.wait(), process.log

    start_and_stop(-1)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        ends = list(pool.map(start_and_stop, range(STARTS)))
    assert [end for end in ends if end[0] != 0 or "Traceback" in end[1]] == []


@pytest.mark.parametrize("sign", ["building", "opening"])
def test_a_signal_while_the_plan_is_made_ends_in_order(tmp_path, start_process, sign):
    plans = tmp_path / "plans"
    process = start_process([*NODE, *ON_GPU], TRT_SSD_ENGINE_DIR=str(plans))
    process.wait_until_it_says("building the fp32 plan")
    while sign == "opening" and not list(plans.glob("*.plan")):
        assert process.running
    process.send_signal(signal.SIGINT)
    assert process.wait() == 0
    assert "Traceback" not in process.log
    assert not list(plans.glob("*.part"))
