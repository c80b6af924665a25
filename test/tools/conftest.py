"""What the tests of several tools share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from import_runs import Imported
from ssd_networks import TINY, Net, decoded_network, nchw

from trt_ssd_ros.models.card import ModelCard
from trt_ssd_ros.tools.import_model.__main__ import main


@pytest.fixture(scope="session")
def tiny_card(tmp_path_factory: pytest.TempPathFactory) -> ModelCard:
    """The card of a network with six convolutions, four of them heads, that decodes its boxes."""
    path = tmp_path_factory.mktemp("tiny") / "tiny.onnx"
    net = Net()
    path.write_bytes(decoded_network(net, nchw(net, TINY)).SerializeToString())
    (path.parent / "labels.txt").write_text("a\nb\nc")
    assert main([str(path), "--labels", str(path.parent / "labels.txt"), "--family", "other"]) == 0
    return ModelCard.load(path.with_suffix(".yaml"))


@pytest.fixture
def run_import(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Imported]:
    """Import a network with some flags and return what came of it."""

    def run(model: onnx.ModelProto, *flags: str, name: str = "net") -> Imported:
        path = tmp_path / f"{name}.onnx"
        path.write_bytes(model.SerializeToString())
        code = main([str(path), *flags])
        said = capsys.readouterr()
        assert code == 0, said.err
        return Imported(ModelCard.load(tmp_path / f"{name}.yaml"), said.out, tmp_path)

    return run


@pytest.fixture
def refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Import a network that cannot be imported and return what was said."""

    def run(model: onnx.ModelProto | bytes, *flags: str, name: str = "net.onnx") -> str:
        path = tmp_path / name
        path.write_bytes(model if isinstance(model, bytes) else model.SerializeToString())
        assert main([str(path), *flags]) == 1
        assert [file.name for file in tmp_path.iterdir() if file.suffix != ".txt"] == [name], "half-written files"
        error = capsys.readouterr().err
        assert error.startswith("import_model: ")
        assert "Traceback" not in error
        return error

    return run


@pytest.fixture
def labels(tmp_path: Path) -> Callable[..., tuple[str, str]]:
    """Write names into a file and return the flag."""

    def write(*names: str) -> tuple[str, str]:
        path = tmp_path / "labels.txt"
        path.write_text("\n".join(names), encoding="utf-8")
        return "--labels", str(path)

    return write
