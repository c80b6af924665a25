"""Families of SSDs: normalisation, prior boxes, box coder and scores of each.

Each family names its source. Tests compare the prior boxes with the families' own code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import accumulate, repeat
from typing import Literal

from trt_ssd_ros.models.priors import (
    DefaultBoxGenerator,
    MultiscaleAnchorGenerator,
    PriorGenerator,
    SsdAnchorGenerator,
)

Triple = tuple[float, float, float]

BOX_SCALES = (10.0, 10.0, 5.0, 5.0)
"""Divisors of every family's box coder: variances are 0.1 for centres, 0.2 for sizes."""


@dataclass(frozen=True)
class SsdFamily:
    """Conventions of one family of networks.

    Attributes:
        about: Description for the user.
        channel_order: Channel order of the network's input.
        mean: Mean of each channel, subtracted from pixels of 0 to 255.
        scale: Factor of each channel after the mean is subtracted.
        score_conversion: Conversion of class predictions to scores if the graph has none.
        box_order: Order of the four numbers of an encoded box.
        iou_threshold: IoU threshold of the family's own NMS.
        generators: Function from an input's height and width in pixels to the prior generators that it may have.
        clip_before_nms: Whether boxes are clipped to the image before NMS.
        names: Lower-case parts of tensor names that identify the family.
        interface: Names of all inputs and outputs of the family's own exporter.
        final_order: Corner order of the family's final detections; None if unknown.
    """

    about: str
    channel_order: Literal["rgb", "bgr"]
    mean: Triple
    scale: Triple
    score_conversion: Literal["sigmoid", "softmax"]
    box_order: Literal["yxhw", "xywh"]
    iou_threshold: float
    generators: Callable[[int, int], Iterable[PriorGenerator]]
    clip_before_nms: bool = False
    names: tuple[str, ...] = ()
    interface: tuple[str, ...] = ()
    final_order: Literal["xyxy", "yxyx"] | None = "xyxy"

    @property
    def is_unknown(self) -> bool:
        """Whether this family stands for networks of no known family."""
        return self.final_order is None

    def generators_of(self, count: int, height: int, width: int) -> list[PriorGenerator]:
        """Return the generators of `count` prior boxes for an input in pixels."""
        known = self.generators(height, width)
        return [generator for generator in known if len(generator.priors(height, width)) == count]


def halved(cells: int, maps: int) -> list[int]:
    """Return the cells along a side of each feature map: each has half of the one before, rounded up."""
    return list(accumulate(repeat(None, maps - 1), lambda count, _: -(-count // 2), initial=cells))


def _tensorflow(height: int, width: int) -> Iterable[PriorGenerator]:
    if height == width:
        maps = tuple(halved(-(-height // 16), 6))
        yield SsdAnchorGenerator(maps)
        yield SsdAnchorGenerator(maps, interpolated="second")
    yield MultiscaleAnchorGenerator()


def _default_boxes(
    maps: Iterable[int],
    scales: Iterable[float],
    ratios: Iterable[tuple[float, ...]],
    steps: Iterable[float] = (),
) -> DefaultBoxGenerator:
    return DefaultBoxGenerator(tuple((n, n) for n in maps), tuple(scales), tuple(ratios), tuple(steps))


COCO_300 = (0.07, 0.15, 0.33, 0.51, 0.69, 0.87, 1.05)
VOC_300 = (0.1, 0.2, 0.37, 0.54, 0.71, 0.88, 1.05)
COCO_512 = (0.04, 0.1, 0.26, 0.42, 0.58, 0.74, 0.9, 1.06)
VOC_512 = (0.07, 0.15, 0.3, 0.45, 0.6, 0.75, 0.9, 1.05)


def _vgg(
    scales_300: tuple[float, ...], scales_512: tuple[float, ...]
) -> Callable[[int, int], Iterable[PriorGenerator]]:
    def generators(height: int, width: int) -> Iterable[PriorGenerator]:
        if (height, width) == (300, 300):
            ratios = ((2.0,), *repeat((2.0, 3.0), 3), (2.0,), (2.0,))
            yield _default_boxes((38, 19, 10, 5, 3, 1), scales_300, ratios, (8, 16, 32, 64, 100, 300))
        if (height, width) == (512, 512):
            ratios = ((2.0,), *repeat((2.0, 3.0), 4), (2.0,), (2.0,))
            yield _default_boxes(halved(64, 7), scales_512, ratios, (8, 16, 32, 64, 128, 256, 512))

    return generators


def _ssdlite(height: int, width: int) -> Iterable[PriorGenerator]:
    scales = (0.2, 0.35, 0.5, 0.65, 0.8, 0.95, 1.0)
    maps = zip(*(halved(-(-side // 16), 6) for side in (height, width)), strict=True)
    yield DefaultBoxGenerator(tuple(maps), scales, tuple(repeat((2.0, 3.0), 6)))


def _pytorch_ssd(height: int, width: int) -> Iterable[PriorGenerator]:
    if (height, width) == (300, 300):
        scales = (0.2, 0.35, 0.5, 0.65, 0.8, 0.95, 1.1)
        yield _default_boxes(halved(19, 6), scales, repeat((2.0, 3.0), 6), (16, 32, 64, 100, 150, 300))


def _in_the_graph(_height: int, _width: int) -> Iterable[PriorGenerator]:
    return ()


TORCHVISION = ("bbox_regression", "cls_logits", "regression_head", "classification_head")

HALF: Triple = (127.5, 127.5, 127.5)
ONE_TO_ONE: Triple = (1.0, 1.0, 1.0)
IMAGENET_MEAN: Triple = (0.485 * 255, 0.456 * 255, 0.406 * 255)
IMAGENET_SCALE: Triple = (1 / 0.229 / 255, 1 / 0.224 / 255, 1 / 0.225 / 255)
TO_UNIT: Triple = (1 / 127.5, 1 / 127.5, 1 / 127.5)

FAMILIES: Mapping[str, SsdFamily] = {
    # tensorflow/models, research/object_detection: samples/configs/ssd_mobilenet_v1_coco.config and others
    "tf_object_detection_api": SsdFamily(
        "TF Object Detection API: ssd_mobilenet_v1/v2, ssdlite, fpnlite, MediaPipe",
        *("rgb", HALF, TO_UNIT, "sigmoid", "yxhw", 0.6, _tensorflow),
        names=(
            "raw_outputs/",
            "raw_detection_",
            "boxencodings",
            "box_encodings",
            "multiclass_scores",
            "preprocessor",
        ),
        final_order="yxyx",
    ),
    # torchvision, models/detection/ssd.py: SSD300_VGG16_Weights, image_mean, image_std
    "torchvision_ssd300": SsdFamily(
        "torchvision ssd300_vgg16",
        *("rgb", (0.48235 * 255, 0.45882 * 255, 0.40784 * 255), ONE_TO_ONE, "softmax", "xywh", 0.45),
        _vgg(COCO_300, COCO_512),
        clip_before_nms=True,
        names=TORCHVISION,
    ),
    # torchvision, models/detection/ssdlite.py
    "torchvision_ssdlite": SsdFamily(
        "torchvision ssdlite320_mobilenet_v3_large",
        *("rgb", HALF, TO_UNIT, "softmax", "xywh", 0.55, _ssdlite),
        clip_before_nms=True,
        names=TORCHVISION,
    ),
    # dusty-nv/jetson-inference, c/detectNet.cpp; qfgaohao/pytorch-ssd, vision/ssd/config/mobilenetv1_ssd_config.py
    "pytorch_ssd": SsdFamily(
        "pytorch-ssd, jetson-inference",
        *("rgb", HALF, TO_UNIT, "softmax", "xywh", 0.45, _pytorch_ssd),
        interface=("input_0", "scores", "boxes"),
    ),
    # weiliu89/caffe, examples/ssd/ssd_pascal.py
    "caffe_ssd_voc": SsdFamily(
        "SSD300 and SSD512 of the SSD paper on Pascal VOC",
        *("bgr", (104.0, 117.0, 123.0), ONE_TO_ONE, "softmax", "xywh", 0.45, _vgg(VOC_300, VOC_512)),
    ),
    # NVIDIA/DeepLearningExamples, PyTorch/Detection/SSD: ssd/utils.py (dboxes300_coco), ssd/coco_pipeline.py
    "nvidia_ssd": SsdFamily(
        "NVIDIA's SSD300 with ResNet-50 (DeepLearningExamples), MLPerf's with ResNet-34 at 300x300",
        *("rgb", IMAGENET_MEAN, IMAGENET_SCALE, "softmax", "xywh", 0.5, _vgg(COCO_300, COCO_512)),
    ),
    # weiliu89/caffe, examples/ssd/ssd_coco.py
    "caffe_ssd_coco": SsdFamily(
        "SSD300 and SSD512 of the SSD paper on COCO",
        *("bgr", (104.0, 117.0, 123.0), ONE_TO_ONE, "softmax", "xywh", 0.45, _vgg(COCO_300, COCO_512)),
    ),
    # pixels of 0 to 1 are what most PyTorch networks take that normalise nothing
    "other": SsdFamily(
        "any SSD that decodes its boxes itself (pixels of 0 to 1, unless you give --mean and --scale)",
        *("rgb", (0.0, 0.0, 0.0), (1 / 255, 1 / 255, 1 / 255), "softmax", "xywh", 0.45, _in_the_graph),
        final_order=None,
    ),
    # NVIDIA/tao_tensorflow1_backend, nvidia_tao_tf1/cv/ssd: the anchors are in the graph
    "tao_ssd": SsdFamily(
        "TAO / TLT SSD",
        *("bgr", (103.939, 116.779, 123.68), ONE_TO_ONE, "softmax", "xywh", 0.45, _in_the_graph),
        names=("loc_data", "conf_data", "anchor_data"),
    ),
}
