"""quantize_model on the package's model and photos; ONNX Runtime quantizes and runs for real."""

from __future__ import annotations

import hashlib
import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from terminal import Terminal

from trt_ssd_ros.engines.half_precision import in_half_precision
from trt_ssd_ros.engines.onnxruntime_engine import open_onnxruntime
from trt_ssd_ros.models.card import ModelCard
from trt_ssd_ros.models.card_file import card_text
from trt_ssd_ros.tools.evaluate.__main__ import main as evaluate
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


def test_says_what_became_of_it(model, photos, tmp_path, monkeypatch, capsys, caplog):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(photos, "here")
    assert quantize("here", *model, "--name", "mine") == 0
    said = capsys.readouterr()
    title, *lines = said.out.splitlines()
    assert title == "mine: quantized to int8 for onnxruntime, calibrated with images: 3"
    assert [line.split()[0] for line in lines] == [
        *("wrote", "size", "ONNX", "detections", "matched:", "time", "median", "run")
    ], "each figure is followed by its meaning"
    assert lines[0] == "  wrote       mine.onnx and mine.yaml"
    assert " of 300 matched, " in lines[3]
    assert "--model mine.yaml --backend onnxruntime" in lines[7]
    assert "found 3 calibration images, expected 100 or more" in said.err + caplog.text
    assert ModelCard.load(tmp_path / "mine.yaml").name == "mine"


def test_a_missing_input_is_reported_before_existing_output(model, tmp_path, capsys):
    (tmp_path / f"{NAME}.onnx").write_text("mine")
    assert quantize("nothing.jpg", *model, "--output", tmp_path) == 1
    assert "nothing.jpg does not exist" in capsys.readouterr().err
    assert (tmp_path / f"{NAME}.onnx").read_text() == "mine"


# ---- accuracy in annotated images ------------------------------------------------------------------


@pytest.fixture(scope="module")
def annotations(
    tiny_card: ModelCard, photo: Callable[..., np.ndarray], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """What the tiny network itself finds most in two photos, as ground truth in COCO's format."""
    detector = open_onnxruntime(tiny_card)
    names = ("astronaut.jpg", "coffee.jpg")
    found = [detector.detect(photo(Path(name).stem))[:8] for name in names]
    boxes = [
        {"image_id": number, "category_id": int(class_id), "bbox": [x1, y1, x2 - x1, y2 - y1], "iscrowd": 0}
        for number, item in enumerate(found)
        for (x1, y1, x2, y2), class_id in zip(item.boxes.tolist(), item.class_ids, strict=True)
    ]
    content = {
        "images": [{"id": number, "file_name": name} for number, name in enumerate(names)],
        "categories": [{"id": number, "name": label} for number, label in enumerate(tiny_card.labels) if label],
        "annotations": [{"id": number, **box} for number, box in enumerate(boxes, 1)],
    }
    path = tmp_path_factory.mktemp("annotations") / "instances.json"
    path.write_text(json.dumps(content))
    return path


def test_accuracy_is_that_of_evaluate(model, photos, annotations, tmp_path, capsys):
    flags = ("--images", photos, "--annotations", annotations)
    assert quantize(photos, *model, *flags, "--output", tmp_path) == 0
    said = capsys.readouterr().out
    runs = f"onnxruntime@{model[1]}", f"onnxruntime@{tmp_path / NAME}.yaml"
    assert evaluate([*map(str, flags), "--output", str(tmp_path / "evaluation"), *runs]) == 0
    before, after = json.loads((tmp_path / "evaluation" / "report.json").read_text())["runs"]
    assert 0 < before["map"] != after["map"]
    for title, key in (("mAP@[.5:.95]", "map"), ("mAP@.5      ", "map50")):
        loss = before[key] - after[key]
        assert f"{title} fp32 {before[key]:.4f}, int8 {after[key]:.4f}, loss {loss:.4f}" in said


def test_says_which_evaluated_images_are_images_of_the_calibration(model, photos, annotations, tmp_path, capsys):
    """Under any name; the input folder is that of the annotated images, unless another is given."""
    shutil.copytree(photos, tmp_path / "here")
    assert quantize(tmp_path / "here", *model, "--annotations", annotations, "--output", tmp_path) == 0
    assert "calibration images among the 2 evaluated ones: 2; " in capsys.readouterr().out
    (tmp_path / "calibration").mkdir()
    (tmp_path / "here" / "coffee.jpg").rename(tmp_path / "calibration" / "other.jpg")
    flags = ("--images", photos, "--annotations", annotations, "--force", "--output", tmp_path)
    assert quantize(tmp_path / "calibration", *model, *flags) == 0
    assert "calibration images among the 2 evaluated ones: 1; " in capsys.readouterr().out
    (tmp_path / "calibration" / "other.jpg").unlink()
    shutil.copy(tmp_path / "here" / "chelsea.jpg", tmp_path / "calibration")
    assert quantize(tmp_path / "calibration", *model, *flags) == 0
    assert "calibration images" not in capsys.readouterr().out


def test_annotations_are_checked_before_anything_is_quantized(model, photos, annotations, tmp_path, capsys):
    output = ("--output", tmp_path / "out")
    unknown = tmp_path / "unknown.json"
    unknown.write_text(annotations.read_text().replace('"a"', '"zebra"'))
    said = refusal(capsys, photos, *model, "--annotations", unknown, *output)
    assert "fp32 does not know 'zebra': rename a label with --map zebra=LABEL" in said
    photo = Path(photos) / "coffee.jpg"
    said = refusal(capsys, photo, *model, "--annotations", annotations, *output)
    assert "found inputs other than one folder, expected --images with the folder of annotated images" in said
    assert "add --annotations" in refusal(capsys, photos, *model, "--images", photos, *output)
    assert not (tmp_path / "out").exists()


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
