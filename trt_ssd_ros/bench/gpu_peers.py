"""Peers of our TensorRT path: the network of the 2020-era SSD tutorials, and torchvision's SSDlite."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trt_ssd_ros.bench.tutorial import network_of_batch_1
from trt_ssd_ros.engines.cuda import CudaDevice, load_pycuda
from trt_ssd_ros.engines.half_precision import in_half_precision
from trt_ssd_ros.engines.plan_builder import BuildOptions, build_plan
from trt_ssd_ros.engines.tensorrt_library import TensorRt
from trt_ssd_ros.models.card import ModelCard, RawHeads

Floats = NDArray[np.float32]


class TutorialNetwork:
    """Network of `TutorialPipeline` on TensorRT, with synchronous copies from pageable memory.

    Args:
        card: Model card with raw heads.
        library: Installed TensorRT.
        half: Whether the network runs in half precision.

    Raises:
        RuntimeError: TensorRT cannot build or run the network.
    """

    def __init__(self, card: ModelCard, library: TensorRt, half: bool) -> None:
        assert isinstance(card.outputs, RawHeads)
        self._names = [card.input.tensor, card.outputs.boxes, card.outputs.scores]
        network = network_of_batch_1(card)
        plan = build_plan(in_half_precision(network) if half else network, library, BuildOptions())
        self._kind = np.float16 if half else np.float32
        self._cuda = load_pycuda()
        self._device = CudaDevice()
        with self._device.bound():
            runtime = library.module.Runtime(library.logger)
            self._engine = runtime.deserialize_cuda_engine(plan)
            self._context = self._engine.create_execution_context()
            self._memory = [self._allocate(name) for name in self._names]

    def _allocate(self, name: str) -> tuple[NDArray[Any], Any]:
        host = np.empty(tuple(self._engine.get_tensor_shape(name)), self._kind)
        memory = self._cuda.mem_alloc(host.nbytes)
        self._context.set_tensor_address(name, int(memory))
        return host, memory

    def __call__(self, pixels: Floats) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return boxes and logits; see `RunNetwork`."""
        source, boxes, logits = self._memory
        with self._device.bound():
            self._cuda.memcpy_htod(source[1], np.ascontiguousarray(pixels, self._kind))
            self._context.execute_async_v3(self._device.stream.handle)
            self._device.stream.synchronize()
            for host, memory in (boxes, logits):
                self._cuda.memcpy_dtoh(host, memory)
        return boxes[0], logits[0]

    def close(self) -> None:
        """Release GPU memory and context."""
        with self._device.bound():
            for _, memory in self._memory:
                memory.free()
            self._context = self._engine = None
        self._device.close()


def torch_calls(image: NDArray[np.uint8]) -> dict[str, Callable[[], Any]]:
    """Return calls that run the whole detector eagerly on an image (H, W, 3), and its network in a CUDA graph.

    Raises:
        ImportError: PyTorch or torchvision is not installed.
    """
    import torch  # noqa: PLC0415 - optional; only this comparison needs it
    from torchvision.models.detection import ssdlite320_mobilenet_v3_large  # noqa: PLC0415 - as above

    model = ssdlite320_mobilenet_v3_large(weights=None, weights_backbone=None).eval().cuda()
    pixels = np.ascontiguousarray(image[..., ::-1])

    def whole() -> None:
        with torch.inference_mode():
            tensor = torch.from_numpy(pixels).cuda().permute(2, 0, 1).float().div_(255)
            model([tensor])[0]["boxes"].cpu()

    network = _captured(torch, model)

    def graph() -> None:
        network.replay()
        torch.cuda.synchronize()

    return {"PyTorch eager, whole detector": whole, "PyTorch, network in a CUDA graph": graph}


def _captured(torch: Any, model: Any) -> Any:
    """Capture backbone and heads in a CUDA graph; the detector's host code cannot be captured."""
    source = torch.zeros(1, 3, 320, 320, device="cuda")

    def forward() -> None:
        with torch.inference_mode():
            model.head(list(model.backbone(source).values()))

    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        for _ in range(3):
            forward()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        forward()
    return graph
