"""Run a network, or a part of it, with ONNX Runtime to see what its tensors really are."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from trt_ssd_ros.engines.onnxruntime_engine import load_onnxruntime, open_session
from trt_ssd_ros.errors import one_line
from trt_ssd_ros.models.onnx_graph import OnnxGraph

Arrays = Mapping[str, NDArray[Any]]


def measure(graph: OnnxGraph, feeds: Arrays, tensors: Collection[str]) -> Arrays:
    """Return the values of some tensors when the network is fed with `feeds`, which may be inner tensors.

    Raises:
        RuntimeError: ONNX Runtime cannot run the part of the network that makes them.
        ValueError: They depend on an input that is not fed, or on an operator that ONNX does not have.
    """
    wanted = list(dict.fromkeys(tensors))
    inputs = [onnx.helper.make_tensor_value_info(name, _kind(array), array.shape) for name, array in feeds.items()]
    part = graph.cut(inputs, [onnx.ValueInfoProto(name=name) for name in wanted])
    _check_operators(part)
    session = open_session(part)
    taken = {item.name for item in session.get_inputs()}
    values = run(session, {name: array for name, array in feeds.items() if name in taken}, wanted)
    return dict(zip(wanted, values, strict=True))


def _check_operators(part: onnx.ModelProto) -> None:
    own = {function.name for function in part.functions}
    nodes = [node for node in part.graph.node if node.domain in ("", "ai.onnx")]
    unknown = sorted({node.op_type for node in nodes if not onnx.defs.has(node.op_type)} - own)
    if unknown:
        raise ValueError(
            f"the boxes and scores need {', '.join(unknown)}, no operator of ONNX: convert the network up to what "
            "is before that, or with its results as constants"
        )


def run(session: Any, feeds: Arrays, tensors: Sequence[str] | None = None) -> list[NDArray[Any]]:
    """Run a session.

    Raises:
        RuntimeError: ONNX Runtime cannot run the network with these inputs.
    """
    quiet = load_onnxruntime().RunOptions()
    quiet.log_severity_level = 4  # what goes wrong is in the exception as well
    try:
        values: list[NDArray[Any]] = session.run(tensors, dict(feeds), quiet)
    except Exception as error:  # ONNX Runtime's errors have no base class of their own
        raise RuntimeError(f"ONNX Runtime cannot run this network: {one_line(error)}") from error
    return values


def _kind(array: NDArray[Any]) -> int:
    return int(onnx.helper.np_dtype_to_tensor_dtype(np.dtype(array.dtype)))
