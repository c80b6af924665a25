"""quantize_model on the package's model and photos; ONNX Runtime quantizes and runs for real."""

from __future__ import annotations

import hashlib
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from terminal import Terminal

from trt_ssd_ros.engines.half_precision import in_half_precision
from trt_ssd_ros.engines.onnxruntime_engine import open_onnxruntime
from trt_ssd_ros.models.card import ModelCard
from trt_ssd_ros.models.card_file import card_text
from trt_ssd_ros.tools.quantize_model.__main__ import main
from trt_ssd_ros.yaml_reader import read_yaml

NAME = "tiny_int8"
SHIPPED = "ssdlite_mobilenet_v2_coco"


@pytest.fixture(scope="module", params=["onnxruntime", "tensorrt"])
def backend(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def photos(repository: Path) -> str:
    return str(repository / "photos")


@pytest.fixture(scope="module")
def model(tiny_card: ModelCard) -> tuple[str, Path]:
    """The flag that names the tiny network's card."""
    return "--model", tiny_card.onnx.path.with_suffix(".yaml")


@pytest.fixture(scope="module")
def folder(backend: str, model: tuple[str, Path], photos: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp(backend)
    assert quantize(photos, *model, "--backend", backend, "--output", folder) == 0
    return folder


@pytest.fixture(scope="module")
def int8_shipped(photos: str, tmp_path_factory: pytest.TempPathFactory) -> ModelCard:
    """The shipped network in int8."""
    folder = tmp_path_factory.mktemp("shipped")
    assert quantize(photos, "--output", folder) == 0
    return ModelCard.load(folder / f"{SHIPPED}_int8.yaml")


def quantize(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


def test_finds_what_the_float_detector_finds(int8_shipped, detector, photo):
    int8 = open_onnxruntime(int8_shipped)
    for name in ("astronaut", "chelsea", "coffee"):
        before, after = detector.detect(photo(name)), int8.detect(photo(name))
        assert after.class_ids[0] == before.class_ids[0]
        assert abs(after.scores[0] - before.scores[0]) < 0.15
        np.testing.assert_allclose(after.boxes[0], before.boxes[0], atol=0.05 * max(photo(name).shape))


def test_the_card_is_that_of_the_float_detector_but_for_name_network_and_source(folder, tiny_card, backend):
    int8_card = ModelCard.load(folder / f"{NAME}.yaml")
    for field in ("family", "licence", "input", "outputs", "labels", "defaults", "priors"):
        assert getattr(int8_card, field) == getattr(tiny_card, field)
    assert int8_card.name == NAME
    assert int8_card.source == f"{tiny_card.source}; quantized to int8 for {backend}, calibrated with images: 3"


def test_the_network_is_about_half_as_large(int8_shipped, card):
    assert int8_shipped.onnx.path.stat().st_size < 0.6 * card.onnx.path.stat().st_size


def test_says_what_became_of_it(model, photos, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(photos, "here")
    assert quantize("here", *model, "--name", "mine") == 0
    said = capsys.readouterr()
    title, *lines = said.out.splitlines()
    assert title == "mine: quantized to int8 for onnxruntime, calibrated with images: 3"
    assert [line.split()[0] for line in lines] == ["wrote", "size", "detections", "time", "run"]
    assert lines[0] == "  wrote       mine.onnx and mine.yaml"
    assert " of 300 matched, " in lines[2]
    assert "--model mine.yaml --backend onnxruntime" in lines[4]
    assert "found 3 calibration images, expected 100 or more" in said.err
    assert ModelCard.load(tmp_path / "mine.yaml").name == "mine"


# ---- what is refused, and what is skipped ----------------------------------------------------------


def refusal(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """What is said of a command that fails."""
    assert quantize(*arguments) == 1
    said = capsys.readouterr()
    assert said.err.startswith("quantize_model: ")
    assert said.err.count("\n") == 1
    assert not said.out
    return said.err


def test_an_int8_detector_is_not_quantized_again(folder, photos, tmp_path, capsys):
    said = refusal(capsys, photos, "--model", folder / f"{NAME}.yaml", "--output", tmp_path)
    assert "found an already quantized network, expected its float32 original" in said


def test_a_network_in_half_precision_is_refused(network, card_path, photos, tmp_path, capsys):
    content = in_half_precision(network).SerializeToString()
    (tmp_path / "half.onnx").write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    text = card_text(read_yaml(card_path) | {"onnx": {"path": "half.onnx", "sha256": digest}})
    (tmp_path / "half.yaml").write_text(text)
    said = refusal(capsys, photos, "--model", tmp_path / "half.yaml", "--output", tmp_path)
    assert "found TensorProto.FLOAT16, expected a network in TensorProto.FLOAT" in said


@pytest.mark.parametrize("suffix", ["onnx", "yaml"])
def test_what_is_there_stays(model, photos, tmp_path, capsys, suffix):
    (tmp_path / f"{NAME}.{suffix}").write_text("mine")
    assert "give --force to overwrite, or another --name or --output" in refusal(
        capsys, photos, *model, "--output", tmp_path
    )
    assert [path.read_text() for path in tmp_path.iterdir()] == ["mine"]


@pytest.mark.parametrize("name", ["models/mine", "..", "a\nb"])
def test_a_name_is_no_path(model, photos, tmp_path, capsys, name):
    said = refusal(capsys, photos, *model, "--output", tmp_path, "--name", name)
    assert f"name: found {name!r}, expected a file name: give --name" in said


def test_force_overwrites_neither_a_folder_nor_what_it_is_made_of(folder, model, photos, tmp_path, capsys):
    (tmp_path / f"{NAME}.yaml").mkdir()
    assert f"found {tmp_path / NAME}.yaml, a folder or source file that must stay" in refusal(
        capsys, photos, *model, "--output", tmp_path, "--force"
    )
    itself = ("--model", folder / f"{NAME}.yaml", "--name", NAME, "--output", folder, "--force")
    assert f"found {folder / NAME}.onnx, a folder or source file that must stay" in refusal(
        capsys, photos, *itself
    )


def test_who_has_read_enough_does_not_end_it_before_it_has_written(model, photos, tmp_path):
    command = [sys.executable, "-m", "trt_ssd_ros.tools.quantize_model", photos, *model, "--output", tmp_path]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    process.stdout.close()
    process.wait(60)
    assert ModelCard.load(tmp_path / f"{NAME}.yaml").name == NAME


def test_without_an_image_that_can_be_read_nothing_is_written(tmp_path, capsys):
    (tmp_path / "broken.jpg").write_bytes(b"nothing")
    assert quantize(tmp_path, "--output", tmp_path / "out") == 1
    assert "found no readable image" in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "out").exists()


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
