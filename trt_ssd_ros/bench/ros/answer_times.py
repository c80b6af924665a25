"""Response times of the detector node's services while an inference runs."""

from __future__ import annotations

import time
from collections.abc import Mapping
from threading import Event
from typing import Any

import numpy as np
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from numpy.typing import NDArray
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from std_srvs.srv import SetBool

from trt_ssd_ros.bench.ros.image_stream import NAMESPACE, ImageStream
from trt_ssd_ros.bench.ros.node import node_process, remappings, spinning
from trt_ssd_ros.detection.timing import Timing
from trt_ssd_ros.ros.process import ros_context

SLOW = ("trt_ssd_ros.bench.ros.reference_nodes", "slow")
RATE = 10.0
"""Images per second: more than a half-second inference can process, so that one always runs."""
TIMEOUT = 10.0
"""Time limit of a response, in seconds."""


def measure_answers(image: NDArray[np.uint8], seconds: float) -> dict[str, Timing]:
    """Call every service of a detector node whose inference takes half a second.

    Args:
        image: Image to publish, (H, W, 3) uint8, bgr.
        seconds: Duration of the measurement in seconds.

    Raises:
        RuntimeError: The node does not respond.
    """
    with ros_context([]) as ros, node_process(SLOW, {}, remappings("slow")) as process:
        stream = ros.add(ImageStream(image, ["slow"]))
        calls = _calls(stream)
        times: dict[str, list[float]] = {name: [] for name in calls}
        with spinning(ros.executor):
            stream.await_first("slow", process)
            end = time.perf_counter() + seconds
            while time.perf_counter() < end:
                for name, (client, request) in calls.items():
                    if name != "activate":  # follows at once: an inactive node starts no inference
                        stream.send()
                        time.sleep(1 / RATE)
                    times[name].append(_answer_time(client, request))
            return {name: Timing.of(milliseconds) for name, milliseconds in times.items()}
    raise RuntimeError("interrupted")


def _calls(stream: ImageStream) -> Mapping[str, tuple[Any, Any]]:
    """Return client and request by name of the response; calls in this order leave the node active."""
    score = Parameter("score_threshold", value=0.5).to_parameter_msg()
    requests = {
        "set a parameter": (SetParameters, "set_parameters", SetParameters.Request(parameters=[score])),
        "enable": (SetBool, "enable", SetBool.Request(data=True)),
        "get the state": (GetState, "get_state", GetState.Request()),
        "deactivate": (ChangeState, "change_state", _transition("deactivate")),
        "activate": (ChangeState, "change_state", _transition("activate")),
    }
    return {
        name: (stream.create_client(kind, f"{NAMESPACE}/slow/detector/{service}"), request)
        for name, (kind, service, request) in requests.items()
    }


def _transition(label: str) -> ChangeState.Request:
    return ChangeState.Request(transition=Transition(label=label))


def _answer_time(client: Any, request: Any) -> float:
    """Return the response time of a call in milliseconds."""
    if not client.wait_for_service(TIMEOUT):
        raise RuntimeError(f"found no service {client.srv_name} within {TIMEOUT:g} s")
    answered, start = Event(), time.perf_counter()
    answer = client.call_async(request)
    answer.add_done_callback(lambda _: answered.set())
    if not answered.wait(TIMEOUT):
        raise RuntimeError(f"{client.srv_name} did not answer within {TIMEOUT:g} s")
    milliseconds = (time.perf_counter() - start) * 1e3
    if not getattr(answer.result(), "success", True):
        raise RuntimeError(f"{client.srv_name} refused {request}, expected success")
    return milliseconds
