"""Entry points of the executables; each imports its module on use, so that Ctrl-C prints no traceback.

During the imports, Ctrl-C is no exception: NumPy turns a KeyboardInterrupt in its own import into an ImportError.
"""

from __future__ import annotations

import os
import signal
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

from trt_ssd_ros.errors import INTERRUPTED, missing_package
from trt_ssd_ros.version import version_line


def detector_node() -> int:
    """Run the detector node."""
    return _run("trt_ssd_ros.node.detector_node", interrupted=0)


def camera_node() -> int:
    """Run the camera node."""
    return _run("trt_ssd_ros.camera.camera_node", interrupted=0)


def composed_node() -> int:
    """Run a camera node and a detector node in one process."""
    return _run("trt_ssd_ros.camera.composed", interrupted=0)


def locator_node() -> int:
    """Run the locator."""
    return _run("trt_ssd_ros.depth.locator_node", interrupted=0)


def web_node() -> int:
    """Run the web node."""
    return _run("trt_ssd_ros.web.web_node", interrupted=0)


def record() -> int:
    """Run the recorder."""
    return _run("trt_ssd_ros.recorder.recorder_node")


def watch() -> int:
    """Print the detections of a running detector."""
    return _run("trt_ssd_ros.recorder.watch")


def benchmark() -> int:
    """Measure the detector, or the node if --ros is given."""
    return _run("trt_ssd_ros.bench.ros.__main__" if "--ros" in sys.argv else "trt_ssd_ros.bench.__main__")


def soak() -> int:
    """Run the soak test of the detector node."""
    return _run("trt_ssd_ros.bench.ros.soak")


def build_engine() -> int:
    """Build TensorRT plans ahead of time."""
    return _run("trt_ssd_ros.tools.build_engine")


def detect() -> int:
    """Detect objects in files, cameras and recordings."""
    return _run("trt_ssd_ros.tools.detect.__main__")


def doctor() -> int:
    """Check whether detection runs well on this machine."""
    return _run("trt_ssd_ros.tools.doctor.__main__")


def evaluate() -> int:
    """Evaluate detectors on an annotated set of images."""
    return _run("trt_ssd_ros.tools.evaluate.__main__")


def import_model() -> int:
    """Write a model card for an ONNX file."""
    return _run("trt_ssd_ros.tools.import_model.__main__")


def quantize_model() -> int:
    """Quantize a detector to int8."""
    return _run("trt_ssd_ros.tools.quantize_model.__main__")


def transport_benchmark() -> int:
    """Measure image transport between two processes."""
    return _run("trt_ssd_ros.bench.ros.transport")


def _run(module: str, interrupted: int = INTERRUPTED) -> int:
    """Run the main function of a module, and return its exit code.

    Args:
        module: Full name of the module.
        interrupted: Exit code after Ctrl-C during the imports; 0 for nodes: launch reports any other as an error.
    """
    if sys.argv[1:] == ["--version"]:  # the nodes have no other options; the tools need no slow imports for it
        sys.stdout.write(version_line(Path(sys.argv[0]).name))
        return 0
    try:
        code: int = _imported(module, interrupted).main()
    except KeyboardInterrupt:
        return interrupted
    except ImportError as error:
        text = missing_package(error)
        if not text:
            raise
        name = module.removesuffix(".__main__").rpartition(".")[2]
        raise SystemExit(f"{name}: {text}") from None
    return code


def _imported(module: str, interrupted: int) -> ModuleType:
    """Import a module; Ctrl-C meanwhile ends the process with an exit code, as there is nothing to close yet."""
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:  # e.g. ignored in a background job
        return import_module(module)
    signal.signal(signal.SIGINT, lambda *_: os._exit(interrupted))
    try:
        return import_module(module)
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
