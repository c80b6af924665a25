"""ModelCard: a detector's input, outputs, labels and defaults, read from YAML."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from trt_ssd_ros.images.resize import ResizeRule
from trt_ssd_ros.models.priors import PRIOR_GENERATORS, PriorGenerator, Priors
from trt_ssd_ros.yaml_reader import FieldError, Union, read, read_yaml, require

MAX_INPUT_SIDE = 8192
"""Largest height or width of a network's input in pixels."""
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
    """Error in a model card, or between a card and its ONNX file."""


@dataclass(frozen=True)
class OnnxFile:
    """ONNX file of the network.

    Attributes:
        path: Path of the file; in the YAML, relative to the card.
        sha256: SHA-256 digest of the file in hexadecimal.
    """

    path: Path
    sha256: str


@dataclass(frozen=True)
class NetworkInput:
    """Input of the network and its preprocessing: a pixel p of 0 to 255 becomes (p - mean) * scale.

    Attributes:
        tensor: Name of the input tensor.
        layout: Axis order of the tensor.
        height: Height in pixels.
        width: Width in pixels.
        channel_order: Order of the channels.
        mean: Mean of each channel, 0 to 255, in channel_order.
        scale: Factor of each channel, in channel_order.
        resize: ONNX coordinate_transformation_mode of the bilinear resize; OpenCV uses half_pixel.
    """

    tensor: str
    layout: Literal["NHWC", "NCHW"]
    height: int
    width: int
    channel_order: Literal["rgb", "bgr"]
    mean: tuple[float, float, float]
    scale: tuple[float, float, float]
    resize: ResizeRule = "half_pixel"

    @property
    def shape(self) -> tuple[int, int, int]:
        """Dimensions of the tensor after the batch."""
        height, width = self.height, self.width
        return (height, width, 3) if self.layout == "NHWC" else (3, height, width)


@dataclass(frozen=True)
class RawHeads:
    """Outputs of the convolutions: box encodings [N, A, 4] and class predictions [N, A, columns].

    Attributes:
        kind: Tag of this kind of outputs.
        boxes: Name of the tensor of box encodings.
        scores: Name of the tensor of class predictions.
        box_order: Order of the four encoded numbers (x, y: centre offsets; w, h: log sizes).
        box_scales: Box coder's divisors (1 / variance), in box_order.
        score_conversion: Conversion of class predictions to scores of 0 to 1.
        background: Position of the background column.
        clip_before_nms: Whether boxes are clipped to the image before NMS, not after.
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
    """Outputs of a network that decodes its boxes: corners [N, A, 4] and class predictions [N, A, columns].

    Attributes:
        kind: Tag of this kind of outputs.
        boxes: Name of the tensor of corners.
        scores: Name of the tensor of class predictions.
        box_order: Order of the four numbers of two corners.
        score_conversion: Conversion of class predictions to scores of 0 to 1.
        background: Position of the background column.
        box_scales: Divisors that normalise the corners, in box_order: 1, or the input's sides for pixels.
        clip_before_nms: Whether boxes are clipped to the image before NMS, not after.
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
    """Output of a network that ends in its own NMS: rows [N, 1, K, 7] in TensorRT's and Caffe's layout.

    A row is image id, label, confidence, x1, y1, x2, y2. Rows with a negative image id or label are padding; if
    `background` is first, so are rows of label 0. The composed graph suppresses no further boxes.

    Attributes:
        kind: Tag of this kind of outputs.
        rows: Name of the tensor of rows.
        background: Label of the background: first is label 0.
        box_order: Order of the four numbers of two corners.
        box_scales: Divisors that normalise the corners, in box_order: 1, or the input's sides for pixels.
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
    """Default thresholds and limits.

    Attributes:
        score_threshold: Lowest score to report, 0 to 1.
        iou_threshold: Overlap above which NMS suppresses a box, 0 to 1.
        candidates: Number of boxes that enter NMS.
        max_detections: Most detections to report for an image.
    """

    score_threshold: float
    iou_threshold: float
    candidates: int = 400
    max_detections: int = 100


@dataclass(frozen=True)
class ModelCard:
    """Description of one detector.

    Attributes:
        name: Name of the detector.
        family: SSD family of the network, for information only.
        licence: Licence of the network.
        source: Origin of the network.
        onnx: ONNX file of the network.
        input: Input of the network and its preprocessing.
        outputs: Outputs of the network.
        labels: Class name of each column of scores, without the background; empty for a column without a class.
        defaults: Default thresholds and limits.
        first_class_id: Class id of the first label in messages: 1 if the data set counts from 1, as COCO does.
        priors: Generator of the prior boxes; None unless outputs are raw heads.
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
    first_class_id: int = 0

    @property
    def classes(self) -> Mapping[int, str]:
        """Class names by class id, without the columns that have no class."""
        return {number: label for number, label in enumerate(self.labels, self.first_class_id) if label}

    @classmethod
    def load(cls, path: Path) -> ModelCard:
        """Read and validate a card.

        Args:
            path: Path of the YAML file; `onnx.path` in it is relative to its folder.

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
        """Return the prior boxes (A, 4) of raw heads; see `models/priors.py`."""
        assert self.priors is not None
        return self.priors.priors(self.input.height, self.input.width)

    def overlap_limit(self, iou_threshold: float) -> float:
        """Return the overlap above which NMS suppresses a box; 1 (none) if the network has its own NMS."""
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
        require(self.priors is not None or not raw, "priors", "nothing", "a value")
        require(self.priors is None or raw, "priors", "this field", f"none with outputs.kind {self.outputs.kind}")
        names = [label for label in self.labels if label]
        require(len(names) > 0, "labels", "none", "one name per class")
        require(len(set(names)) == len(names), "labels", "a name twice", "different names")
        odd = next((label for label in names if not label.isprintable()), None)
        require(odd is None, "labels", repr(odd), "printable characters")
        require(self.first_class_id >= 0, "first_class_id", self.first_class_id, "0 or more")
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
"""Fields that hold one of several dataclasses, and the YAML tag that selects it."""
