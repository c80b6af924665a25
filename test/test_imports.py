"""The layers below ROS and the engines work in any Python with NumPy, OpenCV, onnx and PyYAML, old or new."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

BARE_PYTHON = "TRT_SSD_BARE_PYTHON"
FOREIGN = ("rclpy", "scipy", "tensorrt", "tensorrt_rtx", "pycuda", "onnxruntime")

# Scripts for the other interpreter, run in the repository.
IMPORT_LAYERS = """
import importlib, pkgutil
for layer in ("images", "models", "detection", "tracking"):
    package = importlib.import_module("trt_ssd_ros." + layer)
    for module in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
        importlib.import_module(module.name)
"""

USE_LAYERS = """
from pathlib import Path
from types import SimpleNamespace
import cv2, numpy as np
from trt_ssd_ros.detection.detections import nms
from trt_ssd_ros.detection.detections import Detections
from trt_ssd_ros.detection.draw import draw_detections
from trt_ssd_ros.images.frame import SUPPORTED_ENCODINGS, frame_from_message
from trt_ssd_ros.models.graph import compose
from trt_ssd_ros.models.network import load_network
from trt_ssd_ros.models.card import ModelCard

card = ModelCard.load(Path("config/models/ssdlite_mobilenet_v2_coco.yaml"))
assert len(compose(load_network(card), card).graph.node) > 100

photo = cv2.imread("photos/chelsea.jpg")[:300, :300]
for encoding in SUPPORTED_ENCODINGS:  # 2400 bytes a row, 450 rows are enough for all of them
    data = bytes(2400 * 450)
    message = SimpleNamespace(height=300, width=300, encoding=encoding, is_bigendian=0, step=2400, data=data)
    assert frame_from_message(message).pixels.shape == (300, 300, 3)

boxes = np.array([[10, 10, 200, 200], [12, 10, 202, 200], [100, 100, 290, 290]], np.float32)
found = Detections(boxes, np.array([0.9, 0.8, 0.7], np.float32), np.array([7, 7, 3], np.int32))
found = found[nms(found.boxes, found.scores, found.class_ids, 0.5)]
assert len(found) == 2
assert (draw_detections(photo, found, card.labels) != photo).any()
"""

REPORT = f"""
import json, sys
print(json.dumps(sorted(set(sys.modules) & set({FOREIGN}))))
"""


def run_in(python: str, script: str, repository: Path) -> list[str]:
    """Run a script and REPORT in another interpreter and return the foreign modules it loaded."""
    environment = dict(os.environ)
    if python != sys.executable:
        environment.pop("PYTHONPATH", None)  # it might lend a bare interpreter the packages of this one
    done = subprocess.run(
        [python, "-c", script + REPORT],
        cwd=repository,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(params=["this Python", "a bare Python"])
def python(request: pytest.FixtureRequest) -> str:
    """This interpreter, and one that has nothing but what these layers need."""
    if request.param == "this Python":
        return sys.executable
    if BARE_PYTHON not in os.environ:
        pytest.skip(f"set {BARE_PYTHON} to a Python that has nothing but numpy, opencv, onnx and pyyaml")
    return os.environ[BARE_PYTHON]


def test_every_module_below_the_engines_imports_without_ros_gpu_or_runtime(python, repository):
    assert run_in(python, IMPORT_LAYERS, repository) == []


def test_they_compose_read_and_draw_without_ros_gpu_or_runtime(python, repository):
    assert run_in(python, IMPORT_LAYERS + USE_LAYERS, repository) == []


def test_the_bare_python_is_bare(repository):
    """Guards the tests above: what is not installed cannot be imported by accident."""
    if BARE_PYTHON not in os.environ:
        pytest.skip(f"{BARE_PYTHON} is not set")
    script = f"""
import importlib.util, sys
sys.modules.update({{name: None for name in {FOREIGN} if importlib.util.find_spec(name)}})
"""
    assert run_in(os.environ[BARE_PYTHON], script, repository) == []


LAYERS = ("images", "models", "detection", "tracking", "engines", "ros", "node", "depth")


@pytest.mark.parametrize("package", ["trt_ssd_ros", *(f"trt_ssd_ros.{layer}" for layer in LAYERS)])
def test_packages_import_nothing_by_themselves(package, repository):
    script = f"import sys\nimport {package}\nassert 'numpy' not in sys.modules"
    assert run_in(sys.executable, script, repository) == []


def test_engines_import_without_their_runtimes(repository):
    """onnxruntime, tensorrt and pycuda are imported where they are used, not where their module is named."""
    script = IMPORT_LAYERS.replace('"images", "models", "detection", "tracking"', '"engines",')
    assert run_in(sys.executable, script, repository) == []
