"""ModelCard: what a detector expects and emits, read from YAML."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import yaml

from trt_ssd_ros.core.one_line import one_line
from trt_ssd_ros.core.priors import MultiscaleAnchorGenerator, PriorGenerator, SsdAnchorGenerator
from trt_ssd_ros.core.untrusted import PlainLoader, read_file

MAX_CARD_SIZE = 1 << 20
"""Bytes that a card may have."""
MAX_INPUT_SIDE = 8192
"""Pixels that a network's input may be wide or high."""
MAX_PRIOR_LIST = 64
"""Feature maps, or aspect ratios, that a prior generator may have."""
MAX_LEVEL = 13
"""Highest pyramid level: one cell is as large as MAX_INPUT_SIDE."""
MAX_CANDIDATES = 3840
"""TensorRT's limit for the K of its TopK layer."""

PRIOR_GENERATORS: Mapping[str, type[PriorGenerator]] = {
    "ssd_anchor_generator": SsdAnchorGenerator,
    "multiscale_anchor_generator": MultiscaleAnchorGenerator,
}

PRIOR_NUMBERS_THAT_MAY_BE_0 = ("interpolated_ratio", "min_level", "reduce_lowest")


class ModelCardError(ValueError):
    """A model card is wrong or does not fit its ONNX: names the field, what was found and what was expected."""

    def __init__(self, field: str, found: object, expected: str) -> None:
        self.field = field
        super().__init__(f"{field}: found {found}, expected {expected}")


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


@dataclass(frozen=True)
class NetworkOutputs:
    """The network's outputs: box encodings [N, A, 4] and class scores [N, A, columns].

    box_order gives the meaning of the four encoded numbers (x, y: centre offsets; w, h: log sizes),
    box_scales the box coder's divisors in that order, background the column that is no class.
    """

    kind: Literal["raw_heads"]
    boxes: str
    scores: str
    box_order: Literal["yxhw", "xywh"]
    box_scales: tuple[float, float, float, float]
    score_conversion: Literal["sigmoid", "softmax", "none"]
    background: Literal["first", "last", "none"]


@dataclass(frozen=True)
class Defaults:
    """Thresholds in [0, 1]; candidates that enter NMS; most detections reported for an image."""

    score_threshold: float
    iou_threshold: float
    candidates: int = 400
    max_detections: int = 100


@dataclass(frozen=True)
class ModelCard:
    """Everything the project knows of one detector. `labels[i]` names class id i; background is not in it."""

    name: str
    family: str
    licence: str
    source: str
    onnx: OnnxFile
    input: NetworkInput
    outputs: NetworkOutputs
    priors: PriorGenerator
    labels: tuple[str, ...]
    defaults: Defaults

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
            card = _read(cls, _read_yaml(path), "")
        except ModelCardError as error:
            error.args = (f"model card {path}: {error}",)
            raise
        assert isinstance(card, cls)
        object.__setattr__(card.onnx, "path", (path.parent / card.onnx.path).resolve())
        return card

    def __post_init__(self) -> None:
        size = self.input
        sides = f"{size.width}x{size.height}"
        _require(size.height > 0 and size.width > 0, "input", sides, "a size above 0")
        _require(
            max(size.height, size.width) <= MAX_INPUT_SIDE, "input", sides, f"at most {MAX_INPUT_SIDE} a side"
        )
        _require(0 not in size.scale, "input.scale", size.scale, "numbers other than 0")
        _require(
            min(self.outputs.box_scales) > 0, "outputs.box_scales", self.outputs.box_scales, "numbers above 0"
        )
        _require(len(self.labels) > 0, "labels", "none", "one name per class")
        _require(len(set(self.labels)) == len(self.labels), "labels", "a name twice", "different names")
        for name in ("score_threshold", "iou_threshold"):
            value = getattr(self.defaults, name)
            _require(0 <= value <= 1, f"defaults.{name}", value, "0 to 1")
        candidates, most = self.defaults.candidates, self.defaults.max_detections
        _require(1 <= candidates <= MAX_CANDIDATES, "defaults.candidates", candidates, f"1 to {MAX_CANDIDATES}")
        _require(1 <= most <= candidates, "defaults.max_detections", most, f"1 to {candidates} (candidates)")


def _require(condition: bool, field: str, found: object, expected: str) -> None:
    if not condition:
        raise ModelCardError(field, found, expected)


def _read_yaml(path: Path) -> object:
    """Parse a YAML file. PyYAML lets errors of int(), date() and deep nesting through besides its own."""
    try:
        return yaml.load(read_file(path, MAX_CARD_SIZE).decode("utf-8"), PlainLoader)  # noqa: S506 - is safe
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ModelCardError("the card", f"no YAML ({one_line(error)})", "a YAML mapping") from error


def _read(kind: Any, value: object, field: str) -> Any:
    """Turn a YAML value into the type that a dataclass field is annotated with."""
    if kind is PriorGenerator:
        return _read_priors(value, field)
    if is_dataclass(kind):
        return _read_dataclass(kind, value, field)
    origin = get_origin(kind)
    if origin is Literal:
        _require(value in get_args(kind), field, repr(value), " or ".join(map(repr, get_args(kind))))
        return value
    if origin in (tuple, Sequence):
        return _read_sequence(get_args(kind), value, field)
    return _read_scalar(kind, value, field)


def _read_dataclass(kind: Any, value: object, field: str) -> Any:
    _require(isinstance(value, dict), field or "the card", type(value).__name__, "a mapping")
    assert isinstance(value, dict)
    types_by_name = get_type_hints(kind)
    prefix = f"{field}." if field else ""
    for name in value:
        _require(name in types_by_name, f"{prefix}{name}", "an unknown field", " or ".join(types_by_name))
    for item in fields(kind):
        needed = item.default is MISSING and item.default_factory is MISSING
        _require(item.name in value or not needed, f"{prefix}{item.name}", "nothing", "this field")
    return kind(**{name: _read(types_by_name[name], item, prefix + name) for name, item in value.items()})


def _read_priors(value: object, field: str) -> PriorGenerator:
    numbers = dict(value) if isinstance(value, dict) else {}
    name = numbers.pop("generator", None)
    _require(name in list(PRIOR_GENERATORS), f"{field}.generator", repr(name), " or ".join(PRIOR_GENERATORS))
    generator: PriorGenerator = _read_dataclass(PRIOR_GENERATORS[str(name)], numbers, field)
    for item, found in vars(generator).items():
        numbers_found = found if isinstance(found, tuple) else (found,)
        lowest, most = min(numbers_found, default=0), max(numbers_found, default=0)
        _require(
            len(numbers_found) <= MAX_PRIOR_LIST,
            f"{field}.{item}",
            f"{len(numbers_found)} numbers",
            f"at most {MAX_PRIOR_LIST}",
        )
        _require(most <= MAX_INPUT_SIDE, f"{field}.{item}", most, f"at most {MAX_INPUT_SIDE}")
        if item in PRIOR_NUMBERS_THAT_MAY_BE_0:
            _require(lowest >= 0, f"{field}.{item}", found, "0 or more")
        else:
            _require(lowest > 0, f"{field}.{item}", found, "numbers above 0")
    if isinstance(generator, MultiscaleAnchorGenerator):
        least, most = generator.min_level, generator.max_level
        _require(most >= least, f"{field}.max_level", most, f"{least} (min_level) or more")
        _require(most <= MAX_LEVEL, f"{field}.max_level", most, f"at most {MAX_LEVEL}")
    return generator


def _read_sequence(kinds: tuple[Any, ...], value: object, field: str) -> tuple[Any, ...]:
    _require(isinstance(value, list), field, repr(value), "a list")
    assert isinstance(value, list)
    if len(kinds) > 1 and kinds[-1] is not Ellipsis:
        _require(len(value) == len(kinds), field, f"{len(value)} values", f"{len(kinds)}")
    return tuple(_read(kinds[0], item, f"{field}[{index}]") for index, item in enumerate(value))


def _read_scalar(kind: type, value: object, field: str) -> object:
    if kind is Path:
        return Path(str(_read_scalar(str, value, field)))
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        _require(abs(value) < 2**1023, field, "a number beyond float", "a finite number")
        value = float(value)
    _require(
        type(value) is kind, field, repr(value), {str: "text", int: "a whole number"}.get(kind, kind.__name__)
    )
    _require(not isinstance(value, float) or math.isfinite(value), field, value, "a finite number")
    return value
