"""RemoteEngine: runs a card's graph on an inference server, by the KServe v2 protocol with binary tensors.

Protocol: https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md
Binary tensors:
https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md

The server runs the graph of `models/served_graph.py`; `build_engine --triton` writes it.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from itertools import count
from math import prod
from typing import Any
from urllib.parse import quote

import numpy as np
import onnx
from onnx import helper

from trt_ssd_ros.detection.engine import Tensors, TensorSpec, check_inputs
from trt_ssd_ros.engines.remote_server import (
    HEADER_LENGTH,
    MAX_HEADER,
    Answer,
    RemoteOptions,
    RemoteServer,
    ServerRefusedError,
)
from trt_ssd_ros.models.card import ModelCard
from trt_ssd_ros.models.graph import compose
from trt_ssd_ros.models.network import load_network
from trt_ssd_ros.models.served_graph import HASH_OUTPUT, compose_served, graph_digest

DATA_TYPES = {np.dtype(np.uint8): "UINT8", np.dtype(np.int32): "INT32", np.dtype(np.float32): "FP32"}
"""Names of data types in the protocol."""
NOT_JSON = (ValueError, TypeError, KeyError, RecursionError)
"""Errors of reading a text that is not the expected JSON."""


class RemoteEngine:
    """Graph of a card on a server. An answer counts only with the id of its request and the hash of the graph.

    Args:
        card: Model card; the server must run its graph.
        options: Server.

    Attributes:
        inputs: Inputs of the card's composed graph, for images of the network's size.

    Raises:
        ModelCardError: The card does not fit its network, or its network has an NMS of its own.
        OSError: The token or the certificates cannot be read.
        ValueError: The URL or the token has errors.
    """

    kind = "remote"
    precision = "unknown"

    def __init__(self, card: ModelCard, options: RemoteOptions) -> None:
        network = load_network(card)
        graph, served = compose(network, card), compose_served(network, card)
        model = options.model or card.name
        self._server = RemoteServer(options)
        self._path = f"/v2/models/{quote(model, safe='')}"
        self._timeout = options.timeout
        self.name = f"{model} at {self._server.url}"
        self._sent, self._answered = _specs(served.graph.input), _specs(served.graph.output)
        self.inputs: Mapping[str, TensorSpec] = _specs(graph.graph.input) | {"image": self._sent["image"]}
        self._digest = graph_digest(graph)
        self._classes = len(card.labels)
        self._salt, self._numbers = secrets.token_hex(4), count()

    def run(self, inputs: Tensors) -> Tensors:
        """Run the graph once; see `InferenceEngine.run`.

        Raises:
            EngineUnavailableError: The server did not send the answer to this request in time.
        """
        check_inputs(self.inputs, inputs)
        images = len(inputs["image"])
        tensors = {
            "image": _rgb(inputs["image"], inputs["channel_order"].tolist()),
            "class_thresholds": np.tile(inputs["class_threshold"], (images, 1)),
            "iou_thresholds": np.tile(inputs["iou_threshold"], (images, 1)),
        }
        return self._infer(tensors, self._timeout)

    def check(self, batch: int = 1, timeout: float | None = None) -> None:
        """Check that the server has the card's graph, and answers to a blank batch in time.

        Args:
            batch: Number of images of the batch.
            timeout: Deadline of each request in seconds; None: that of the options.

        Raises:
            ServerRefusedError: The server has another model, or refuses the token or the batch.
            EngineUnavailableError: The server did not answer in time.
        """
        timeout = self._timeout if timeout is None else timeout
        stated = self._server.request("GET", self._path, timeout).text
        try:
            metadata = json.loads(stated)
            found = {
                item["name"]: (item["datatype"], item["shape"])
                for item in (*metadata["inputs"], *metadata["outputs"])
            }
        except NOT_JSON as error:
            raise self._refusal(_shown(stated), "the metadata of a model") from error
        expected = {**self._sent, **self._answered}
        if found.keys() != expected.keys():
            raise self._refusal(f"the tensors {', '.join(map(str, found))}", ", ".join(expected))
        for name, spec in expected.items():
            if not _fits(spec, *found[name]):
                raise self._refusal(f"{name} {found[name]}", f"{DATA_TYPES[spec.dtype]} {list(spec.shape)}")
        self._infer(
            {name: np.zeros(_shape(spec, batch), spec.dtype) for name, spec in self._sent.items()}, timeout
        )

    def _infer(self, tensors: Tensors, timeout: float) -> Tensors:
        """Send a request, and return the outputs of the card's composed graph."""
        request, images = f"{self._salt}-{next(self._numbers)}", len(tensors["image"])
        header = {
            "id": request,
            "inputs": [_stated(name, array.shape, array.dtype) for name, array in tensors.items()],
            "outputs": [{"name": name, "parameters": {"binary_data": True}} for name in self._answered],
        }
        text = json.dumps(header).encode()
        body = b"".join([text, *(array.tobytes() for array in tensors.values())])
        expected = {name: _stated(name, _shape(spec, images), spec.dtype) for name, spec in self._answered.items()}
        most = MAX_HEADER + sum(item["parameters"]["binary_data_size"] for item in expected.values())
        headers = {HEADER_LENGTH: str(len(text)), "Content-Type": "application/octet-stream"}
        answer = self._server.request("POST", f"{self._path}/infer", timeout, body, headers, most)
        outputs = self._outputs(answer, request, expected)
        digests = outputs.pop(HASH_OUTPUT)
        if (digests != self._digest).any():
            raise self._refusal("another graph", "the graph of the model card")
        ids, numbers = outputs["class_ids"], (outputs["boxes"], outputs["scores"])
        if ids.min() < 0 or ids.max() >= self._classes or not all(np.isfinite(array).all() for array in numbers):
            raise self._refusal("class ids, boxes or scores out of range in an answer", "those of the model card")
        return outputs | {"settled": outputs["settled"][:, 0]}

    def _outputs(self, answer: Answer, request: str, expected: Mapping[str, Any]) -> dict[str, Any]:
        """Return the tensors of an answer by name.

        Raises:
            ServerRefusedError: It is not the answer to this request.
        """
        try:
            header = json.loads(answer.text)
            found = {
                item["name"]: {key: item[key] for key in ("name", "shape", "datatype")}
                | {"parameters": {"binary_data_size": item["parameters"]["binary_data_size"]}}
                for item in header["outputs"]
            }
            identity = header.get("id")
        except (*NOT_JSON, AttributeError) as error:
            raise self._refusal(_shown(answer.text), "an answer with tensors") from error
        sizes = {name: item["parameters"]["binary_data_size"] for name, item in expected.items()}
        if identity != request or found != expected or len(answer.binary) != sum(sizes.values()):
            raise self._refusal(f"the answer {_shown(answer.text)}", f"id {request}, {list(expected.values())}")
        tensors, start = {}, 0
        for name in found:
            shape, end = expected[name]["shape"], start + sizes[name]
            tensors[name] = np.frombuffer(answer.binary[start:end], self._answered[name].dtype).reshape(shape)
            start = end
        return tensors

    def _refusal(self, found: str, expected: str) -> ServerRefusedError:
        """Close the connection, which may hold answers to other requests, and return the error."""
        self._server.close()
        advice = "write the model with build_engine --triton, or correct remote_model"
        return ServerRefusedError(f"{self.name}: found {found}, expected {expected}: {advice}")

    def memory_used(self) -> None:
        """Return None: the GPU is the server's."""

    def close(self) -> None:
        """Close the connection."""
        self._server.close()


def _specs(tensors: Sequence[onnx.ValueInfoProto]) -> dict[str, TensorSpec]:
    """Return type and shape of a graph's inputs or outputs by name."""
    specs = {}
    for tensor in tensors:
        kind = tensor.type.tensor_type
        shape = tuple(size.dim_param or size.dim_value for size in kind.shape.dim)
        specs[tensor.name] = TensorSpec(helper.tensor_dtype_to_np_dtype(kind.elem_type), shape)
    return specs


def _shape(spec: TensorSpec, images: int) -> list[int]:
    """Return the shape of a tensor for a number of images."""
    return [images if isinstance(size, str) else size for size in spec.shape]


def _stated(name: str, shape: Sequence[int], dtype: np.dtype[Any]) -> dict[str, Any]:
    """Return the description of a tensor in a message."""
    size = prod(shape) * dtype.itemsize
    return {
        "name": name,
        "shape": list(shape),
        "datatype": DATA_TYPES[dtype],
        "parameters": {"binary_data_size": size},
    }


def _fits(spec: TensorSpec, datatype: object, shape: object) -> bool:
    """Return whether a tensor in a server's metadata is the expected one; there, -1 is any size."""
    return (
        datatype == DATA_TYPES[spec.dtype]
        and isinstance(shape, list)
        and len(shape) == len(spec.shape)
        and all(found in (-1, size) for found, size in zip(shape, spec.shape, strict=True))
    )


def _rgb(images: np.ndarray[Any, np.dtype[Any]], order: Sequence[int]) -> np.ndarray[Any, np.dtype[Any]]:
    """Return images (N, H, W, 3) as contiguous rgb ones."""
    return np.ascontiguousarray(images[..., ::-1] if order == [2, 1, 0] else images[..., order])


def _shown(text: bytes) -> str:
    """Return the start of a server's text for a message."""
    return repr(text[:200].decode("utf-8", "replace"))
