"""torchvision's ssdlite320_mobilenet_v3_large in PyTorch, to measure ours against. Its weights are random."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray


def torch_calls(image: NDArray[np.uint8]) -> dict[str, Callable[[], Any]]:
    """Return calls that run the whole detector eagerly on an image (H, W, 3), and its network in a CUDA graph.

    Raises:
        ImportError: PyTorch or torchvision is not installed.
    """
    import torch  # noqa: PLC0415 - only this comparison needs it
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
    """Capture backbone and heads; the detector's own host code cannot be captured."""
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
