from __future__ import annotations

import onnx
import pytest
from onnx import TensorProto

from trt_ssd_ros.engines.plan_builder import BuildOptions, is_half


@pytest.mark.parametrize(
    ("options", "shapes"),
    [
        ({}, [(1, 1, 1, 3), (1, 720, 1280, 3), (1, 4096, 4096, 3)]),
        ({"batch": 4, "typical_image": (480, 640)}, [(1, 1, 1, 3), (4, 480, 640, 3), (4, 4096, 4096, 3)]),
        ({"max_image_side": 800}, [(1, 1, 1, 3), (1, 720, 800, 3), (1, 800, 800, 3)]),
        ({"max_image_side": 1}, [(1, 1, 1, 3), (1, 1, 1, 3), (1, 1, 1, 3)]),
    ],
)
def test_the_typical_image_is_never_larger_than_the_largest(options, shapes):
    assert BuildOptions(**options).image_shapes() == shapes


def test_a_graph_with_a_float16_weight_is_in_half_precision():
    graph = onnx.parser.parse_model(
        """<ir_version: 8, opset_import: ["": 17]>
        example (float[1] x) => (float[1] y) <float[1] weight = {1.0}> { y = Add(x, weight) }"""
    )
    assert not is_half(graph)
    graph.graph.initializer.add(data_type=TensorProto.FLOAT16)
    assert is_half(graph)
