"""The detector node's services, over real DDS."""

from __future__ import annotations

import signal

import pytest
from diagnostic_msgs.msg import DiagnosticArray
from image_messages import blank_image
from probe import Probe
from std_srvs.srv import SetBool, Trigger
from vision_msgs.msg import Detection2DArray

from trt_ssd_ros.bench.ros.reference_nodes import BlankEngine
from trt_ssd_ros.detection.detector import Detector
from trt_ssd_ros.engines.backend import EngineChoice
from trt_ssd_ros.models.shipped import DEFAULT_MODEL, model_card_path
from trt_ssd_ros.node.opened_model import OpenedModel

pytestmark = pytest.mark.ros


def enable(probe: Probe, data: bool) -> str:
    """Call ~/enable and return its message."""
    response = probe.call(SetBool, "detector/enable", SetBool.Request(data=data))
    assert response.success
    return str(response.message)


def reload(probe: Probe) -> tuple[bool, str]:
    """Call ~/reload and return its answer."""
    response = probe.call(Trigger, "detector/reload", Trigger.Request())
    return response.success, response.message


def test_enable_stops_and_resumes_without_leaving_active(client, start_blank_detector):
    process, probe = start_blank_detector(), client.probe
    client.ask(blank_image())
    assert enable(probe, False) == "disabled, active"
    assert probe.state() == "active"
    probe.spin_until(lambda: probe.node.count_subscribers("image") == 0, "the end of the subscription")
    for _ in range(2):
        assert enable(probe, True) == "enabled, active"
    client.ask(blank_image())
    assert process.log.count("waiting for images") == 2
    enable(probe, False)
    for transition in ("deactivate", "activate"):
        assert probe.change_state(transition)
    probe.spin_until(lambda: probe.node.count_subscribers("image") == 0, "no subscription while disabled")
    enable(probe, True)
    client.ask(blank_image())
    assert process.log.count("the engine opens") == 1


def test_lazy_subscribes_only_while_the_results_have_a_subscriber(probe, start_blank_detector):
    process, waiting = start_blank_detector(lazy=True), "waiting for a subscriber of the results (lazy)"
    process.wait_until_it_says(waiting)
    assert probe.node.count_subscribers("image") == 0
    reports = probe.receive(DiagnosticArray, "/diagnostics")
    idle = "idle: no topic with results has a subscriber (lazy)"
    probe.spin_until(lambda: any(idle in status.message for r in reports for status in r.status), "/diagnostics")
    for number in (1, 2):
        watching = probe.node.create_subscription(Detection2DArray, "detections", lambda _: None, 1)
        probe.spin_until(lambda: probe.node.count_subscribers("image") == 1, "the subscription to the camera")
        probe.node.destroy_subscription(watching)
        probe.spin_until(lambda: probe.node.count_subscribers("image") == 0, "the end of the subscription")
        probe.spin_until(lambda n=number: process.log.count(waiting) == n + 1, "the line in the log")
    assert probe.set_parameter("lazy", False).successful
    probe.spin_until(lambda: probe.node.count_subscribers("image") == 1, "the subscription to the camera")


def test_reload_opens_the_model_again(client, start_blank_detector, rig, card):
    process, probe = start_blank_detector(), client.probe
    client.ask(blank_image())
    (rig / "fail_open").write_text("the new plan is torn")
    succeeded, reason = reload(probe)
    assert (succeeded, reason) == (False, "reload failed, the old model stays in use: the new plan is torn")
    assert "the engine is closed" not in process.log
    client.ask(blank_image())
    (rig / "fail_open").unlink()
    assert reload(probe) == (True, f"reloaded {card.name} on blank engine, fp32, resize on the engine")
    assert process.log.count("the engine is closed") == 1
    client.ask(blank_image())
    assert probe.change_state("deactivate")
    assert reload(probe) == (True, f"reloaded {card.name} on blank engine, fp32, resize on the engine")
    assert probe.change_state("cleanup")
    succeeded, reason = reload(probe)
    assert not succeeded
    assert "refused in state unconfigured" in reason


def test_a_bug_in_a_reload_is_answered_and_survived(client, start_blank_detector, rig):
    process, probe = start_blank_detector(), client.probe
    client.ask(blank_image())
    (rig / "bug_open").touch()
    succeeded, reason = reload(probe)
    assert not succeeded
    assert reason.endswith("stays in use: KeyError: 'a bug'")
    client.ask(blank_image())
    process.send_signal(signal.SIGINT)
    assert process.wait() == 0
    assert "Traceback" in process.log


def test_a_manager_does_not_wait_for_a_reload(client, start_blank_detector, rig):
    process, probe = start_blank_detector(), client.probe
    client.ask(blank_image())
    (rig / "hold_open").touch()
    asked = probe.node.create_client(Trigger, "detector/reload")
    probe.spin_until(asked.service_is_ready, "reload")
    answer = asked.call_async(Trigger.Request())
    probe.spin_until(lambda: process.log.count("the engine opens") == 2, "the reload")
    assert probe.change_state("deactivate")
    assert not answer.done()
    assert probe.change_state("cleanup"), "it cancels what it would wait for"
    probe.spin_until(answer.done, "the answer of the reload")
    assert "cancelled" in answer.result().message


def test_a_card_with_other_labels_is_not_opened(tmp_path, card):
    path = tmp_path / "card.yaml"
    text = model_card_path(DEFAULT_MODEL).read_text()
    path.write_text(text)
    model = OpenedModel(
        str(path), EngineChoice(), lambda card, *_: Detector(BlankEngine(), card), cancelled=lambda: False
    )
    detector = model.open()
    for before, after in (("- dog", "- wolf"), ("first_class_id: 1", "first_class_id: 0")):
        path.write_text(text.replace(before, after))
        with pytest.raises(ValueError, match=r"labels or class ids of .* have changed .*: restart the node"):
            model.open()
    assert model.detector is detector
    assert model.card.labels == card.labels


def test_a_publisher_that_comes_while_the_node_unsubscribes_is_survived(client, start_blank_detector):
    process, probe = start_blank_detector(), client.probe
    client.ask(blank_image())
    service = probe.node.create_client(SetBool, "detector/enable")
    probe.spin_until(service.service_is_ready, "~/enable")
    for _ in range(5):
        process.send_signal(signal.SIGSTOP)  # so that all of this is waiting for it at once
        answers = [service.call_async(SetBool.Request(data=data)) for data in (False, True)]
        client.leave()
        client.come_back()
        process.send_signal(signal.SIGCONT)
        for answer in answers:
            probe.spin_until(answer.done, "the answer")
    client.ask(blank_image())
