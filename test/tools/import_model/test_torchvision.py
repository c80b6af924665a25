"""torchvision's own SSDs, exported whole, against what torchvision finds itself; needs torch and torchvision.

The weights are random; the statistics of noise bring them to life, and the heads are scaled so that scores differ.
"""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from trt_ssd_ros.detection.detector import Detector
from trt_ssd_ros.detection.thresholds import Thresholds
from trt_ssd_ros.engines.onnxruntime_engine import OnnxRuntimeEngine
from trt_ssd_ros.models.card import ModelCard
from trt_ssd_ros.models.graph import compose
from trt_ssd_ros.models.network import load_network
from trt_ssd_ros.tools.import_model.__main__ import main

try:
    import torch
    from torchvision.models import detection
except ImportError:
    torch = detection = None

# Not importorskip: launch_testing's plugin imports a module while its folder is collected, which would be skipped.
pytestmark = pytest.mark.skipif(torch is None, reason="needs torch and torchvision")


def spread(head: torch.nn.Module, features: list) -> None:
    """Scale a head's last convolutions so that encodings deviate by 1 and logits by 2 on one image."""
    values = head(features)
    for part, name, deviation in (
        (head.classification_head, "cls_logits", 2),
        (head.regression_head, "bbox_regression", 1),
    ):
        for module in part.module_list:
            last = module if isinstance(module, torch.nn.Conv2d) else module[-1]
            for parameter in (last.weight, last.bias):
                parameter.mul_(deviation / values[name].std())


def live_model(name: str, image: torch.Tensor, side: int) -> torch.nn.Module:
    torch.manual_seed(3)
    model = getattr(detection, name)(weights=None, weights_backbone=None).eval()
    norms = [module for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    with torch.no_grad():
        for norm in norms:
            norm.momentum = 1.0
            norm.train()
        if norms:
            model.head(list(model.backbone(torch.rand(4, 3, side, side) * 2 - 1).values()))
        for norm in norms:
            norm.eval()
        spread(model.head, list(model.backbone(model.transform([image])[0].tensors).values()))
    return model


@pytest.mark.parametrize(("name", "side"), [("ssdlite320_mobilenet_v3_large", 320), ("ssd300_vgg16", 300)])
def test_finds_what_torchvision_finds(tmp_path, name, side):
    coarse = np.random.default_rng(5).integers(0, 256, (10, 10, 3), np.uint8)
    pixels = coarse.repeat(side // 10, axis=0).repeat(side // 10, axis=1)
    image = torch.from_numpy(pixels.astype(np.float32).transpose(2, 0, 1)) / 255
    model = live_model(name, image, side)
    model.score_thresh = 0.8
    with torch.no_grad():
        expected = {key: value.numpy() for key, value in model([image])[0].items()}
    assert 20 < len(expected["scores"]) <= model.detections_per_img
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(model, ([image],), str(tmp_path / "net.onnx"), opset_version=17, dynamo=False)
    assert main([str(tmp_path / "net.onnx")]) == 0
    card = ModelCard.load(tmp_path / "net.yaml")
    detector = Detector(OnnxRuntimeEngine(compose(load_network(card), card, candidates=3840)), card)
    detector.thresholds = Thresholds((0.8,) * 90, card.defaults.iou_threshold, 3840)
    found = detector.detect(pixels, "rgb")
    for box, score, label in zip(expected["boxes"], expected["scores"], expected["labels"], strict=True):
        same = (found.class_ids == label - 1) & (np.abs(found.scores - score) <= 1e-5)
        assert same.any()
        assert np.abs(found.boxes[same] - box).max(axis=1).min() <= 1e-4 * side
    if len(expected["scores"]) < model.detections_per_img:
        assert len(found) == len(expected["scores"])
