"""OnnxRuntimeEngine: runs a graph on the CPU, as the reference for other engines and without a GPU."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx

from trt_ssd_ros.detection.detector import Detector
from trt_ssd_ros.detection.engine import Tensors, TensorSpec, check_inputs
from trt_ssd_ros.errors import one_line
from trt_ssd_ros.models.card import ModelCard
from trt_ssd_ros.models.graph import compose
from trt_ssd_ros.models.network import is_quantized, load_network

DTYPES = {"tensor(uint8)": np.uint8, "tensor(int32)": np.int32, "tensor(float)": np.float32}


def load_onnxruntime() -> Any:
    """Return the onnxruntime module, from any distribution that has it.

    Raises:
        RuntimeError: ONNX Runtime is not installed.
    """
    try:
        import onnxruntime  # noqa: PLC0415 - only this engine needs it
    except ImportError as error:
        raise RuntimeError(f"ONNX Runtime cannot be imported ({error}): pip install onnxruntime") from error
    return onnxruntime


def open_session(model: onnx.ModelProto, threads: int = 0) -> Any:
    """Open an onnxruntime.InferenceSession.

    Its threads sleep between operators, because spinning threads take the cores from the middleware (measured with
    the node on two cores at 30 Hz: 59 against 30 ms of processor time an image).

    Args:
        model: Any network.
        threads: Number of threads that share a call; 0: one per core.

    Raises:
        RuntimeError: ONNX Runtime is not installed, or cannot run the model.
    """
    onnxruntime = load_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3  # errors; they are raised as well
    try:
        return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's errors have no base class of their own
        raise RuntimeError(f"ONNX Runtime cannot run this network: {one_line(error)}") from error


class OnnxRuntimeEngine:
    """ONNX Runtime session on the CPU. Unlike other engines, it may run in several threads at once.

    Args:
        model: Composed graph.
        threads: Number of threads that share a call; 0: one per core.

    Raises:
        RuntimeError: ONNX Runtime is not installed, or cannot run the model.
    """

    kind = "onnxruntime"

    def __init__(self, model: onnx.ModelProto, threads: int = 0) -> None:
        self._session = open_session(model, threads)
        self.precision = "int8" if is_quantized(model) else "fp32"
        self.name = f"ONNX Runtime {load_onnxruntime().__version__} on the CPU"
        self.inputs: Mapping[str, TensorSpec] = {
            item.name: TensorSpec(np.dtype(DTYPES[item.type]), tuple(item.shape))
            for item in self._session.get_inputs()
        }
        self._outputs = [item.name for item in self._session.get_outputs()]

    def run(self, inputs: Tensors) -> Tensors:
        """Run the graph once; see `InferenceEngine.run`."""
        check_inputs(self.inputs, inputs)
        contiguous = {name: np.ascontiguousarray(array) for name, array in inputs.items()}
        return dict(zip(self._outputs, self._session.run(self._outputs, contiguous), strict=True))

    def memory_used(self) -> None:
        """Return None: the engine runs on the CPU."""

    def close(self) -> None:
        """Do nothing: the session is freed with the engine."""


def open_onnxruntime(card: ModelCard, network: onnx.ModelProto | None = None) -> Detector:
    """Open a detector on ONNX Runtime.

    Args:
        card: Model card.
        network: Network that the card describes; None: the card's own file.

    Raises:
        ModelCardError: The card does not fit its ONNX file.
        RuntimeError: ONNX Runtime is not installed, or cannot run the network.
    """
    return Detector(OnnxRuntimeEngine(compose(load_network(card) if network is None else network, card)), card)
