"""Runs of a network, or a part of it, with ONNX Runtime: on given tensors, or on a photo."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import cv2
import numpy as np
import onnx
from numpy.typing import NDArray

from trt_ssd_ros.engines.onnxruntime_engine import load_onnxruntime, open_session
from trt_ssd_ros.errors import one_line
from trt_ssd_ros.models.onnx_graph import OnnxGraph
from trt_ssd_ros.tools.import_model.families import HALF, TO_UNIT
from trt_ssd_ros.tools.import_model.heads import NotFoundError
from trt_ssd_ros.tools.import_model.image_tensor import (
    Arrays,
    Size,
    feed,
    image_input,
    is_image,
    size_and_layout,
)
from trt_ssd_ros.tools.import_model.network_file import dimensions


@dataclass(frozen=True)
class PhotoProbe:
    """Runner of parts of a network on a photo, roughly normalised while the real normalisation is unknown.

    Attributes:
        graph: Graph of the network.
        photo: Pixels (H, W, 3) uint8.
        size: Height and width in pixels that the user states; None if none.
        mean: Mean of each channel, subtracted from pixels of 0 to 255; by default pixels become -1 to 1.
        scale: Factor of each channel after the mean is subtracted.
    """

    graph: OnnxGraph
    photo: NDArray[np.uint8]
    size: Size | None = None
    mean: Sequence[float] = HALF
    scale: Sequence[float] = TO_UNIT
    _seen: dict[str, NDArray[Any]] = field(default_factory=dict, init=False, repr=False)

    def values(self, tensors: Collection[str]) -> Arrays:
        """Return the values of tensors by name, in the order of their names.

        Args:
            tensors: Names of the tensors, stored ones included.

        Raises:
            RuntimeError: ONNX Runtime cannot run the part of the network before the tensors.
        """
        missing = [name for name in dict.fromkeys(tensors) if name not in self._seen and name not in self.stored]
        if missing:
            self._seen.update(self._run(missing, self.photo))
        return {name: self._seen[name] if name in self._seen else self.stored[name] for name in tensors}

    def of_image(self, tensors: Collection[str]) -> list[str]:
        """Return the tensors that depend on no input but the image, such as one for its size."""
        images = [tensor.name for tensor in self.graph.inputs if is_image(tensor)]
        others = [tensor.name for tensor in self.graph.inputs if len(images) == 1 and tensor.name not in images]
        unknown = {name for index in self.graph.after(others) for name in self.graph.nodes[index].output}
        return [name for name in tensors if name not in unknown]

    def _run(self, tensors: Collection[str], photo: NDArray[np.uint8]) -> Arrays:
        image = image_input(self.graph, tensors)
        size, layout = size_and_layout(self.graph, image, self.size)
        pixels = cv2.resize(photo, size[::-1]).astype(np.float64)
        if image.type.tensor_type.elem_type != onnx.TensorProto.UINT8:
            pixels = (pixels - self.mean) * self.scale
        try:
            return measure(self.graph, feed(image, size, layout, pixels), tensors)
        except RuntimeError as error:
            raise self._explained(error, image, size) from error

    def _explained(self, error: RuntimeError, image: onnx.ValueInfoProto, size: Size) -> Exception:
        """Return the error with advice on the batch or size, if that explains why the network does not run."""
        dims = dimensions(image)
        if len(dims) == 4 and dims[0] not in (None, 1):
            return NotFoundError(
                f"the network runs only on batches of {dims[0]} images, expected one image: export it with a "
                "batch of 1, or better a dynamic one"
            )
        if None in dims[-3:] and self.size is None:
            return RuntimeError(f"{error} (tried with {size[1]}x{size[0]} pixels: give --size HEIGHTxWIDTH)")
        return error

    def fixed_values(self, tensors: Collection[str]) -> Arrays:
        """Return the values of tensors that are equal for every image.

        Raises:
            NotFoundError: The values depend on the image.
        """
        made = [name for name in tensors if name not in self.stored]
        values = self.values(tensors)
        others = self._run(made, np.invert(self.photo)) if made else {}
        changing = [name for name, other in others.items() if not np.array_equal(values[name], other)]
        if changing:
            raise NotFoundError(
                f"boxes and scores depend on pixels also through {', '.join(changing)}, expected one path, "
                "through the first convolution"
            )
        return values

    @cached_property
    def stored(self) -> Arrays:
        """Values of the tensors that are stored in the file, by name."""
        return stored_values(self.graph)


def stored_values(graph: OnnxGraph) -> Arrays:
    """Return the values of the tensors that are stored in a network's file, by name."""
    made = {node.output[0]: _constant(node) for node in graph.nodes if node.op_type == "Constant"}
    held = {item.name: onnx.numpy_helper.to_array(item) for item in graph.model.graph.initializer}
    return made | held


def _constant(node: onnx.NodeProto) -> NDArray[Any]:
    value = onnx.helper.get_attribute_value(node.attribute[0])
    if isinstance(value, onnx.TensorProto):
        return onnx.numpy_helper.to_array(value)
    return np.asarray(value, np.float32 if node.attribute[0].name.startswith("value_float") else None)


def measure(graph: OnnxGraph, feeds: Arrays, tensors: Collection[str]) -> Arrays:
    """Run a part of a network and return the values of tensors by name.

    Args:
        graph: Graph of the network.
        feeds: Values by name of the tensors to feed, inputs or inner ones.
        tensors: Names of the tensors to return.

    Raises:
        RuntimeError: ONNX Runtime cannot run the part of the network before the tensors.
        ValueError: The tensors depend on an input that is not fed, or on an operator that ONNX does not have.
    """
    wanted = list(dict.fromkeys(tensors))
    inputs = [onnx.helper.make_tensor_value_info(name, _kind(array), array.shape) for name, array in feeds.items()]
    part = graph.cut(inputs, [onnx.ValueInfoProto(name=name) for name in wanted])
    _check_operators(part)
    session = open_session(part)
    read = {item.name for item in session.get_inputs()}
    values = run(session, {name: array for name, array in feeds.items() if name in read}, wanted)
    return dict(zip(wanted, values, strict=True))


def _check_operators(part: onnx.ModelProto) -> None:
    own = {function.name for function in part.functions}
    nodes = [node for node in part.graph.node if node.domain in ("", "ai.onnx")]
    unknown = sorted({node.op_type for node in nodes if not onnx.defs.has(node.op_type)} - own)
    if unknown:
        raise ValueError(
            f"the boxes and scores need {', '.join(unknown)}, expected ONNX operators: convert the network up "
            "to the inputs of that operator, or with its results as constants"
        )


def run(session: Any, feeds: Arrays, tensors: Sequence[str] | None = None) -> list[NDArray[Any]]:
    """Run a session.

    Raises:
        RuntimeError: ONNX Runtime cannot run the network with these inputs.
    """
    quiet = load_onnxruntime().RunOptions()
    quiet.log_severity_level = 4  # the exception has the message as well
    try:
        values: list[NDArray[Any]] = session.run(tensors, dict(feeds), quiet)
    except Exception as error:  # ONNX Runtime's errors have no base class of their own
        raise RuntimeError(f"ONNX Runtime cannot run this network: {one_line(error)}") from error
    return values


def _kind(array: NDArray[Any]) -> int:
    return int(onnx.helper.np_dtype_to_tensor_dtype(np.dtype(array.dtype)))
