"""Peers of our TensorRT path: the pipeline of the 2020-era SSD tutorials, and torchvision's SSDlite.

In the tutorials OpenCV resizes and the CPU normalises, the plan ends in the network's raw heads, copies are
synchronous and from pageable memory, and the host decodes and suppresses.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import onnx
from numpy.typing import NDArray

from trt_ssd_ros.detection.detections import nms
from trt_ssd_ros.engines.cuda import CudaDevice, load_pycuda
from trt_ssd_ros.engines.half_precision import in_half_precision
from trt_ssd_ros.engines.plan_builder import BuildOptions, build_plan
from trt_ssd_ros.engines.tensorrt_library import TensorRt
from trt_ssd_ros.models.card import ModelCard, RawHeads
from trt_ssd_ros.models.network import load_network
from trt_ssd_ros.models.priors import decode_boxes

Floats = NDArray[np.float32]


class TutorialPipeline:
    """Detection pipeline of the tutorials around a card's bare network.

    Args:
        card: Model card with NHWC rgb input, sigmoid scores with the background first, and boxes as y x h w.
        library: Installed TensorRT.
        half: Whether the network runs in half precision.

    Raises:
        RuntimeError: TensorRT cannot build or run the network.
    """

    def __init__(self, card: ModelCard, library: TensorRt, half: bool) -> None:
        self._card = card
        self._priors = card.prior_boxes()
        network = _of_batch_1(load_network(card))
        plan = build_plan(in_half_precision(network) if half else network, library, BuildOptions())
        self._kind = np.float16 if half else np.float32
        self._cuda = load_pycuda()
        self._device = CudaDevice()
        with self._device.bound():
            runtime = library.module.Runtime(library.logger)
            self._engine = runtime.deserialize_cuda_engine(plan)
            self._context = self._engine.create_execution_context()
            self._memory = {name: self._allocate(name) for name in self._names()}

    def _names(self) -> list[str]:
        assert isinstance(self._card.outputs, RawHeads)
        return [self._card.input.tensor, self._card.outputs.boxes, self._card.outputs.scores]

    def _allocate(self, name: str) -> tuple[NDArray[Any], Any]:
        host = np.empty(tuple(self._engine.get_tensor_shape(name)), self._kind)
        memory = self._cuda.mem_alloc(host.nbytes)
        self._context.set_tensor_address(name, int(memory))
        return host, memory

    def detect(self, image: NDArray[np.uint8]) -> int:
        """Detect in an image (H, W, 3) uint8 bgr, and return the number of detections."""
        spec = self._card.input
        resized = cv2.cvtColor(cv2.resize(image, (spec.width, spec.height)), cv2.COLOR_BGR2RGB)
        pixels = (resized.astype(np.float32) - np.array(spec.mean, np.float32)) * np.array(spec.scale, np.float32)
        source, boxes, scores = (self._memory[name] for name in self._names())
        with self._device.bound():
            self._cuda.memcpy_htod(source[1], np.ascontiguousarray(pixels[None], self._kind))
            self._context.execute_async_v3(self._device.stream.handle)
            self._device.stream.synchronize()
            for host, memory in (boxes, scores):
                self._cuda.memcpy_dtoh(host, memory)
        outputs = self._card.outputs
        corners = decode_boxes(boxes[0][0].astype(np.float32), self._priors, outputs.box_scales, outputs.box_order)
        return self._suppress(corners, scores[0][0, :, 1:])

    def _suppress(self, boxes: Floats, logits: NDArray[Any]) -> int:
        """Return the number of boxes that greedy NMS keeps."""
        defaults = self._card.defaults
        scores = 1 / (1 + np.exp(-logits.astype(np.float32)))
        anchors, classes = np.nonzero(scores >= defaults.score_threshold)
        kept = nms(boxes[anchors], scores[anchors, classes], classes.astype(np.int32), defaults.iou_threshold)
        return int(kept.sum())

    def close(self) -> None:
        """Release GPU memory and context."""
        with self._device.bound():
            for _, memory in self._memory.values():
                memory.free()
            self._context = self._engine = None
        self._device.close()


def _of_batch_1(network: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy of a network that takes one image at a time."""
    fixed = onnx.ModelProto()
    fixed.CopyFrom(network)
    for tensor in (*fixed.graph.input, *fixed.graph.output):
        tensor.type.tensor_type.shape.dim[0].dim_value = 1
    return fixed


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
