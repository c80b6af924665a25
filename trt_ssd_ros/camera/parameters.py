"""Table of the camera node's parameters; docs/parameters.md and the descriptors are made of it."""

from __future__ import annotations

from trt_ssd_ros.ros.parameters import Kind, ParameterSpec

_FIXED = "the source is opened with it when the node starts"

CAMERA_NODE = (
    ParameterSpec(
        "source",
        Kind.STRING,
        "demo",
        "demo; the path of an image, a folder or a video; webcam:N; the address of a stream, as rtsp://...; "
        "gstreamer:PIPELINE",
        fixed=_FIXED,
    ),
    ParameterSpec(
        "rate",
        Kind.DOUBLE,
        0.0,
        "Images a second, of a stream or webcam at most; 0: the source's own rate, else 30",
        0.0,
        1000.0,
        fixed=_FIXED,
    ),
    ParameterSpec(
        "loop",
        Kind.BOOL,
        True,
        "Start again at the end; false: wait for a subscriber, then play once",
        fixed=_FIXED,
    ),
    ParameterSpec(
        "start",
        Kind.INTEGER,
        0,
        "Image of a folder or video that comes first, counted from 0",
        lowest=0,
        highest=999_999,
        fixed=_FIXED,
    ),
    ParameterSpec(
        "width",
        Kind.INTEGER,
        0,
        "Width in pixels asked of a webcam; 0: as it likes",
        lowest=0,
        highest=65535,
        fixed=_FIXED,
    ),
    ParameterSpec(
        "height",
        Kind.INTEGER,
        0,
        "Height in pixels asked of a webcam; 0: as it likes",
        lowest=0,
        highest=65535,
        fixed=_FIXED,
    ),
    ParameterSpec(
        "calibration",
        Kind.STRING,
        "",
        "Path of the YAML file of camera_calibration that camera_info is made of; empty: only the size is known",
        fixed=_FIXED,
    ),
    ParameterSpec("frame_id", Kind.STRING, "camera", "frame_id of the images", fixed=_FIXED),
)
