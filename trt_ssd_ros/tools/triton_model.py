"""Triton model repository: the served graph of a card and its configuration, for `build_engine --triton`.

Configuration: https://github.com/triton-inference-server/common/blob/main/protobuf/model_config.proto
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import onnx
from onnx import TensorProto

from trt_ssd_ros.files import write_atomically
from trt_ssd_ros.models.card import ModelCard
from trt_ssd_ros.models.network import load_network
from trt_ssd_ros.models.served_graph import compose_served

TYPES: Mapping[int, str] = {TensorProto.FLOAT: "FP32", TensorProto.INT32: "INT32", TensorProto.UINT8: "UINT8"}
NAME = re.compile(r'[^./"\\][^/"\\]*')
"""Names that a folder of the repository and the text of config.pbtxt can hold."""
QUEUE_DELAY = 500
"""Longest wait in microseconds for the requests of other robots, to run them in one batch."""


def write_triton_model(folder: Path, card: ModelCard, batch: int) -> list[Path]:
    """Write a card's model into a Triton model repository, and return the written files.

    Triton loads a model when its configuration is there; so the graph is written first.

    Args:
        folder: Model repository; it may hold other models.
        card: Model card.
        batch: Largest batch in images.

    Raises:
        ModelCardError: The card does not fit its network, or the network cannot be served.
        OSError: A file cannot be written.
        ValueError: The batch has no image, or the card's name cannot name a folder.
    """
    if batch < 1:
        raise ValueError(f"batch: found {batch}, expected 1 or more")
    if not (NAME.fullmatch(card.name) and card.name.isprintable()):
        expected = "a name of a folder, without quotes"
        raise ValueError(f"name: found {card.name!r} in the model card, expected {expected}: rename the model")
    graph = compose_served(load_network(card), card)
    files = {
        folder / card.name / "1" / "model.onnx": graph.SerializeToString(deterministic=True),
        folder / card.name / "config.pbtxt": triton_config(graph, batch).encode(),
    }
    for path, data in files.items():
        write_atomically(path, data)
    return list(files)


def triton_config(graph: onnx.ModelProto, batch: int) -> str:
    """Return the text of config.pbtxt for a served graph.

    Args:
        graph: Served graph; its name becomes the model's.
        batch: Largest batch in images; a graph for one image at a time has no batches.
    """
    first = graph.graph.input[0].type.tensor_type.shape.dim[0]
    batched = bool(first.dim_param)
    lines = [f'name: "{graph.graph.name}"', 'backend: "onnxruntime"', f"max_batch_size: {batch if batched else 0}"]
    for kind, tensors in (("input", graph.graph.input), ("output", graph.graph.output)):
        lines += [f'{kind} {{ name: "{tensor.name}" {_type(tensor, batched)} }}' for tensor in tensors]
    if batched:
        lines.append(f"dynamic_batching {{ max_queue_delay_microseconds: {QUEUE_DELAY} }}")
    for size in _warm_sizes(batch) if batched else [1]:
        lines += _warm_up(graph.graph.input, size, batched)
    for item in graph.metadata_props:
        lines.append(f'parameters {{ key: "{item.key}" value {{ string_value: "{item.value}" }} }}')
    return "\n".join(lines) + "\n"


def _warm_sizes(batch: int) -> list[int]:
    """Return the batch sizes that Triton runs once before it serves: the powers of two, and the largest."""
    return sorted({batch, *(1 << power for power in range(batch.bit_length()))})


def _warm_up(inputs: Sequence[onnx.ValueInfoProto], size: int, batched: bool) -> Iterator[str]:
    yield f'model_warmup {{ name: "batch of {size}" batch_size: {size}'
    for tensor in inputs:
        yield f'  inputs {{ key: "{tensor.name}" value {{ {_type(tensor, batched)} zero_data: true }} }}'
    yield "}"


def _type(tensor: onnx.ValueInfoProto, batched: bool) -> str:
    """Return data type and dimensions of a tensor; with batches, without that of the batch."""
    kind = tensor.type.tensor_type
    sizes = [size.dim_value for size in kind.shape.dim][1 if batched else 0 :]
    return f"data_type: TYPE_{TYPES[kind.elem_type]} dims: [{', '.join(map(str, sizes))}]"
