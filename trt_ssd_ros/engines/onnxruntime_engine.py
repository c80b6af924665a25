"""OnnxRuntimeEngine: runs a graph on the CPU, as the reference for other engines and without a GPU."""

from __future__ import annotations

import os
import re
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
SPIN_US = "20"
"""Longest time in microseconds that a thread spins for work before it sleeps."""
SPIN_LIMIT_SINCE = [1, 26]
"""First version of ONNX Runtime whose threads spin for a limited time; older ones spin for milliseconds."""


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

    Threads that spin while they wait take the cores from the middleware, or multiply the processor time. So two
    threads spin for SPIN_US at most, and more threads sleep; docs/performance.md has the figures.

    Args:
        model: Any network.
        threads: Number of threads that share a call; 0: one per core.

    Raises:
        RuntimeError: ONNX Runtime is not installed, or cannot run the model.
    """
    onnxruntime = load_onnxruntime()
    options = onnxruntime.SessionOptions()
    cores = len(os.sched_getaffinity(0))
    if not threads and (cores <= 2 or cores < (os.cpu_count() or 0)):
        threads = cores  # else ONNX Runtime counts the cores that the process may not use, too
    options.intra_op_num_threads = threads
    has_limit = [int(part) for part in re.findall(r"\d+", onnxruntime.__version__)[:2]] >= SPIN_LIMIT_SINCE
    if has_limit and 0 < threads <= 2:
        options.add_session_config_entry("session.intra_op.spin_duration_us", SPIN_US)
    else:
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


def open_onnxruntime_engine(
    card: ModelCard, network: onnx.ModelProto | None = None, threads: int = 0
) -> OnnxRuntimeEngine:
    """Open the engine of a card. Few boxes reach the score threshold, so its graph has a slot for each of these.

    Args:
        card: Model card.
        network: Network that the card describes; None: the card's own file.
        threads: Number of threads that share a call; 0: one per core.

    Raises:
        ModelCardError: The card does not fit its ONNX file.
        RuntimeError: ONNX Runtime is not installed, or cannot run the network.
    """
    return OnnxRuntimeEngine(
        compose(load_network(card) if network is None else network, card, only_filled=True), threads
    )


def open_onnxruntime(card: ModelCard, network: onnx.ModelProto | None = None) -> Detector:
    """Open a detector on ONNX Runtime; see `open_onnxruntime_engine`.

    Args:
        card: Model card.
        network: Network that the card describes; None: the card's own file.
    """
    return Detector(open_onnxruntime_engine(card, network), card)
