"""Batch of a network: dynamic, if several images at once give what each gives alone."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
from onnx import helper, numpy_helper

from trt_ssd_ros.engines.onnxruntime_engine import open_session
from trt_ssd_ros.models.onnx_graph import OnnxGraph
from trt_ssd_ros.tools.import_model.probe import run, stored_values

Batch = int | str
"""Number of images of a run: 1, or "N" if it is dynamic."""
TOLERANCE = 1e-2
"""Largest difference, absolute and relative, between the results of an image in a batch and alone."""


def with_best_batch(
    with_batch: Callable[[Batch], onnx.ModelProto], shape: tuple[int, ...]
) -> tuple[onnx.ModelProto, Batch]:
    """Return a network and its batch: dynamic, or 1 if images affect each other.

    Args:
        with_batch: Function from a batch to the network whose input and outputs declare it.
        shape: Shape of the input for one image.
    """
    single = with_batch(1)
    for change in (lambda model: model, with_free_reshapes):
        model = change(with_batch("N"))
        if model is not None and takes_batches(model, single, shape):
            return model, "N"
    return single, 1


def with_free_reshapes(model: onnx.ModelProto) -> onnx.ModelProto | None:
    """Let Reshapes to a constant shape [1, ...] keep the first dimension of their data.

    Args:
        model: Network, which changes.

    Returns:
        The network; None if no Reshape behind the image has such a shape.
    """
    graph = OnnxGraph(model)
    stored = stored_values(graph)
    changed: dict[str, onnx.TensorProto] = {}
    for index in sorted(graph.after(item.name for item in graph.inputs)):
        node = graph.nodes[index]
        if node.op_type != "Reshape" or any(item.name == "allowzero" and item.i for item in node.attribute):
            continue
        shape = stored.get(node.input[1])
        if shape is not None and shape.ndim == 1 and len(shape) > 1 and shape[0] == 1:
            name = f"{node.input[1]}/any_batch"
            changed[name] = numpy_helper.from_array(np.array([0, *shape[1:]], np.int64), name)
            node.input[1] = name
    model.graph.initializer.extend(changed.values())
    return model if changed else None


def takes_batches(model: onnx.ModelProto, single: onnx.ModelProto, shape: tuple[int, ...]) -> bool:
    """Return whether a batch of two images, noise and a ramp, gives what the network of one image gives for each.

    Args:
        model: Network with a dynamic batch.
        single: Network with a batch of 1.
        shape: Shape of the input for one image.
    """
    image = single.graph.input[0]
    dtype = helper.tensor_dtype_to_np_dtype(image.type.tensor_type.elem_type)
    noise = np.random.default_rng(0).uniform(-1, 1, shape[1:])
    images = np.stack([noise, np.sort(noise, axis=None).reshape(noise.shape)]).astype(dtype)
    alone = open_session(single)
    try:
        both = run(open_session(model), {image.name: images})
        each = [run(alone, {image.name: one[None]}) for one in images]
    except RuntimeError:
        return False
    joined = [np.concatenate(parts) for parts in zip(*each, strict=True)]
    return all(
        a.shape == b.shape and np.allclose(a, b, rtol=TOLERANCE, atol=TOLERANCE)
        for a, b in zip(both, joined, strict=True)
    )
