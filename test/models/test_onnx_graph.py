"""Parts cut out of networks compute what they did inside."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from trt_ssd_ros.engines.onnxruntime_engine import open_session
from trt_ssd_ros.models.onnx_graph import OnnxGraph

GRAPH = OnnxGraph(
    onnx.parser.parse_model(
        """<ir_version: 8, opset_import: ["": 17]>
        net (float[2] a, float[2] b) => (float[2] y, float[2] other) <float[2] c = {1, 2}> {
            ac = Add(a, c)
            bc = Mul(b, c)
            y = Sub(ac, bc)
            other = Relu(a)
        }"""
    )
)
A, B, Y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [2]) for name in ("a", "b", "y"))
AC = helper.make_tensor_value_info("ac", TensorProto.FLOAT, [2])


def run(model: onnx.ModelProto, **feeds: list[float]) -> list[list[float]]:
    onnx.checker.check_model(model, full_check=True)
    arrays = {name: np.array(values, np.float32) for name, values in feeds.items()}
    return [value.tolist() for value in open_session(model).run(None, arrays)]


def test_what_is_needed_is_kept_and_no_more():
    part = GRAPH.cut([A], [AC])
    assert [node.output[0] for node in part.graph.node] == ["ac"]
    assert run(part, a=[1, 1]) == [[2, 3]]


def test_an_inner_tensor_may_be_fed():
    part = GRAPH.cut([AC, B], [Y])
    assert [node.output[0] for node in part.graph.node] == ["bc", "y"]
    assert run(part, ac=[5, 5], b=[1, 1]) == [[4, 3]]


def test_a_tensor_may_be_frozen():
    frozen = numpy_helper.from_array(np.array([5, 5], np.float32), "ac")
    assert run(GRAPH.cut([B], [Y], frozen=[frozen]), b=[1, 1]) == [[4, 3]]


def test_nodes_may_follow():
    double = helper.make_node("Add", ["y", "y"], ["double"])
    result = helper.make_tensor_value_info("double", TensorProto.FLOAT, [2])
    assert run(GRAPH.cut([A, B], [result], [double]), a=[1, 1], b=[1, 1]) == [[2, 2]]


def test_a_missing_input_is_named():
    with pytest.raises(ValueError, match="y also depend on the input b"):
        GRAPH.cut([A], [Y])


def test_what_a_body_reads_around_it_is_kept():
    body = onnx.parser.parse_graph("then () => (float[2] r) { r = Add(ac, ac) }")
    other = onnx.parser.parse_graph("otherwise () => (float[2] s) { s = Identity(bc) }")
    network = onnx.ModelProto()
    network.CopyFrom(GRAPH.model)
    network.graph.initializer.append(numpy_helper.from_array(np.array(True), "yes"))
    network.graph.node.append(helper.make_node("If", ["yes"], ["if"], then_branch=body, else_branch=other))
    part = OnnxGraph(network).cut([A, B], [helper.make_tensor_value_info("if", TensorProto.FLOAT, [2])])
    assert [node.op_type for node in part.graph.node] == ["Add", "Mul", "If"]
    assert run(part, a=[1, 1], b=[1, 1]) == [[4, 6]]


def test_the_network_is_left_as_it_was():
    before = GRAPH.model.SerializeToString()
    GRAPH.cut([AC, B], [Y])
    assert GRAPH.model.SerializeToString() == before
