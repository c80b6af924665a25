"""The shipped network as TensorFlow's Object Detection API of 2017 would have built it."""

from __future__ import annotations

from collections.abc import Sequence

import onnx
from onnx import numpy_helper

from trt_ssd_ros.models.onnx_graph import OnnxGraph
from trt_ssd_ros.tools.import_model.heads import moved

SECOND = (0, 5, 1, 2, 3, 4)
"""Today's places of the six prior boxes of a cell in their order of 2017: the interpolated square comes second."""


def with_shapes_in_order(network: onnx.ModelProto, order: Sequence[int]) -> onnx.ModelProto:
    """Return a copy of an SSD whose head convolutions give the boxes of each cell in another order.

    Args:
        network: Network whose two outputs are raw heads, [N, A, 4] and [N, A, columns].
        order: Present place of each box of a cell; cells with fewer boxes stay.
    """
    model = onnx.ModelProto()
    model.CopyFrom(network)
    graph = OnnxGraph(model)
    stored = {item.name: item for item in model.graph.initializer}
    changed = set()
    for output in model.graph.output:
        numbers = output.type.tensor_type.shape.dim[2].dim_value
        for tensor in moved(graph, output.name):
            node = graph.producer(tensor)
            if (
                node is not None
                and node.op_type == "Conv"
                and stored[node.input[2]].dims == [len(order) * numbers]
            ):
                changed.update(node.input[1:])
    for name in changed:
        values = numpy_helper.to_array(stored[name])
        shapes = values.reshape(len(order), -1, *values.shape[1:])[list(order)]
        stored[name].CopyFrom(numpy_helper.from_array(shapes.reshape(values.shape), name))
    assert len(changed) == 2 * 2 * 5, "weights and biases of the boxes and scores of five feature maps"
    return model
