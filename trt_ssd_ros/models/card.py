"""ModelCard: what a detector expects and emits, read from YAML."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from trt_ssd_ros.models.priors import PRIOR_GENERATORS, PriorGenerator, Priors
from trt_ssd_ros.yaml_reader import FieldError, Union, read, read_yaml, require

MAX_INPUT_SIDE = 8192
"""Pixels that a network's input may be wide or high."""
MAX_CANDIDATES = 3840
"""TensorRT's limit for the K of its TopK layer."""


Family = Literal[
    "tf_object_detection_api",
    "torchvision_ssd300",
    "torchvision_ssdlite",
    "pytorch_ssd",
    "nvidia_ssd",
    "caffe_ssd_voc",
    "caffe_ssd_coco",
    "tao_ssd",
    "other",
]


class ModelCardError(FieldError):
    """A model card is wrong or does not fit its ONNX."""


@dataclass(frozen=True)
class OnnxFile:
    """The network. The path is relative to the card; sha256 is its hex digest."""

    path: Path
    sha256: str


@dataclass(frozen=True)
class NetworkInput:
    """The network's input: tensor, height x width in pixels, and how pixels become its numbers.

    A pixel p of 0 to 255 enters as (p - mean) * scale, channel by channel in channel_order. `resize` is
    the ONNX coordinate_transformation_mode of the bilinear resize; half_pixel is what OpenCV does.
    """

    tensor: str
    layout: Literal["NHWC", "NCHW"]
    height: int
    width: int
    channel_order: Literal["rgb", "bgr"]
    mean: tuple[float, float, float]
    scale: tuple[float, float, float]
    resize: Literal["half_pixel", "align_corners", "asymmetric"] = "half_pixel"

    @property
    def shape(self) -> tuple[int, int, int]:
        """The tensor's dimensions behind the batch."""
        height, width = self.height, self.width
        return (height, width, 3) if self.layout == "NHWC" else (3, height, width)


@dataclass(frozen=True)
class RawHeads:
    """Outputs as the convolutions give them: box encodings [N, A, 4] and class scores [N, A, columns].

    box_order gives the meaning of the four encoded numbers (x, y: centre offsets; w, h: log sizes),
    box_scales the box coder's divisors in that order (1 / variance), background the column that is no class,
    clip_before_nms whether the family moves corners outside of the image onto its border before NMS, not after.
    """

    kind: Literal["raw_heads"]
    boxes: str
    scores: str
    box_order: Literal["yxhw", "xywh"]
    box_scales: tuple[float, float, float, float]
    score_conversion: Literal["sigmoid", "softmax", "none"]
    background: Literal["first", "last", "none"]
    clip_before_nms: bool = False


@dataclass(frozen=True)
class DecodedBoxes:
    """Outputs of a network that decodes its boxes itself: corners [N, A, 4] and class scores [N, A, columns].

    box_scales are the divisors, in the order of box_order, that normalise the corners to the image: 1 where
    they are, the input's width and height where they are in its pixels. The rest is as in RawHeads.
    """

    kind: Literal["decoded_boxes"]
    boxes: str
    scores: str
    box_order: Literal["xyxy", "yxyx"]
    score_conversion: Literal["sigmoid", "softmax", "none"]
    background: Literal["first", "last", "none"]
    box_scales: tuple[float, float, float, float] = (1.0, 1.0, 1.0, 1.0)
    clip_before_nms: bool = False


@dataclass(frozen=True)
class FinalDetections:
    """The output of a network that ends in its own NMS: rows [N, 1, K, 7] of TensorRT's and Caffe's layout.

    A row is image id, label, confidence, x1, y1, x2, y2. A negative image id or label is padding, and so is
    label 0 where background is first. box_order and box_scales are as in DecodedBoxes. Ours suppresses nothing
    further.
    """

    kind: Literal["detections"]
    rows: str
    background: Literal["first", "none"]
    box_order: Literal["xyxy", "yxyx"] = "xyxy"
    box_scales: tuple[float, float, float, float] = (1.0, 1.0, 1.0, 1.0)


Boxes = RawHeads | DecodedBoxes
NetworkOutputs = RawHeads | DecodedBoxes | FinalDetections


@dataclass(frozen=True)
class Defaults:
    """Thresholds in [0, 1]; candidates that enter NMS; most detections reported for an image."""

    score_threshold: float
    iou_threshold: float
    candidates: int = 400
    max_detections: int = 100


@dataclass(frozen=True)
class ModelCard:
    """Everything the project knows of one detector.

    `family` is whose conventions it follows; the other fields say them all, so it is for people. `labels[i]` names
    class id i; background is not in it. Only raw heads need priors.
    """

    name: str
    family: Family
    licence: str
    source: str
    onnx: OnnxFile
    input: NetworkInput
    outputs: NetworkOutputs
    labels: tuple[str, ...]
    defaults: Defaults
    priors: PriorGenerator | None = None

    @classmethod
    def load(cls, path: Path) -> ModelCard:
        """Read and validate a card.

        Args:
            path: A YAML file; `onnx.path` in it is resolved against its folder.

        Raises:
            ModelCardError: A field is missing, unknown, of the wrong type or out of range.
            OSError: The file cannot be read.
        """
        try:
            card = read(cls, read_yaml(path), UNIONS)
        except FieldError as error:
            wrong = ModelCardError(error.field or "the card", error.found, error.expected)
            wrong.args = (f"model card {path}: {wrong}",)
            raise wrong from error
        assert isinstance(card, cls)
        object.__setattr__(card.onnx, "path", (path.parent / card.onnx.path).resolve())
        return card

    def prior_boxes(self) -> Priors:
        """Return the prior boxes of raw heads; see `models/priors.py`."""
        assert self.priors is not None
        return self.priors.priors(self.input.height, self.input.width)

    def overlap_limit(self, iou_threshold: float) -> float:
        """Return the overlap above which NMS drops a box: 1, which none exceeds, where the network did its own."""
        return max(iou_threshold, 1.0) if isinstance(self.outputs, FinalDetections) else iou_threshold

    def __post_init__(self) -> None:
        size = self.input
        sides = f"{size.width}x{size.height}"
        require(size.height > 0 and size.width > 0, "input", sides, "a size above 0")
        most = max(size.height, size.width)
        require(most <= MAX_INPUT_SIDE, "input", sides, f"at most {MAX_INPUT_SIDE} a side")
        require(0 not in size.scale, "input.scale", size.scale, "numbers other than 0")
        require(min(self.outputs.box_scales) > 0, "outputs.box_scales", self.outputs.box_scales, "numbers above 0")
        raw = isinstance(self.outputs, RawHeads)
        require(self.priors is not None or not raw, "priors", "nothing", "this field")
        require(self.priors is None or raw, "priors", "this field", f"none with outputs.kind {self.outputs.kind}")
        require(len(self.labels) > 0, "labels", "none", "one name per class")
        require(len(set(self.labels)) == len(self.labels), "labels", "a name twice", "different names")
        for name in ("score_threshold", "iou_threshold"):
            value = getattr(self.defaults, name)
            require(0 <= value <= 1, f"defaults.{name}", value, "0 to 1")
        candidates, most = self.defaults.candidates, self.defaults.max_detections
        require(1 <= candidates <= MAX_CANDIDATES, "defaults.candidates", candidates, f"1 to {MAX_CANDIDATES}")
        require(1 <= most <= candidates, "defaults.max_detections", most, f"1 to {candidates} (candidates)")


UNIONS = (
    Union(PriorGenerator, "generator", PRIOR_GENERATORS, keeps_tag=False),
    Union(
        NetworkOutputs,
        "kind",
        {"raw_heads": RawHeads, "decoded_boxes": DecodedBoxes, "detections": FinalDetections},
    ),
)
"""Fields that hold one of several dataclasses, and what in the YAML tells which."""
