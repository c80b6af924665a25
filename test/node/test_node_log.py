"""The log of a running detector node: one line where it matters, and one for each image at DEBUG."""

from __future__ import annotations

import re
import sys

import pytest
from image_messages import blank_image
from std_msgs.msg import Header
from std_srvs.srv import Trigger

from trt_ssd_ros.node.messages import image_to_msg

pytestmark = pytest.mark.ros


def lines(log: str, start: str) -> list[str]:
    """Return the texts of a node's INFO lines that begin with a text."""
    return re.findall(rf"^\[INFO\] \[[\d.]+\] \[detector\]: ({start}.*)$", log, re.MULTILINE)


def now(probe: object) -> Header:
    return Header(stamp=probe.node.get_clock().now().to_msg(), frame_id="left")


def test_the_first_image_and_detections_of_each_activation_are_logged_once(client, start_node, photo, card):
    process, probe = start_node("detector_node"), client.probe
    blank, cat = (
        image_to_msg(photo("chelsea") * 0, "bgr", now(probe)),
        image_to_msg(photo("chelsea"), "bgr", now(probe)),
    )
    for activation in (1, 2):
        client.ask(blank)
        assert len(lines(process.log, "first detections")) == activation - 1
        for _ in range(3):
            answer = client.ask(cat)
            client.ask(blank)
        process.wait_until_it_says("first detections")
        assert probe.change_state("deactivate")
        assert len(lines(process.log, "stopped after")) == activation
        if activation == 1:
            assert probe.change_state("activate")
    assert lines(process.log, "first image") == ["first image on /image: 451x300 bgr8"] * 2
    score = answer.detections[0].results[0].hypothesis.score
    assert lines(process.log, "first detections") == [f"first detections: cat {score:.2f}"] * 2
    assert (
        len(
            lines(
                process.log,
                f"{card.name} on ONNX Runtime .*, fp32, resize on the host, waiting for images on /image",
            )
        )
        == 2
    )
    assert "[DEBUG]" not in process.log


def test_the_counts_of_an_activation_are_those_of_its_images(client, start_blank_detector):
    process, probe = start_blank_detector(), client.probe
    client.ask(blank_image())
    assert probe.change_state("deactivate")
    before = int(re.findall(r": (\d+) processed", lines(process.log, "stopped after")[-1])[0])
    probe.spin_until(lambda: len(client.answers) == before, "an answer for each processed image")
    assert probe.change_state("activate")
    for _ in range(3):
        client.ask(blank_image())
    assert probe.change_state("deactivate")
    since = int(re.findall(r": (\d+) processed", lines(process.log, "stopped after")[-1])[0])
    probe.spin_until(lambda: len(client.answers) == before + since, "an answer for each image processed since")
    assert probe.change_state("activate")
    assert probe.change_state("deactivate")
    assert lines(process.log, "stopped after")[-1] == "stopped after 0 images"


def test_an_image_in_the_engine_counts_as_discarded(client, start_blank_detector, rig):
    process, probe = start_blank_detector(), client.probe
    client.ask(blank_image())
    assert probe.change_state("deactivate")
    assert probe.change_state("activate")
    (rig / "hold_run").touch()
    runs = process.log.count("the engine runs")
    probe.spin_until(lambda: probe.node.count_subscribers("image") == 1, "the subscription")
    probe.spin_until(
        lambda: client.send(blank_image()) or process.log.count("the engine runs") > runs, "an inference"
    )
    assert probe.change_state("deactivate")
    assert lines(process.log, "stopped after")[-1].endswith("1 discarded")
    (rig / "hold_run").unlink()


def test_the_rate_is_logged_once(client, start_blank_detector):
    process, probe = start_blank_detector(), client.probe
    timer = probe.node.create_timer(0.1, lambda: client.send(blank_image()))
    rate = "(?:images arrive at|detections leave at)"  # the arrivals are unknown on Humble
    probe.spin_until(lambda: lines(process.log, rate), "the rate")
    counted = client.status().get("processed", "0")
    probe.spin_until(lambda: int(client.status().get("processed", "0")) > int(counted) + 20, "20 more images")
    probe.node.destroy_timer(timer)
    [said] = lines(process.log, rate)
    rates = re.fullmatch(r"(?:images arrive at (\d+\.\d) Hz, )?detections leave at (\d+\.\d) Hz", said)
    assert rates, said
    assert all(float(rate) > 0 for rate in rates.groups() if rate is not None)


def test_a_reload_logs_model_engine_and_precision(client, start_blank_detector, card):
    process, probe = start_blank_detector(), client.probe
    client.ask(blank_image())
    assert lines(process.log, "reloaded") == []
    assert probe.call(Trigger, "detector/reload", Trigger.Request()).success
    process.wait_until_it_says("reloaded")
    assert lines(process.log, "reloaded") == [f"reloaded {card.name} on blank engine, fp32, resize on the engine"]


def test_debug_logs_each_image_with_its_stamp_and_times(client, start_process, photo):
    node = [sys.executable, "-m", "trt_ssd_ros.node.detector_node"]
    process = start_process([*node, "--ros-args", "--log-level", "detector:=debug"])
    image = image_to_msg(photo("chelsea"), "bgr", now(client.probe))
    answer = client.ask(image)
    stamp = f"{image.header.stamp.sec}.{image.header.stamp.nanosec:09d}"
    process.wait_until_it_says(f"image {stamp}: ")
    score = answer.detections[0].results[0].hypothesis.score
    times = ", ".join(rf"{name} \d+\.\d ms" for name in ("age", "read", "engine", "publish", "optional"))
    assert re.search(rf"\[DEBUG\] .* image {stamp}: cat {score:.2f} \({times}\)", process.log), process.log
    client.ask(image_to_msg(photo("chelsea") * 0, "bgr", Header()))
    process.wait_until_it_says("image 0.000000000: no detections (read")
