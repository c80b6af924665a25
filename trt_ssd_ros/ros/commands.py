"""The package's executables, imported only when they run, so that Ctrl-C ends an import without a traceback."""

from __future__ import annotations

import sys
from importlib import import_module

from trt_ssd_ros.core.exit_codes import INTERRUPTED
from trt_ssd_ros.tools.required_packages import missing_package


def detector_node() -> int:
    """Run the detector node."""
    return _run("detector_node")


def camera_node() -> int:
    """Run the camera node."""
    return _run("camera_node")


def record() -> int:
    """Run the recorder."""
    return _run("recorder_node")


def benchmark() -> int:
    """Measure the detector, or with --ros the node."""
    return _run("benchmark", "ros" if "--ros" in sys.argv else "tools")


def soak() -> int:
    """Run the soak."""
    return _run("soak")


def build_engine() -> int:
    """Build TensorRT plans ahead of time."""
    return _run("build_engine", "tools")


def detect() -> int:
    """Detect objects in files, cameras and recordings."""
    return _run("detect", "tools")


def doctor() -> int:
    """Say whether detection runs well on this machine."""
    return _run("doctor", "tools")


def evaluate() -> int:
    """Evaluate detectors on an annotated set of images."""
    return _run("evaluate", "tools")


def import_model() -> int:
    """Make a model card of an ONNX file."""
    return _run("import_model", "tools")


def quantize_model() -> int:
    """Make an int8 detector of a float one."""
    return _run("quantize_model", "tools")


def transport_benchmark() -> int:
    """Measure how images get from one process to another."""
    return _run("transport_benchmark")


def _run(module: str, folder: str = "ros") -> int:
    try:
        code: int = import_module(f"trt_ssd_ros.{folder}.{module}").main()
    except KeyboardInterrupt:
        return INTERRUPTED
    except ImportError as error:
        text = missing_package(error)
        if not text:
            raise
        raise SystemExit(f"{module}: {text}") from None
    return code
