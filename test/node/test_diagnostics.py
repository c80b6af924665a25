"""What /diagnostics says."""

from __future__ import annotations

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from diagnostic_updater import DiagnosticStatusWrapper
from image_messages import blank_image
from rcl_interfaces.srv import DescribeParameters
from rclpy.parameter import Parameter
from sensor_msgs.msg import Image
from vision_msgs.msg import Detection2DArray

from trt_ssd_ros.detection.detector import DetectorCounts
from trt_ssd_ros.node.diagnostics import (
    LIMITS,
    WINDOW,
    Alert,
    Health,
    Limit,
    Readings,
    StageTimes,
    percentiles,
)
from trt_ssd_ros.node.frame_counts import FrameCounts, RecentCounts
from trt_ssd_ros.ros.parameters import ParameterSpec
from trt_ssd_ros.ros.stamps import nanoseconds

pytestmark = pytest.mark.ros
OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR


class Settings:
    """A node as far as Health needs one: it has parameters."""

    def __init__(self, **limits: float) -> None:
        self._limits = limits

    def declare(self, spec: ParameterSpec) -> float:
        return spec.default

    def get_parameter(self, name: str) -> Parameter:
        return Parameter(name, value=self._limits.get(name.removeprefix("diagnostics."), 0.0))


def filled(readings: Readings, **limits: float) -> tuple[bytes, str, dict[str, str]]:
    """What the status says about some readings."""
    status = Health(Settings(**limits)).fill(DiagnosticStatusWrapper(), readings)
    return status.level, status.message, {item.key: item.value for item in status.values}


@pytest.mark.parametrize(
    ("readings", "level", "message"),
    [
        (Readings("unconfigured"), OK, "unconfigured"),
        (Readings("configuring", doing="building, 50%"), OK, "building, 50%"),
        (Readings("active"), OK, "disabled by ~/enable"),
        (Readings("active", idle=True), OK, "idle: no topic with results has a subscriber (lazy)"),
        (Readings("active", taking=True), WARN, "no image yet"),
        (Readings("active", taking=True, finding=Alert(ERROR, "no publisher")), ERROR, "no publisher"),
        (Readings("active", taking=True, counts=FrameCounts(processed=4)), OK, "4 images"),
        (
            Readings("active", taking=True, counts=FrameCounts(processed=4), finding=Alert(WARN, "late")),
            *(WARN, "late"),
        ),
    ],
)
def test_says_how_it_is(readings, level, message):
    assert filled(readings)[:2] == (level, message)


def test_says_what_became_of_every_frame():
    times = StageTimes()
    times.latency.extend(range(101))
    times.engine.append(12.345)
    readings = Readings(
        "active",
        *(True, True, False, "", "an engine", "fp16", "host", 512.4, 2, 30.0, 29.5),
        counts=FrameCounts(10, 4, 3, 2, 1, 7, 8, 9),
        detector=DetectorCounts(images=4, unsettled=5, saturated=6),
        times=times.percentiles(),
    )
    assert filled(readings)[2] == {
        **{
            "state": "active",
            "enabled": "true",
            "last error": "none",
            "engine": "an engine",
            "precision": "fp16",
            "resize on": "host",
        },
        **{"GPU memory MiB": "512", "CPU threads": "2", "input Hz": "30.00", "output Hz": "29.50"},
        **{"received": "20", "processed": "4", "dropped": "3", "refused": "2", "discarded": "1"},
        **{"rate_limited": "7", "too_old": "8", "lost": "9"},
        **{"nms finished on host": "5", "saturated": "6"},
        **{"latency p50 ms": "50.00", "latency p99 ms": "99.00"},
        **{"engine p50 ms": "12.35", "engine p99 ms": "12.35"},
    }


def test_says_that_it_cannot_know_what_is_not_numbered():
    counts = FrameCounts(taken=10, processed=9, refused=1, numbered=False)
    readings = Readings("active", taking=True, input_rate=0.1, output_rate=9.0, counts=counts)
    level, _, values = filled(readings, warn_input_rate=10.0)
    assert level == OK, "an input rate that is unknown is not below a limit"
    assert (values["input Hz"], values["output Hz"]) == ("unknown", "9.00")
    assert (values["received"], values["processed"], values["refused"]) == ("10", "9", "1")
    assert values["dropped"] == values["rate_limited"] == "unknown"


def test_limits_make_warnings_and_errors():
    readings = Readings(
        "active",
        taking=True,
        input_rate=9.0,
        dropped=0.4,
        counts=FrameCounts(processed=1),
        times={"latency p99 ms": 120.0},
    )
    assert filled(readings)[0] == OK, "by default there are none"
    assert filled(readings, warn_input_rate=10.0)[:2] == (WARN, "input rate (Hz) is 9, below 10")
    level, message, _ = filled(readings, warn_input_rate=10.0, warn_dropped=0.1, error_latency=100.0)
    assert level == ERROR
    assert message.startswith("p99 latency (ms) is 120, above 100; ")
    assert filled(readings, warn_latency=120.0, error_latency=500.0)[0] == OK
    assert filled(readings, error_dropped=0.3, warn_dropped=0.1)[0] == ERROR
    assert len({limit.name for limit in LIMITS}) == 3
    assert Limit("x", "x", 1.0).alert(5.0, 0.0, 0.0) is None


def test_percentiles_look_back_on_a_window():
    times = StageTimes()
    times.engine.extend([1000.0] * 50 + [1.0] * WINDOW)
    assert percentiles("x", times.engine) == {"x p50 ms": 1.0, "x p99 ms": 1.0}
    assert percentiles("x", np.arange(3)) == pytest.approx({"x p50 ms": 1.0, "x p99 ms": 1.98})
    assert percentiles("x", []) == {}
    times.clear()
    assert times.percentiles() == {}


def test_rates_look_back_some_seconds_and_begin_anew_when_time_goes_back():
    recent = RecentCounts()
    assert (recent.rate("received"), recent.dropped()) == (0.0, 0.0)
    for second in range(20):
        recent.add(100.0 + second, FrameCounts(taken=15 * second, dropped=15 * second))
    assert recent.rate("received") == pytest.approx(30.0)
    assert recent.dropped() == pytest.approx(0.5)
    for second in range(20, 26):
        recent.add(100.0 + second, FrameCounts(taken=285, dropped=285))
    assert recent.rate("received") == 0.0
    recent.add(50.0, FrameCounts(taken=600))
    assert recent.rate("received") == 0.0
    recent.add(51.0, FrameCounts(taken=610))
    recent.add(51.0, FrameCounts(taken=615))
    assert recent.rate("received") == pytest.approx(15.0)


def test_the_numbers_are_those_that_the_test_counted(client, start_blank_detector):
    start_blank_detector(**{"diagnostic_updater.period": 0.1, "diagnostics.warn_dropped": 0.01})
    probe, latencies = client.probe, []

    def now() -> int:
        return int(probe.node.get_clock().now().nanoseconds)

    def note(answer: Detection2DArray) -> None:
        latencies.append((now() - nanoseconds(answer.header.stamp)) / 1e6)

    def good() -> Image:
        image = blank_image()
        image.header.stamp.sec, image.header.stamp.nanosec = divmod(now(), 10**9)
        return image

    def done() -> int:
        return sum(client.counts())

    client.ask(good())
    probe.node.create_subscription(Detection2DArray, "detections", note, 10)
    sent_before, answers_before = client.sent, len(client.answers)
    probe.spin_until(lambda: int(client.status().get("processed", 0)) >= answers_before, "the first counts")
    depth = Image(encoding="32FC1", width=1, height=1, step=4, data=bytes(4))
    done_before = done()
    before = {name: int(client.status()[name]) for name in ("received", "processed", "refused")}
    for number in range(20):
        client.send(depth if number % 4 == 3 else good())
        probe.spin_until(lambda n=number + 1: done() == done_before + n, f"image {number} in /diagnostics")
    status = {name: int(client.status()[name]) - before[name] for name in before}
    assert client.sent - sent_before == 20
    assert status == {"received": 20, "processed": 15, "refused": 5}
    assert len(client.answers) - answers_before == 15
    newest = client.newest_status()
    assert newest.level == WARN
    assert "share of dropped images" in newest.message
    probe.spin_until(lambda: float(client.status()["output Hz"]) > 0, "rates")
    if client.status()["input Hz"] != "unknown":
        probe.spin_until(lambda: float(client.status()["input Hz"]) > float(client.status()["output Hz"]), "rates")
    values = client.status()
    assert values["last error"].startswith("image dropped: image encoding '32FC1' is not supported")
    for stage in ("latency", "age", "engine", "publish"):
        assert float(values[f"{stage} p50 ms"]) <= float(values[f"{stage} p99 ms"])
    age, latency = (float(values[f"{stage} p50 ms"]) for stage in ("age", "latency"))
    # From stamp to callback, to the published, to the received message; the node counts the first images as well.
    assert age < latency < np.percentile(latencies, 75)
    assert (values["engine"], values["precision"], values["state"]) == ("blank engine", "fp32", "active")


def test_every_limit_is_a_described_parameter(probe, start_blank_detector):
    start_blank_detector(autostart=False)
    names = [f"diagnostics.{level}_{limit.name}" for limit in LIMITS for level in ("warn", "error")]
    request = DescribeParameters.Request(names=[*names, "input_timeout"])
    answer = probe.call(DescribeParameters, "detector/describe_parameters", request, repeatable=True)
    for descriptor in answer.descriptors:
        assert descriptor.description
        assert descriptor.floating_point_range
        assert not descriptor.read_only
