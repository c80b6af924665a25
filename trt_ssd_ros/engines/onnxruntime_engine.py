"""Run a graph with ONNX Runtime on the CPU: the oracle, and the way to work without a GPU."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx

from trt_ssd_ros.core.inference_engine import Tensors, TensorSpec, check_inputs

DTYPES = {"tensor(uint8)": np.uint8, "tensor(int32)": np.int32, "tensor(float)": np.float32}


class OnnxRuntimeEngine:
    """An ONNX Runtime session on the CPU.

    Args:
        model: A composed graph.
        threads: Threads for one operator; 0 takes one per core.

    Raises:
        RuntimeError: ONNX Runtime is not installed.
    """

    def __init__(self, model: onnx.ModelProto, threads: int = 0) -> None:
        try:
            import onnxruntime  # noqa: PLC0415 - only who asks for this engine needs it
        except ImportError as error:
            raise RuntimeError("ONNX Runtime is not installed: pip install onnxruntime") from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self.name = f"ONNX Runtime {onnxruntime.__version__} on the CPU"
        self._session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
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

    def close(self) -> None:
        """Nothing to give back before the object itself goes."""
