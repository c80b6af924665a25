"""import_model as a command: its files, its questions and its refusals."""

from __future__ import annotations

import subprocess
import sys
from typing import get_args

import cv2
import onnx
import pytest
from import_runs import LAST
from ssd_networks import (
    TF_300,
    TINY,
    Anatomy,
    Net,
    decoded_network,
    nchw,
    raw_network,
)

from trt_ssd_ros.models.card import Family, ModelCard
from trt_ssd_ros.models.network import load_network
from trt_ssd_ros.tools.import_model.__main__ import main
from trt_ssd_ros.tools.import_model.families import FAMILIES
from trt_ssd_ros.tools.import_model.labels import read_labels


def test_files_stand_beside_the_network_and_the_card_names_it(run_import):
    imported = run_import(raw_network(TF_300), *LAST)
    assert sorted(path.name for path in imported.folder.iterdir()) == ["net.jpg", "net.onnx", "net.yaml"]
    assert "path: net.onnx" in (imported.folder / "net.yaml").read_text()
    assert imported.card.onnx.path == imported.folder / "net.onnx"
    assert cv2.imread(str(imported.folder / "net.jpg")) is not None
    for line in ("1917, 80 classes", "labels are coco_90", "detected ", "net.yaml"):
        assert line in imported.said


def test_weights_in_another_file_are_taken_into_one(tmp_path, capsys):
    """As torch.onnx writes them; a card's network is one file."""
    path = tmp_path / "net.onnx"
    onnx.save(raw_network(TF_300), path, save_as_external_data=True, location="net.onnx.data", size_threshold=0)
    assert main([str(path), *LAST]) == 0, capsys.readouterr().err
    card = ModelCard.load(tmp_path / "net.yaml")
    assert card.onnx.path.name == "net.ssd.onnx"
    assert len(load_network(card).graph.node) > 10


def test_labels_are_asked_for(refused):
    assert "give --labels" in refused(raw_network(Anatomy(300, TF_300.maps, TF_300.boxes, 5)))


def test_too_few_labels_are_named(refused, labels):
    error = refused(raw_network(TF_300), *labels("a", "b"))
    assert "labels: found 2 in" in error
    assert "expected 90 for 91 score columns" in error


def test_what_is_no_detector_is_listed(refused):
    net = Net()
    image = net.input("image", [1, 3, 8, 8])
    net.channels[image] = 3
    net.reshaped(net.convolved(image, 2, size=8), 1, 2, name="logits")
    net.output("logits", [1, 2])
    error = refused(net.model())
    for part in ("--boxes and --scores", "image: FLOAT [1, 3, 8, 8]", "logits: FLOAT [1, 2]", "ends in "):
        assert part in error


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("net.onnx", b"", "an empty file"),
        ("net.onnx", b"\x08\x08", "without a graph"),
        ("net.onnx", b"\x08\x08\x3a", "an incomplete file"),
        ("net.onnx", b"\x1f\x8b", "unpack it"),
        ("net.onnx", b"ftrt\0\0\0\0", "the ONNX file that it was built from"),
        ("net.onnx", b"\x1c\0\0\0TFL3", "tf2onnx"),
        ("net.onnx", b"version https://git-lfs.github.com/spec/v1", "git lfs pull"),
        ("NET.TFLITE", b"", "tf2onnx"),
        ("net.h5", b"", "model.export"),
        ("net.onnx", b"<html>", "expected ONNX"),
        ("net.etlt", b"", "encrypted TAO model"),
        ("net.tflite", b"", "tf2onnx"),
        ("net.pt", b"", "torch.onnx.export"),
        ("net.plan", b"", "the ONNX file that it was built from"),
    ],
)
def test_other_files_are_named_with_what_to_do(refused, name, content, expected):
    assert expected in refused(content, name=name)


def test_a_missing_file_is_named(capsys, tmp_path):
    assert main([str(tmp_path / "none.onnx")]) == 1
    assert "none.onnx" in capsys.readouterr().err
    (tmp_path / "none.yaml").write_text("of an earlier import")
    assert main([str(tmp_path / "none.onnx")]) == 1
    assert "none.onnx" in capsys.readouterr().err


def test_files_of_an_earlier_import_stay_unless_forced(run_import, capsys):
    imported = run_import(raw_network(TF_300), *LAST)
    before = (imported.folder / "net.yaml").read_bytes()
    again = [str(imported.folder / "net.onnx"), "--score-threshold", "0.9", *LAST]
    assert main(again) == 1
    assert "give --force to overwrite" in capsys.readouterr().err
    assert (imported.folder / "net.yaml").read_bytes() == before
    assert main([*again, "--force"]) == 0
    assert ModelCard.load(imported.folder / "net.yaml").defaults.score_threshold == 0.9


@pytest.mark.parametrize(
    "flags",
    [
        ["--size", "300"],
        ["--size", "0x300"],
        ["--size", "9000x9000"],
        ["--mean", "1,2"],
        ["--family", "yolo"],
        ["--background", "0"],
        ["--resize", "bilinear"],
        ["--interpolated", "first"],
        [],
    ],
)
def test_wrong_arguments_are_refused(flags):
    with pytest.raises(SystemExit, match="2"):
        main([*flags, *(["model.onnx"] if flags else [])])


def test_a_card_may_name_every_family():
    assert set(FAMILIES) == set(get_args(Family))


def test_help_teaches(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    said = capsys.readouterr().out
    for part in ("import_model model.onnx", "--labels", "--score-conversion", "torchvision"):
        assert part in said


def test_a_reader_that_has_had_enough_does_not_end_the_import(tmp_path):
    path = tmp_path / "net.onnx"
    path.write_bytes(raw_network(TF_300).SerializeToString())
    process = subprocess.Popen(
        [sys.executable, "-m", "trt_ssd_ros.tools.import_model", str(path), *LAST],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait() == 0
    assert ModelCard.load(tmp_path / "net.yaml").name == "net"


def test_names_in_label_maps_may_have_apostrophes(tmp_path):
    path = tmp_path / "map.pbtxt"
    path.write_text("""item { name: "bull's eye" id: 1 } item { name: '/m/01' id: 2 display_name: 'dog' }""")
    assert read_labels(str(path)) == ["bull's eye", "dog"]


def test_the_mark_in_front_of_windows_text_files_is_no_letter(tmp_path):
    path = tmp_path / "labels.txt"
    path.write_bytes("\ufeffbackground\r\ndog\r\n".encode())
    assert read_labels(str(path)) == ["background", "dog"]


def test_another_network_of_that_name_is_not_written_over(tmp_path, capsys, labels):
    net = Net()
    (tmp_path / "net.onnx").write_bytes(decoded_network(net, net("Abs", nchw(net, TINY))).SerializeToString())
    other = tmp_path / "models" / "net.onnx"
    other.parent.mkdir()
    other.write_bytes(b"precious")
    flags = ["--output", str(other.parent), "--family", "other", *labels("a", "b", "c")]
    assert main([str(tmp_path / "net.onnx"), *flags]) == 1
    assert f"{other} already exists: give --force" in capsys.readouterr().err
    assert ([file.name for file in other.parent.iterdir()], other.read_bytes()) == (["net.onnx"], b"precious")


def test_a_name_is_no_path(refused):
    error = refused(raw_network(TF_300), "--name", "../net")
    assert "--name: found '../net', expected a file name without a folder" in error


@pytest.mark.parametrize("name", ["net.json", "net.textproto", "net.onnxtxt"])
def test_a_suffix_does_not_choose_the_parser(refused, name):
    assert "expected ONNX, found another format or an incomplete file" in refused(b"no protobuf", name=name)
