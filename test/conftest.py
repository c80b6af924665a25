"""Fixtures of several layers: the shipped model, the photographs and a video. Those that need ROS are a plugin."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import logging
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import onnx
import pytest
import yaml
from media import pan, write_video
from numpy.typing import NDArray
from rtx_worker import InRtx, rtx_worker

from trt_ssd_ros.detection.detector import Detector
from trt_ssd_ros.engines.onnxruntime_engine import OnnxRuntimeEngine
from trt_ssd_ros.models.card import ModelCard
from trt_ssd_ros.models.graph import compose
from trt_ssd_ros.models.network import load_network

Photo = Callable[..., NDArray[np.uint8]]

ROS_LAYERS = ("ros", "node", "camera", "recorder", "launching", "web", "bench/ros", "examples")
if importlib.util.find_spec("hypothesis") is not None:
    # The same examples in each run, however slow the machine is.
    hypothesis = importlib.import_module("hypothesis")
    slow = [hypothesis.HealthCheck.too_slow]
    hypothesis.settings.register_profile(
        "repeatable", deadline=None, derandomize=True, database=None, suppress_health_check=slow
    )
    hypothesis.settings.load_profile("repeatable")
pytest_plugins = ["server_fixtures"]
if importlib.util.find_spec("rclpy") is None:
    collect_ignore = list(ROS_LAYERS)
    collect_ignore_glob = ["depth/test_locator*.py"]
else:
    pytest_plugins.append("ros_fixtures")


@pytest.fixture(scope="session", autouse=True)
def interruptible() -> None:
    """Let processes take SIGINT also where a shell, having put us into the background, had us ignore it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def repository() -> Path:
    """The folder that holds everything."""
    return Path(__file__).parents[1]


@pytest.fixture(scope="session")
def card_path(repository: Path) -> Path:
    """The card of the default model."""
    return repository / "config" / "models" / "ssdlite_mobilenet_v2_coco.yaml"


@pytest.fixture(scope="session")
def card(card_path: Path) -> ModelCard:
    """The shipped model's card."""
    return ModelCard.load(card_path)


@pytest.fixture(scope="session")
def network(card: ModelCard) -> onnx.ModelProto:
    """The shipped network as it is on disk; not to be changed."""
    return load_network(card)


@pytest.fixture(scope="session")
def single_card_path(tmp_path_factory: pytest.TempPathFactory, card_path: Path, network: onnx.ModelProto) -> Path:
    """The card `single` of the shipped network, made to take one image at a time."""
    folder, model = tmp_path_factory.mktemp("single"), onnx.ModelProto()
    model.CopyFrom(network)
    for tensor in (*model.graph.input, *model.graph.output):
        tensor.type.tensor_type.shape.dim[0].dim_value = 1
    data = model.SerializeToString()
    (folder / "single.onnx").write_bytes(data)
    card = yaml.safe_load(card_path.read_text())
    card |= {"name": "single", "onnx": {"path": "single.onnx", "sha256": hashlib.sha256(data).hexdigest()}}
    (folder / "card.yaml").write_text(yaml.safe_dump(card))
    return folder / "card.yaml"


@pytest.fixture(scope="session")
def quantized(network: onnx.ModelProto, card: ModelCard) -> onnx.ModelProto:
    """The shipped network, its input rounded to 255 steps."""
    model = onnx.ModelProto()
    model.CopyFrom(network)
    tensor = card.input.tensor
    for node in model.graph.node:
        node.input[:] = ["rounded" if name == tensor else name for name in node.input]
    numbers = {"step": np.float32(2 / 255), "zero": np.int8(0)}
    model.graph.initializer.extend(onnx.numpy_helper.from_array(np.array(n), name) for name, n in numbers.items())
    model.graph.node.insert(0, onnx.helper.make_node("DequantizeLinear", ["whole", "step", "zero"], ["rounded"]))
    model.graph.node.insert(0, onnx.helper.make_node("QuantizeLinear", [tensor, "step", "zero"], ["whole"]))
    return model


@pytest.fixture(scope="session")
def shipped_graph(network: onnx.ModelProto, card: ModelCard) -> onnx.ModelProto:
    """The shipped network composed into one graph; not to be changed."""
    return compose(network, card)


@pytest.fixture(scope="session")
def shipped_engine(shipped_graph: onnx.ModelProto) -> OnnxRuntimeEngine:
    """The shipped model's graph under ONNX Runtime."""
    return OnnxRuntimeEngine(shipped_graph)


@pytest.fixture
def detector(shipped_engine: OnnxRuntimeEngine, card: ModelCard) -> Detector:
    """A detector of its own for every test, with the card's thresholds; the engine is shared."""
    return Detector(shipped_engine, card)


@pytest.fixture(scope="session")
def in_rtx() -> Iterator[InRtx]:
    """Run a function in a process that has TensorRT for RTX: in_rtx(function, *arguments)."""
    with rtx_worker() as worker:
        yield worker


@pytest.fixture(scope="session")
def photo(repository: Path) -> Photo:
    """Read a photograph as (H, W, 3) bgr: photo("chelsea"), or photo("chelsea", width, height) to resize it."""

    def read(name: str, *size: int) -> NDArray[np.uint8]:
        image = cv2.imread(str(repository / "photos" / f"{name}.jpg"))
        assert image is not None
        return cv2.resize(image, size) if size else image

    return read


@pytest.fixture
def opencv_threads() -> Iterator[int]:
    """OpenCV's number of threads before a test, which is set again after it."""
    before = cv2.getNumThreads()
    yield before
    cv2.setNumThreads(before)


@pytest.fixture(scope="session")
def video(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Path:
    """Two seconds of a cat."""
    photo = cv2.imread(str(repository / "photos" / "chelsea.jpg"))
    return write_video(tmp_path_factory.mktemp("video") / "cat.mp4", pan(photo, 60))


@pytest.fixture
def hear(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., pytest.LogCaptureFixture]:
    """Hear what a module logs, also where launch's pytest plugin keeps loggers from caplog."""

    def listen(module: ModuleType, level: int = logging.NOTSET) -> pytest.LogCaptureFixture:
        logger = logging.Logger(module.__name__, level)
        logger.addHandler(caplog.handler)
        monkeypatch.setattr(module, "LOGGER", logger)
        return caplog

    return listen
