"""What the graph is made of: operators, shapes and types that every TensorRT takes."""

from __future__ import annotations

from dataclasses import replace

import onnx
import pytest
from graph_nodes import OUR_OPERATORS, own_nodes
from onnx import TensorProto, numpy_helper
from table_network import table_card, table_network

from trt_ssd_ros.models.graph import compose, compose_input

# Operators of opset 17 that TensorRT 8.5 to 11 run (onnx-tensorrt's operators.md).
NETWORK_OPERATORS = {"Add", "Clip", "Concat", "Conv", "Reshape", "Transpose"}


def composed(name: str, shipped: onnx.ModelProto) -> onnx.ModelProto:
    """Return the shipped graph, or one that uses what the shipped one does not."""
    if name == "shipped":
        return shipped
    card = table_card(box_order="xywh", score_conversion="softmax", background="last")
    card = replace(card, input=replace(card.input, layout="NCHW", channel_order="bgr"))
    return compose(table_network(layout="NCHW"), card)


@pytest.fixture(params=["shipped", "other"])
def any_graph(request: pytest.FixtureRequest, shipped_graph: onnx.ModelProto) -> onnx.ModelProto:
    """Two composed graphs that together use everything compose can write."""
    return composed(request.param, shipped_graph)


def shapes(tensors: list[onnx.ValueInfoProto]) -> dict[str, list[int | str]]:
    return {
        tensor.name: [d.dim_param or d.dim_value for d in tensor.type.tensor_type.shape.dim] for tensor in tensors
    }


def types(tensors: list[onnx.ValueInfoProto]) -> dict[str, int]:
    return {tensor.name: tensor.type.tensor_type.elem_type for tensor in tensors}


def test_opset_and_file_format_are_those_of_the_oldest_tensorrt(any_graph):
    assert [(item.domain, item.version) for item in any_graph.opset_import] == [("", 17)]
    assert any_graph.ir_version == 8
    onnx.checker.check_model(any_graph, full_check=True)


def test_only_operators_that_tensorrt_runs(any_graph):
    assert {node.op_type for node in own_nodes(any_graph)} <= OUR_OPERATORS
    assert {node.domain for node in any_graph.graph.node} == {""}


def test_the_shipped_network_has_only_operators_that_tensorrt_runs(shipped_graph):
    operators = {node.op_type for node in shipped_graph.graph.node}
    assert not operators & {"NonMaxSuppression", "Mod", "Loop", "If", "Scan", "NonZero", "ScatterND"}
    assert operators <= OUR_OPERATORS | NETWORK_OPERATORS


def test_the_two_operator_tests_see_every_operator(shipped_graph):
    """Guards the list: whatever it allows is used by one of the two graphs."""
    used = {node.op_type for name in ("shipped", "other") for node in own_nodes(composed(name, shipped_graph))}
    assert used == OUR_OPERATORS


def test_reductions_have_their_axes_as_an_attribute(any_graph):
    """Opset 18 made them an input, which TensorRT 8 does not read."""
    reductions = [node for node in any_graph.graph.node if node.op_type.startswith("Reduce")]
    assert reductions
    for node in reductions:
        assert len(node.input) == 1
        assert "axes" in [attribute.name for attribute in node.attribute]


def test_splits_have_no_num_outputs(any_graph):
    for node in any_graph.graph.node:
        if node.op_type == "Split":
            assert len(node.input) == 2
            assert "num_outputs" not in [attribute.name for attribute in node.attribute]


def test_top_k_is_within_tensorrt_s_limit():
    model = compose(table_network(), table_card(), candidates=3840)
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    ks = [constants[node.input[1]] for node in model.graph.node if node.op_type == "TopK"]
    assert len(ks) == 2
    assert max(ks) <= 3840


def test_camera_bytes_are_cast_first(any_graph):
    """TensorRT 8.6 and RTX take uint8 into nothing else; a shape is no computation."""
    takers = [node.op_type for node in any_graph.graph.node if "image" in node.input]
    assert sorted(takers) == ["Cast", "Shape"]


def test_inputs_are_as_documented(shipped_graph):
    assert shapes(shipped_graph.graph.input) == {
        "image": ["N", "H", "W", 3],
        "channel_order": [3],
        "class_threshold": [90],
        "iou_threshold": [1],
    }
    assert types(shipped_graph.graph.input) == {
        "image": TensorProto.UINT8,
        "channel_order": TensorProto.INT32,
        "class_threshold": TensorProto.FLOAT,
        "iou_threshold": TensorProto.FLOAT,
    }


def test_outputs_are_as_documented_static_but_for_n_and_none_is_int64(shipped_graph):
    assert shapes(shipped_graph.graph.output) == {
        "boxes": ["N", 400, 4],
        "scores": ["N", 400],
        "class_ids": ["N", 400],
        "keep": ["N", 400],
        "settled": ["N"],
    }
    assert types(shipped_graph.graph.output) == {
        "boxes": TensorProto.FLOAT,
        "scores": TensorProto.FLOAT,
        "class_ids": TensorProto.INT32,
        "keep": TensorProto.INT32,
        "settled": TensorProto.INT32,
    }


def test_the_same_card_gives_the_same_bytes(network, card, shipped_graph):
    """Plans are cached under the graph's hash."""
    assert compose(network, card).SerializeToString() == shipped_graph.SerializeToString()


def test_composing_leaves_the_network_as_it_is():
    network = table_network()
    before = network.SerializeToString()
    compose(network, table_card())
    assert network.SerializeToString() == before


def test_the_beginning_alone_is_the_beginning_of_the_whole(network, card, shipped_graph):
    """Up to the tensor that the network gets, node by node."""
    beginning = compose_input(network, card).graph
    (output,) = beginning.output
    assert (output.name, shapes([output])) == ("network_input", {"network_input": ["N", 300, 300, 3]})
    assert list(beginning.node)[:-1] == list(shipped_graph.graph.node)[: len(beginning.node) - 1]
    assert list(beginning.input) == list(shipped_graph.graph.input)[:2]
