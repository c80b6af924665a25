"""Our own camera node, for sources that need no driver: its launch arguments as parameters."""

from __future__ import annotations

from trt_ssd_ros.images.source_name import without_password
from trt_ssd_ros.launching.arguments import CameraRequest
from trt_ssd_ros.launching.drivers import Driver


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
        "source": f"gstreamer:{request.pipeline}" if source == "gstreamer" else source,
        "width": request.width,
        "height": request.height,
        "rate": request.fps,
        "calibration": str(request.calibration) if request.calibration else None,
        "loop": request.loop,
        "wait_for_source": request.wait_for_source,
    }


OWN_CAMERA = Driver(
    package="trt_ssd_ros",
    executable="camera_node",
    takes=("width", "height", "fps", "pipeline", "frame_id", "calibration", "loop", "wait_for_source"),
    parameters=_parameters,
)
