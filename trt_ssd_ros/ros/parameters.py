"""The detector node's parameters: declared, described and bounded in one place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)
from rclpy.node import Node
from rclpy.parameter import Parameter

from trt_ssd_ros.core.detector import Thresholds
from trt_ssd_ros.core.model_card import ModelCard
from trt_ssd_ros.core.resources import DEFAULT_MODEL
from trt_ssd_ros.engines.backend import BACKENDS, EngineChoice
from trt_ssd_ros.engines.card_plans import PRECISIONS
from trt_ssd_ros.engines.plan_builder import BuildOptions
from trt_ssd_ros.ros.messages import CLASS_ID_FORMATS


def declare(
    node: Node,
    name: str,
    default: Any,
    description: str,
    bounds: tuple[float, float] | None = None,
    fixed: bool = True,
) -> Any:
    """Declare one parameter and return its value.

    Args:
        node: The node that gets it.
        name: Its name.
        default: Its value where nobody sets one.
        description: What it does, with its unit.
        bounds: Lowest and highest value of a number.
        fixed: Whether it can only be set when the node starts.
    """
    descriptor = ParameterDescriptor(description=description, read_only=fixed)
    if bounds and isinstance(default, float):
        descriptor.floating_point_range = [FloatingPointRange(from_value=bounds[0], to_value=bounds[1])]
    elif bounds:
        descriptor.integer_range = [IntegerRange(from_value=int(bounds[0]), to_value=int(bounds[1]), step=1)]
    return node.declare_parameter(name, default, descriptor).value


def declare_choice(node: Node, name: str, choices: tuple[str, ...], description: str) -> str:
    """Declare a fixed parameter that is one of a few words, the first by default.

    Raises:
        ValueError: It was set to another word.
    """
    value: str = declare(node, name, choices[0], f"{description}: {' | '.join(choices)}")
    if value not in choices:
        raise ValueError(f"parameter {name}: found {value!r}, expected one of {', '.join(choices)}")
    return value


def declare_model(node: Node) -> str:
    """Declare the model and return it."""
    model: str = declare(node, "model", DEFAULT_MODEL, "Name of a shipped model card, or the path of one (YAML)")
    return model


def declare_engine(node: Node) -> EngineChoice:
    """Declare what runs the model, and how."""
    backend = declare_choice(node, "backend", BACKENDS, "What runs the network")
    precision = declare_choice(node, "precision", PRECISIONS, "What TensorRT computes the network in")
    level = declare(
        node,
        "optimization_level",
        -1,
        "TensorRT's builder optimization level, 0 (fast to build) to 5 (thorough); -1: TensorRT's default",
        (-1, 5),
    )
    core = declare(node, "dla_core", -1, "Deep learning accelerator (Jetson) to run the network; -1: GPU", (-1, 7))
    options = BuildOptions(
        max_image_side=declare(
            node, "max_image_side", 4096, "Most pixels of an image's height and width for TensorRT", (64, 16384)
        ),
        workspace_mib=declare(
            node,
            "workspace_mib",
            1024,
            "Most scratch memory for a TensorRT layer, in MiB",
            (1, 65536),
        ),
        optimization_level=None if level < 0 else level,
        dla_core=None if core < 0 else core,
    )
    return EngineChoice(backend, precision, options)


class DetectionParameters:
    """The parameters that may change while frames flow, and those that say how results are published.

    Args:
        node: The node that gets them.
        card: Gives the defaults.
    """

    def __init__(self, node: Node, card: ModelCard) -> None:
        defaults = card.defaults
        self._classes = len(card.labels)
        self._node = node
        self.class_id_format = declare_choice(
            node, "class_id_format", CLASS_ID_FORMATS, "What class_id carries in the detections"
        )
        declare(
            node, "score_threshold", defaults.score_threshold, "Lowest score reported", (0.0, 1.0), fixed=False
        )
        declare(
            node,
            "iou_threshold",
            defaults.iou_threshold,
            "Of two boxes of a class that overlap (IoU) by more than this, the lesser is dropped",
            (0.0, 1.0),
            fixed=False,
        )
        declare(
            node,
            "max_detections",
            defaults.max_detections,
            "Most boxes reported for an image",
            (1, defaults.candidates),
            fixed=False,
        )
        declare(node, "debug_image", True, "Publish debug_image while somebody subscribes to it", fixed=False)

    @property
    def score_threshold(self) -> float:
        """Lowest score reported."""
        return float(self._node.get_parameter("score_threshold").value)

    @property
    def debug_image(self) -> bool:
        """Whether debug_image is published while somebody subscribes to it."""
        return bool(self._node.get_parameter("debug_image").value)

    def thresholds(self) -> Thresholds:
        """Return what the detector runs with."""
        iou, most = (self._node.get_parameter(name).value for name in ("iou_threshold", "max_detections"))
        return Thresholds((self.score_threshold,) * self._classes, iou, most)


def call_after_set(node: Node, callback: Callable[[], None]) -> None:
    """Call back whenever parameters were set."""
    if hasattr(node, "add_post_set_parameters_callback"):
        node.add_post_set_parameters_callback(lambda _: callback())
        return

    def soon(_: list[Parameter]) -> SetParametersResult:
        """Humble calls only before the set: come back once it is done."""

        def once() -> None:
            node.destroy_timer(timer)
            callback()

        timer = node.create_timer(0.0, once)
        return SetParametersResult(successful=True)

    node.add_on_set_parameters_callback(soon)
