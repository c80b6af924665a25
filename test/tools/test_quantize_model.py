"""quantize_model on the package's model and photos; ONNX Runtime quantizes and runs for real."""

from __future__ import annotations

import hashlib
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper
from rtx_worker import rtx_worker
from ssd_networks import TINY, Net, decoded_network, nchw
from terminal import Terminal

from trt_ssd_ros.core.card_reader import read_yaml
from trt_ssd_ros.core.detector import Detector
from trt_ssd_ros.core.graph import compose
from trt_ssd_ros.core.model_card import ModelCard
from trt_ssd_ros.core.network import is_quantized, load_network
from trt_ssd_ros.core.onnx_graph import OnnxGraph
from trt_ssd_ros.engines.half_precision import in_half_precision
from trt_ssd_ros.engines.onnxruntime_engine import OnnxRuntimeEngine
from trt_ssd_ros.engines.plan_builder import BuildOptions, build_plan
from trt_ssd_ros.engines.tensorrt_library import load_tensorrt
from trt_ssd_ros.tools import quantize_model as command
from trt_ssd_ros.tools.model_import.card_file import card_text
from trt_ssd_ros.tools.quantize_model import main

NAME = "ssd_mobilenet_v2_oidv4_int8"
ROUNDED = {"onnxruntime": {TensorProto.UINT8, TensorProto.INT8, TensorProto.INT32}, "tensorrt": {TensorProto.INT8}}


@pytest.fixture(scope="module", params=["onnxruntime", "tensorrt"])
def backend(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def photos(repository) -> str:
    return str(repository / "photos")


@pytest.fixture(scope="module")
def folder(backend, photos, tmp_path_factory):
    folder = tmp_path_factory.mktemp(backend)
    assert quantize(photos, "--backend", backend, "--output", folder) == 0
    return folder


@pytest.fixture(scope="module")
def int8_card(folder) -> ModelCard:
    return ModelCard.load(folder / f"{NAME}.yaml")


def quantize(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


def convolutions(network: onnx.ModelProto) -> tuple[list[str], list[str]]:
    """The outputs of those that compute with rounded numbers, and of those that do not."""
    graph = OnnxGraph(network)
    rounded, others = [], []
    for node in graph.nodes:
        if node.op_type == "Conv":
            makers = {getattr(graph.maker(name), "op_type", "") for name in node.input[:2]}
            (rounded if makers == {"DequantizeLinear"} else others).append(node.output[0])
    return rounded, others


def test_finds_what_the_float_detector_finds(int8_card, detector, photo):
    int8 = Detector(OnnxRuntimeEngine(compose(load_network(int8_card), int8_card)), int8_card)
    for name in ("astronaut", "chelsea", "coffee"):
        before, after = detector.detect(photo(name)), int8.detect(photo(name))
        assert after.class_ids[0] == before.class_ids[0]
        assert abs(after.scores[0] - before.scores[0]) < 0.1
        np.testing.assert_allclose(after.boxes[0], before.boxes[0], atol=0.05 * max(photo(name).shape))


def test_all_convolutions_but_those_of_the_heads_are_rounded(int8_card):
    rounded, others = convolutions(load_network(int8_card))
    assert (len(rounded), len(others)) == (60, 12)


def test_each_backend_gets_the_whole_numbers_that_it_takes(int8_card, backend):
    network = load_network(int8_card)
    rounding = [node for node in network.graph.node if node.op_type in ("QuantizeLinear", "DequantizeLinear")]
    zeros = {node.input[2] for node in rounding}
    tensors = [tensor for tensor in network.graph.initializer if tensor.name in zeros]
    assert {tensor.data_type for tensor in tensors} == ROUNDED[backend]
    if backend == "tensorrt":
        assert not any(numpy_helper.to_array(tensor).any() for tensor in tensors)


def test_the_card_is_that_of_the_float_detector_but_for_name_network_and_source(int8_card, card, backend):
    for field in ("family", "licence", "input", "outputs", "labels", "defaults", "priors"):
        assert getattr(int8_card, field) == getattr(card, field)
    assert int8_card.name == NAME
    assert int8_card.source == f"{card.source}; quantized to int8 for {backend}, calibrated with 3 images"


def test_the_network_is_a_third_as_large(int8_card, card):
    assert int8_card.onnx.path.stat().st_size < 0.4 * card.onnx.path.stat().st_size


def in_rtx_refusal(card_path: Path) -> str:
    """What TensorRT for RTX says of a detector; called in its process."""
    card = ModelCard.load(card_path)
    with pytest.raises(RuntimeError) as refusal:
        build_plan(compose(load_network(card), card), load_tensorrt(), BuildOptions(compute_capability="8.9"))
    return str(refusal.value)


def test_tensorrt_for_rtx_has_no_int8_convolutions_and_says_so(folder, backend):
    """When a later one has them, docs/engines.md is to say so."""
    with rtx_worker() as in_rtx:
        said = in_rtx(in_rtx_refusal, folder / f"{NAME}.yaml")
    assert " of a quantized network (backend onnxruntime runs it): " in said
    reason = "input has type Int32" if backend == "onnxruntime" else "CHECK(dtype == myelinTypeFloat"
    assert reason in said


def test_says_what_became_of_it(photos, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(photos, "here")
    assert quantize("here", "--name", "mine") == 0
    title, *lines, written = capsys.readouterr().out.splitlines()
    assert title == "mine: quantized to int8 for onnxruntime, calibrated with 3 images"
    assert [line.split()[0] for line in lines] == ["size", "detections", "time"]
    assert " of 4 found again, " in lines[1]
    assert written == "  wrote mine.onnx and mine.yaml"
    assert ModelCard.load(tmp_path / "mine.yaml").name == "mine"


def test_a_video_is_looked_at_from_beginning_to_end(video, tmp_path, monkeypatch, capsys):
    fed = []

    def listen(network, calibration, _):
        fed.extend(iter(calibration.get_next, None))
        return network

    monkeypatch.setattr(command, "in_int8", listen)
    assert quantize(video, "--max-images", 10, "--output", tmp_path) == 0
    assert "calibrated with 10 images" in capsys.readouterr().out
    frames = [pixels for (pixels,) in map(dict.values, fed)]
    expected = cv2.VideoCapture(str(video))
    there = [np.asarray(expected.read()[1][..., ::-1], np.float32) / 127.5 - 1 for _ in range(60)]
    small = [cv2.resize(frame, (300, 300)) for frame in there]
    nearest = [int(np.argmin([abs(pixels[0] - frame).mean() for frame in small])) for pixels in frames]
    assert nearest == list(range(0, 60, 6))


def test_a_network_that_decodes_its_boxes_decodes_them_in_float(run_import, labels, tmp_path, photos):
    net = Net()
    run_import(decoded_network(net, nchw(net, TINY)), *labels("a", "b", "c"), "--family", "other")
    assert quantize(photos, "--model", tmp_path / "net.yaml", "--output", tmp_path) == 0
    network = load_network(ModelCard.load(tmp_path / "net_int8.yaml"))
    graph = OnnxGraph(network)
    (exponent,) = [node for node in graph.nodes if node.op_type == "Exp"]
    kinds = {graph.nodes[index].op_type for index in graph.after(exponent.output)}
    assert is_quantized(network)
    assert "Concat" in kinds
    assert not kinds & {"QuantizeLinear", "DequantizeLinear"}


def test_batch_normalisation_is_folded_into_the_convolutions(run_import, labels, tmp_path, photos):
    net = Net()
    image = nchw(net, TINY)
    net.channels[image] = 3
    first = net.convolved(image, 3, size=1)
    ones, nothing = net.constant(np.full(3, 2.0)), net.constant(np.zeros(3))
    normal = net("BatchNormalization", first, ones, nothing, nothing, ones)
    run_import(decoded_network(net, normal), *labels("a", "b", "c"), "--family", "other")
    assert quantize(photos, "--model", tmp_path / "net.yaml", "--output", tmp_path) == 0
    network = load_network(ModelCard.load(tmp_path / "net_int8.yaml"))
    assert "BatchNormalization" not in {node.op_type for node in network.graph.node}


# ---- what is refused, and what is passed over ------------------------------------------------------


def refusal(capsys, *arguments: object) -> str:
    """What is said of a command that fails."""
    assert quantize(*arguments) == 1
    said = capsys.readouterr()
    assert said.err.startswith("quantize_model: ")
    assert said.err.count("\n") == 1
    return said.err


def test_an_int8_detector_is_not_quantized_again(folder, photos, tmp_path, capsys):
    said = refusal(capsys, photos, "--model", folder / f"{NAME}.yaml", "--output", tmp_path)
    assert "found a network that is quantized already, expected the one that it was made of" in said


def test_a_network_in_half_precision_is_refused(network, card_path, photos, tmp_path, capsys):
    content = in_half_precision(network).SerializeToString()
    (tmp_path / "half.onnx").write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    text = card_text(read_yaml(card_path) | {"onnx": {"path": "half.onnx", "sha256": digest}})
    (tmp_path / "half.yaml").write_text(text)
    said = refusal(capsys, photos, "--model", tmp_path / "half.yaml", "--output", tmp_path)
    assert "found TensorProto.FLOAT16, expected a network in TensorProto.FLOAT" in said


@pytest.mark.parametrize("suffix", ["onnx", "yaml"])
def test_what_is_there_stays(photos, tmp_path, capsys, suffix):
    (tmp_path / f"{NAME}.{suffix}").write_text("mine")
    assert "are there already: give --force, --name or --output" in refusal(capsys, photos, "--output", tmp_path)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["mine"]


def test_a_name_is_no_path(photos, tmp_path, capsys):
    said = refusal(capsys, photos, "--output", tmp_path, "--name", "models/mine")
    assert "--name: found 'models/mine', expected a file's name" in said


def test_images_that_cannot_be_read_are_named_and_passed_over(photos, tmp_path, capsys, hear):
    said = hear(command)
    shutil.copytree(photos, tmp_path / "photos")
    (tmp_path / "photos" / "broken.jpg").write_bytes(b"nothing")
    assert quantize(tmp_path / "photos", "--output", tmp_path) == 0
    assert "calibrated with 3 images" in capsys.readouterr().out
    assert "passed over broken.jpg: " in said.text


def test_without_an_image_that_can_be_read_nothing_is_written(tmp_path, capsys):
    (tmp_path / "broken.jpg").write_bytes(b"nothing")
    assert quantize(tmp_path, "--output", tmp_path / "out") == 1
    assert "found no image that can be read" in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "out").exists()


def test_a_camera_is_refused_as_its_images_do_not_come_again(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(command, "open_input", lambda *_: SimpleNamespace(live=True, close=lambda: None))
    said = refusal(capsys, "webcam:0", "--output", tmp_path)
    assert "found webcam:0, expected images that can be gone through twice" in said


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_and_leaves_nothing(video, tmp_path, ending):
    terminal = Terminal()
    process = subprocess.Popen(
        [sys.executable, "-m", "trt_ssd_ros.tools.quantize_model", video, "--output", tmp_path / "out"],
        stderr=terminal.theirs,
    )
    terminal.wait_for("calibrating: ")
    process.send_signal(ending)
    said = terminal.rest()
    assert process.wait(60) == 130, said
    assert said.endswith("quantize_model: interrupted\r\n")
    assert not (tmp_path / "out").exists()


def test_help_teaches(capsys):
    with pytest.raises(SystemExit, match="0"):
        quantize("--help")
    assert "quantize_model photos/ --backend tensorrt" in capsys.readouterr().out
