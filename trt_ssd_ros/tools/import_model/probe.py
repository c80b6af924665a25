"""Run a network, or a part of it, with ONNX Runtime: on tensors of any kind, or on a photo."""

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
    """Runs parts of a network on a photo that is only roughly normalised, as nothing is known of it yet.

    Attributes:
        graph: The network.
        photo: (H, W, 3) uint8.
        size: Height and width that the user stated, of an input that states none.
        mean: Subtracted from its pixels; -1 to 1 is what most networks take.
        scale: What the difference is multiplied with.
    """

    graph: OnnxGraph
    photo: NDArray[np.uint8]
    size: Size | None = None
    mean: Sequence[float] = HALF
    scale: Sequence[float] = TO_UNIT
    _seen: dict[str, NDArray[Any]] = field(default_factory=dict, init=False, repr=False)

    def values(self, tensors: Collection[str]) -> Arrays:
        """Return what some tensors are, stored ones included, in the order asked for.

        Raises:
            RuntimeError: ONNX Runtime cannot run what makes them.
        """
        missing = [name for name in dict.fromkeys(tensors) if name not in self._seen and name not in self.stored]
        if missing:
            self._seen.update(self._run(missing, self.photo))
        return {name: self._seen[name] if name in self._seen else self.stored[name] for name in tensors}

    def of_image(self, tensors: Collection[str]) -> list[str]:
        """Return those of some tensors that do not depend on another input than the image, such as its size."""
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
        """Return what a network that does not run on one image of this size asks for."""
        dims = dimensions(image)
        if len(dims) == 4 and dims[0] not in (None, 1):
            return NotFoundError(
                f"the network does not run on one image, but only on {dims[0]} at once: export it with a batch of "
                "1, or better a dynamic one"
            )
        if None in dims[-3:] and self.size is None:
            return RuntimeError(f"{error} (tried on {size[1]}x{size[0]}: give the network's --size HEIGHTxWIDTH)")
        return error

    def fixed_values(self, tensors: Collection[str]) -> Arrays:
        """Return what tensors are that no image changes.

        Raises:
            NotFoundError: An image does.
        """
        made = [name for name in tensors if name not in self.stored]
        values = self.values(tensors)
        others = self._run(made, np.invert(self.photo)) if made else {}
        changing = [name for name, other in others.items() if not np.array_equal(values[name], other)]
        if changing:
            raise NotFoundError(
                f"boxes and scores depend on pixels in two ways, also through {', '.join(changing)}"
            )
        return values

    @cached_property
    def stored(self) -> Arrays:
        """The tensors that are stored in the file."""
        made = {node.output[0]: _constant(node) for node in self.graph.nodes if node.op_type == "Constant"}
        held = {item.name: onnx.numpy_helper.to_array(item) for item in self.graph.model.graph.initializer}
        return made | held


def _constant(node: onnx.NodeProto) -> NDArray[Any]:
    value = onnx.helper.get_attribute_value(node.attribute[0])
    if isinstance(value, onnx.TensorProto):
        return onnx.numpy_helper.to_array(value)
    return np.asarray(value, np.float32 if node.attribute[0].name.startswith("value_float") else None)


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
