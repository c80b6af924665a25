"""Networks of opsets beyond 17, as torch.onnx writes them today, mean the same in opset 17 or are refused."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from trt_ssd_ros.engines.onnxruntime_engine import open_session
from trt_ssd_ros.models.network import in_older_opset, opset

INPUT = np.random.default_rng(0).standard_normal((1, 4, 6, 6)).astype(np.float32)


def network(version: int, body: str, constants: str = "") -> onnx.ModelProto:
    return onnx.parser.parse_model(
        f"""<ir_version: 8, opset_import: ["": {version}]>
        net (float[1, 4, 6, 6] x) => (float[a, b, c, d] y) <{constants}> {{ {body} }}"""
    )


def run(model: onnx.ModelProto) -> np.ndarray:
    return open_session(model).run(None, {"x": INPUT})[0]


@pytest.mark.parametrize("version", [18, 19, 20, 21])
@pytest.mark.parametrize(
    ("body", "constants"),
    [
        ("y = ReduceMean<keepdims = 1>(x, axes)", "int64[2] axes = {2, 3}"),
        ("axes = Constant<value = int64[1] {-1}>() y = ReduceMax<keepdims = 1>(x, axes)", ""),
        ("y = ReduceMean(x)", ""),
        ("y, z = Split<axis = 1, num_outputs = 2>(x)", ""),
        ("h = HardSwish(x) y = Relu(h)", ""),
        ('y = Resize<mode = "linear", antialias = 0>(x, , scales)', "float[4] scales = {1, 1, 2, 2}"),
        ("h = Cast<to = 10>(x) y = Cast<to = 1>(h)", ""),
        ("y = Pad(x, pads)", "int64[8] pads = {0, 0, 1, 1, 0, 0, 0, 2}"),
        ("y = AveragePool<kernel_shape = [2, 2]>(x)", ""),
    ],
)
def test_the_same_comes_out(version, body, constants):
    newer = network(version, body, constants)
    older = in_older_opset(newer, 17)
    assert (opset(newer), opset(older)) == (version, 17)
    onnx.checker.check_model(older, full_check=True)
    np.testing.assert_allclose(run(older), run(newer), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("body", "constants", "reason"),
    [
        ("y = Gelu(x)", "", "operator Gelu is newer"),
        (
            'y = Resize<mode = "linear", antialias = 1>(x, , s)',
            "float[4] s = {1, 1, 2, 2}",
            "Resize has the newer attribute antialias",
        ),
        ("y = Pad(x, pads, , axes)", "int64[2] pads = {1, 1}, int64[1] axes = {3}", "Pad has 4 inputs"),
        (
            "s = Shape(x) n = Size(s) o = Sub(n, n) a = Reshape(o, m) y = ReduceMean(x, a)",
            "int64[1] m = {1}",
            "axes",
        ),
        ("y = ReduceMean<noop_with_empty_axes = 1>(x)", "", "noop_with_empty_axes"),
        ("y = AveragePool<kernel_shape = [2, 2], dilations = [2, 2]>(x)", "", "dilations"),
    ],
)
def test_what_only_a_newer_opset_can_say_is_named(body, constants, reason):
    with pytest.raises(RuntimeError, match=reason):
        in_older_opset(network(20, body, constants), 17)


def test_the_network_itself_is_left_as_it_was():
    newer = network(18, "y = ReduceMean(x, axes)", "int64[1] axes = {1}")
    before = newer.SerializeToString()
    in_older_opset(newer, 17)
    assert newer.SerializeToString() == before
