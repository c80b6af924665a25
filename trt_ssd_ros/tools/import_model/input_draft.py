"""Draft of a model card's section on the input; the user's options, which all drafts share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trt_ssd_ros.tools.import_model.entry import Entry
from trt_ssd_ros.tools.import_model.families import IMAGENET_MEAN, SsdFamily

Prompt = Callable[[str, str, Sequence[str]], str]
"""Prompts the user; takes the option that answers the question, the question, and the choices if any."""


@dataclass
class UserOptions:
    """Options of the user, a prompt for missing ones, and the assumptions to report.

    Attributes:
        options: Values that the user gave, by command-line option.
        prompt: Function that prompts for a missing option.
        assumptions: Assumptions made so far.
    """

    options: Mapping[str, Any]
    prompt: Prompt
    assumptions: list[str] = field(default_factory=list)

    def assume(self, text: str) -> None:
        """Record an assumption."""
        self.assumptions.append(text)


Document = dict[str, Any]

MEAN_TOLERANCE = 8
"""Largest difference from ImageNet's mean, of 255, as Caffe's and torchvision's SSDs round it differently."""


@dataclass
class InputDraft:
    """Draft of a card's section on the input: from the user's options first, then the graph, then the family.

    Attributes:
        entry: Entry of pixels into the network.
        family: Family of the network.
        user: Options of the user.
    """

    entry: Entry
    family: SsdFamily
    user: UserOptions

    def document(self) -> Document:
        """Return the section on the input."""
        entry, order = self.entry, self.channel_order()
        mean, scale = self.normalisation(order)
        height, width = entry.size
        values = {"mean": "mean", "scale": "scale", "channel_order": f"channel order {order}"}
        assumed = [value for option, value in values.items() if option not in self.user.options]
        if self.uses_family and assumed:
            self.user.assume(f"{', '.join(assumed)}: those of its family")
        return {
            "tensor": entry.tensor,
            "layout": entry.layout,
            "height": height,
            "width": width,
            "channel_order": order,
            "mean": mean,
            "scale": scale,
            **({"resize": resize} if (resize := self.resize()) != "half_pixel" else {}),
        }

    def resize(self) -> str:
        """Return the coordinate transformation of the resize: the user's, that of the graph, or OpenCV's."""
        known = self.user.options.get("resize") or self.entry.resize
        if known:
            return str(known)
        self.user.assume(
            "resize is half_pixel, as in OpenCV and PyTorch, because the graph shows none; TensorFlow's Object "
            "Detection API resizes as --resize asymmetric does"
        )
        return "half_pixel"

    @property
    def uses_family(self) -> bool:
        """Whether the graph does not show how pixels are normalised, so that the family decides."""
        return self.entry.inside.is_identity and not self.entry.takes_bytes

    def channel_order(self) -> str:
        """Return the channel order at the entry; the user's option is that of the network's own input."""
        entry, stated = self.entry, self.user.options.get("channel_order")
        if not entry.inside.swaps:
            return str(stated or self.order_of_mean() or self.family_order())
        question = "the graph swaps red and blue, and does not state the channel order of its input"
        order = stated or self.user.prompt("channel_order", question, ("rgb", "bgr"))
        return {"rgb": "bgr", "bgr": "rgb"}[order] if entry.is_cut else order

    def order_of_mean(self) -> str | None:
        """Return the channel order of ImageNet's mean if the graph subtracts it, else None."""
        inside = self.entry.inside
        mean = -inside.offset / inside.scale
        mean = mean * 255 if np.abs(mean).max() <= 1 else mean
        for order, known in (("rgb", IMAGENET_MEAN), ("bgr", IMAGENET_MEAN[::-1])):
            if np.abs(mean - known).max() < MEAN_TOLERANCE:
                self.user.assume(f"channels are {order}, the order of the mean that the graph subtracts")
                return order
        return None

    def family_order(self) -> str:
        """Return the family's channel order; if the family is unknown, guess it and record that."""
        order = self.family.channel_order
        if self.family.is_unknown:
            self.user.assume(f"channels are {order}, which is a guess; if it is wrong, give --channel-order")
        return order

    def normalisation(self, order: str) -> tuple[list[float], list[float]]:
        """Return mean and scale (3 each): the user's, those measured in the graph, or the family's."""
        inside = self.entry.inside
        unit = 1 / 255 if expects_unit_range(inside.scale, inside.offset) and not self.entry.takes_bytes else 1.0
        if self.uses_family:
            step = 1 if order == self.family.channel_order else -1
            mean, scale = list(self.family.mean[::step]), list(self.family.scale[::step])
        elif self.entry.is_cut:
            scale = rounded(inside.scale * unit)
            mean = rounded(-inside.offset / (inside.scale * unit))
            self.user.assume("mean and scale are those of the preprocessing that was cut off")
        else:
            mean, scale = [0.0] * 3, [unit] * 3
            self.user.assume(
                f"the graph normalises its input itself, and expects pixels of 0 to {255 if unit == 1 else 1}"
            )
        return list(self.user.options.get("mean") or mean), list(self.user.options.get("scale") or scale)


def normalises_as(entry: Entry, family: SsdFamily) -> bool:
    """Return whether the measured normalisation is that of a family."""
    inside = entry.inside
    unit = 1 / 255 if expects_unit_range(inside.scale, inside.offset) and not entry.takes_bytes else 1.0
    scale = inside.scale * unit
    return bool(
        np.allclose(scale, family.scale, rtol=0.02) and np.abs(-inside.offset / scale - family.mean).max() < 2
    )


def expects_unit_range(scale: NDArray[np.float64], offset: NDArray[np.float64]) -> bool:
    """Return whether pixel * scale + offset normalises pixels of 0 to 1, not of 0 to 255."""
    highest, shift = np.abs(scale).max(), np.abs(offset).max()
    return bool(highest > 1.5 or (highest > 0.5 and 0 < shift <= 1))


def rounded(numbers: NDArray[np.float64]) -> list[float]:
    """Return numbers measured in float32 with 6 significant digits."""
    return [float(f"{number:.6g}") for number in numbers]
