"""Our own camera node, for sources that need no driver: its launch arguments as parameters."""

from __future__ import annotations

from trt_ssd_ros.images.source_name import without_password
from trt_ssd_ros.launching.arguments import CameraRequest
from trt_ssd_ros.launching.drivers import NODE_NAME, Driver
from trt_ssd_ros.launching.names import absolute_name, file_sets


def _parameters(request: CameraRequest) -> dict[str, object]:
    """Return the parameters of the camera node.

    Raises:
        ValueError: A pipeline is given for a source that takes none.
    """
    source = request.source
    if request.pipeline and source != "gstreamer":
        raise ValueError(
            f"pipeline: found a pipeline with source:={without_password(source)}, "
            "expected source:=gstreamer or gscam"
        )
    return {
        "source": _pipeline(request) if source == "gstreamer" else source,
        "width": request.width,
        "height": request.height,
        "rate": request.fps,
        "calibration": str(request.calibration) if request.calibration else None,
        "loop": request.loop,
        "wait_for_source": request.wait_for_source,
    }


def _pipeline(request: CameraRequest) -> str | None:
    """Return the source with its GStreamer pipeline; None if params_file gives it.

    Raises:
        ValueError: Neither the launch argument nor params_file gives a pipeline.
    """
    node = absolute_name(request.namespace, NODE_NAME)
    if request.pipeline:
        return f"gstreamer:{request.pipeline}"
    if not file_sets(request.params_file, node, "source"):
        raise ValueError(
            f"pipeline: found none for {node}, expected `source: gstreamer:PIPELINE` in params_file under "
            f"/**{node}, or with source:=gstreamer the argument pipeline"
        )
    return None


OWN_CAMERA = Driver(
    package="trt_ssd_ros",
    executable="camera_node",
    takes=("width", "height", "fps", "pipeline", "frame_id", "calibration", "loop", "wait_for_source"),
    parameters=_parameters,
)
