"""build_engine --triton: the form of a Triton model repository. test_triton.py runs its graph under Triton."""

from __future__ import annotations

import re
from dataclasses import replace

import onnx
import pytest

from trt_ssd_ros.models.card import ModelCard
from trt_ssd_ros.models.network import load_network
from trt_ssd_ros.models.served_graph import compose_served
from trt_ssd_ros.tools.build_engine import main
from trt_ssd_ros.tools.triton_model import triton_config, write_triton_model


def test_the_repository_has_the_graph_and_its_configuration(tmp_path, capsys, card, network):
    assert main(["--triton", str(tmp_path / "models"), "--batch", "6"]) == 0
    folder = tmp_path / "models" / card.name
    files = [folder / "1" / "model.onnx", folder / "config.pbtxt"]
    assert capsys.readouterr().out.split() == list(map(str, files))
    assert onnx.load(files[0]) == compose_served(network, card)
    text = files[1].read_text()
    assert f'name: "{card.name}"\nbackend: "onnxruntime"\nmax_batch_size: 6\n' in text
    assert 'input { name: "image" data_type: TYPE_UINT8 dims: [300, 300, 3] }' in text
    assert 'output { name: "settled" data_type: TYPE_INT32 dims: [1] }' in text
    assert "dynamic_batching {" in text
    assert re.findall(r"model_warmup .* batch_size: (\d+)", text) == ["1", "2", "4", "6"]
    [line] = [line for line in text.splitlines() if line.startswith("parameters")]
    assert 'key: "graph_sha256"' in line


def test_a_network_for_single_images_has_no_batches(single_card_path):
    card = ModelCard.load(single_card_path)
    text = triton_config(compose_served(load_network(card), card), 8)
    assert "max_batch_size: 0\n" in text
    assert 'input { name: "image" data_type: TYPE_UINT8 dims: [1, 300, 300, 3] }' in text
    assert "dynamic_batching" not in text
    assert text.count("model_warmup") == 1


@pytest.mark.parametrize("arguments", [["--batch", "0"], ["--batch", "-1"]])
def test_a_batch_without_images_is_refused(tmp_path, capsys, arguments):
    assert main(["--triton", str(tmp_path), *arguments]) == 1
    assert "batch: found" in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_is_named(tmp_path, capsys):
    (tmp_path / "file").touch()
    assert main(["--triton", str(tmp_path / "file")]) == 1
    assert str(tmp_path / "file") in capsys.readouterr().err


@pytest.mark.parametrize("name", ["../above", "a/b", ".", 'a"b', "two\nlines"])
def test_a_name_that_no_folder_of_the_repository_can_have_is_refused(tmp_path, card, name):
    with pytest.raises(ValueError, match=r"name: found .* expected a name of a folder"):
        write_triton_model(tmp_path / "models", replace(card, name=name), 1)
    assert list(tmp_path.iterdir()) == []
