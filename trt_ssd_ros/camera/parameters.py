"""Table of the camera node's parameters, the source of docs/parameters.md and of the descriptors."""

from __future__ import annotations

from trt_ssd_ros.ros.parameters import Kind, ParameterSpec

_FIXED = "the node opens the source with it at the start"

CAMERA_NODE = (
    ParameterSpec(
        "source",
        Kind.STRING,
        "demo",
        "Source of the images: demo; path of an image, a folder or a video; webcam:N; address of a stream, e.g. "
        "rtsp://...; gstreamer:PIPELINE",
        fixed=_FIXED,
    ),
    ParameterSpec(
        "rate",
        Kind.DOUBLE,
        0.0,
        "Rate of the images in Hz, for a stream or webcam the largest rate; 0: the source's own rate, else 30",
        0.0,
        1000.0,
        fixed=_FIXED,
    ),
    ParameterSpec(
        "loop",
        Kind.BOOL,
        True,
        "Repeat the source at its end; false: wait for a subscriber, then play once",
        fixed=_FIXED,
    ),
    ParameterSpec(
        "start",
        Kind.INTEGER,
        0,
        "Number of the first image of a folder or video, counted from 0",
        lowest=0,
        highest=999_999,
        fixed=_FIXED,
    ),
    ParameterSpec(
        "width",
        Kind.INTEGER,
        0,
        "Image width in pixels requested from a webcam; 0: the webcam's default",
        lowest=0,
        highest=65535,
        fixed=_FIXED,
    ),
    ParameterSpec(
        "height",
        Kind.INTEGER,
        0,
        "Image height in pixels requested from a webcam; 0: the webcam's default",
        lowest=0,
        highest=65535,
        fixed=_FIXED,
    ),
    ParameterSpec(
        "calibration",
        Kind.STRING,
        "",
        "Path of a YAML file of camera_calibration for camera_info; empty: camera_info has only the image size",
        fixed=_FIXED,
    ),
    ParameterSpec(
        "frame_id",
        Kind.STRING,
        "",
        "frame_id in the headers of the images; empty: full name of the node, e.g. camera, or front/camera in a "
        "namespace",
        fixed=_FIXED,
    ),
    ParameterSpec(
        "wait_for_source",
        Kind.BOOL,
        True,
        "If a webcam, stream or pipeline cannot be opened at the start, try again until it can; false: end",
        fixed=_FIXED,
    ),
)
