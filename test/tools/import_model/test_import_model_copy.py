"""Place of the ONNX file of an imported card: beside the card, or in another folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from ssd_networks import TINY, Net, decoded_network, nchw

from trt_ssd_ros.models.card import ModelCard
from trt_ssd_ros.models.network import load_network
from trt_ssd_ros.tools.import_model.__main__ import main


@pytest.fixture
def original(tmp_path: Path) -> Path:
    """A network in a folder of its own."""
    path = tmp_path / "downloads" / "net.onnx"
    path.parent.mkdir()
    net = Net()
    path.write_bytes(decoded_network(net, nchw(net, TINY)).SerializeToString())
    return path


def flags(original: Path, labels: Callable[..., tuple[str, str]]) -> list[str]:
    return [
        str(original),
        "--output",
        str(original.parents[1] / "cards"),
        "--family",
        "other",
        *labels("a", "b", "c"),
    ]


def test_a_card_that_leaves_its_folder_is_named(original, labels, capsys):
    assert main(flags(original, labels)) == 0
    said = capsys.readouterr().out
    assert "the card refers to ../downloads/net.onnx, outside its folder:" in said
    assert "move card and ONNX file together, or import with --copy" in said
    assert ModelCard.load(original.parents[1] / "cards" / "net.yaml").onnx.path == original


def test_a_copy_stands_beside_its_card(original, labels, capsys):
    assert main([*flags(original, labels), "--copy"]) == 0
    assert "outside" not in capsys.readouterr().out
    folder = original.parents[1] / "cards"
    moved = folder.rename(folder.with_name("elsewhere"))
    card = ModelCard.load(moved / "net.yaml")
    assert card.onnx.path == moved / "net.onnx"
    assert card.onnx.path.read_bytes() == original.read_bytes()
    assert load_network(card).graph.node


def test_a_copy_writes_over_nothing(original, labels, capsys):
    folder = original.parents[1] / "cards"
    folder.mkdir()
    (folder / "net.onnx").write_bytes(b"precious")
    assert main([*flags(original, labels), "--copy"]) == 1
    assert "already exists: give --force" in capsys.readouterr().err
    assert (folder / "net.onnx").read_bytes() == b"precious"


def test_a_network_beside_its_card_needs_no_copy(original, labels, capsys):
    assert main([*flags(original, labels), "--copy", "--output", str(original.parent)]) == 0
    assert "outside" not in capsys.readouterr().out
    assert sorted(path.name for path in original.parent.iterdir()) == ["net.jpg", "net.onnx", "net.yaml"]
