"""Draft of a model card's section on the input, and the interview of the user that all drafts share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trt_ssd_ros.tools.import_model.entry import Entry
from trt_ssd_ros.tools.import_model.families import IMAGENET_MEAN, SsdFamily

Ask = Callable[[str, str, Sequence[str]], str]
"""Asks for something that the graph does not tell: the flag that says it, a question, and the choices if any."""


@dataclass
class Interview:
    """Statements of the user, questions where neither the graph nor the family tells, and notes of assumptions.

    Attributes:
        stated: What the user stated, by flag.
        ask: How to ask for more.
        notes: What was assumed, for people.
    """

    stated: Mapping[str, Any]
    ask: Ask
    notes: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        """Say what was assumed."""
        self.notes.append(text)


Document = dict[str, Any]

NEAR_MEAN = 8
"""Difference of 255 up to which a mean is ImageNet's, as which Caffe's and torchvision's SSDs round it."""


@dataclass
class InputDraft:
    """Section on the input in the making: from the user's statements first, then the graph, then the family.

    Attributes:
        entry: Where pixels enter the network.
        family: Of the network.
        interview: What the user states, is asked and is told.
    """

    entry: Entry
    family: SsdFamily
    interview: Interview

    def document(self) -> Document:
        """Return the section on the input."""
        entry, order = self.entry, self.channel_order()
        mean, scale = self.normalisation(order)
        height, width = entry.size
        taken = {"mean": "mean", "scale": "scale", "channel_order": order}
        assumed = [what for flag, what in taken.items() if flag not in self.interview.stated]
        if self.is_family_s and assumed:
            self.interview.note(f"{', '.join(assumed)}: as in its family")
        return {
            "tensor": entry.tensor,
            "layout": entry.layout,
            "height": height,
            "width": width,
            "channel_order": order,
            "mean": mean,
            "scale": scale,
            **({"resize": entry.resize} if entry.resize != "half_pixel" else {}),
        }

    @property
    def is_family_s(self) -> bool:
        """Whether only the family tells how pixels are normalised."""
        return self.entry.inside.is_nothing and not self.entry.takes_bytes

    def channel_order(self) -> str:
        """Return the order of channels where pixels are to enter; what is stated is the network's own."""
        entry, stated = self.entry, self.interview.stated.get("channel_order")
        if not entry.inside.swaps:
            return str(stated or self.order_of_mean() or self.family_order())
        question = "the network swaps red and blue before its first convolution; which order has its own input"
        order = stated or self.interview.ask("channel_order", question, ("rgb", "bgr"))
        return {"rgb": "bgr", "bgr": "rgb"}[order] if entry.is_cut else order

    def order_of_mean(self) -> str | None:
        """Return the order of channels that ImageNet's mean has where the graph subtracts it, else None."""
        inside = self.entry.inside
        mean = -inside.offset / inside.scale
        mean = mean * 255 if np.abs(mean).max() <= 1 else mean
        for order, known in (("rgb", IMAGENET_MEAN), ("bgr", IMAGENET_MEAN[::-1])):
            if np.abs(mean - known).max() < NEAR_MEAN:
                self.interview.note(f"channels are {order}, the order of the mean that the graph subtracts")
                return order
        return None

    def family_order(self) -> str:
        """Return the family's order of channels; of no family, a guess that is said."""
        order = self.family.channel_order
        if self.family.is_any:
            self.interview.note(f"channels are {order}, which nothing tells: else give --channel-order")
        return order

    def normalisation(self, order: str) -> tuple[list[float], list[float]]:
        """Return mean and scale: stated, or measured in what was cut off, or the family's."""
        inside = self.entry.inside
        unit = 1 / 255 if takes_unit(inside.scale, inside.offset) and not self.entry.takes_bytes else 1.0
        if self.is_family_s:
            step = 1 if order == self.family.channel_order else -1
            mean, scale = list(self.family.mean[::step]), list(self.family.scale[::step])
        elif self.entry.is_cut:
            scale = short(inside.scale * unit)
            mean = short(-inside.offset / (inside.scale * unit))
            self.interview.note("mean and scale are those of what was cut off in front of the network")
        else:
            mean, scale = [0.0] * 3, [unit] * 3
            self.interview.note(
                f"the graph normalises its input itself; it is taken to expect 0 to {255 if unit == 1 else 1}"
            )
        return list(self.interview.stated.get("mean") or mean), list(self.interview.stated.get("scale") or scale)


def normalises_as(entry: Entry, family: SsdFamily) -> bool:
    """Tell whether what was measured in front of a network is a family's normalisation."""
    inside = entry.inside
    unit = 1 / 255 if takes_unit(inside.scale, inside.offset) and not entry.takes_bytes else 1.0
    scale = inside.scale * unit
    return bool(
        np.allclose(scale, family.scale, rtol=0.02) and np.abs(-inside.offset / scale - family.mean).max() < 2
    )


def takes_unit(scale: NDArray[np.float64], offset: NDArray[np.float64]) -> bool:
    """Tell whether pixel * scale + offset normalises pixels of 0 to 1, not of 0 to 255."""
    highest, shift = np.abs(scale).max(), np.abs(offset).max()
    return bool(highest > 1.5 or (highest > 0.5 and 0 < shift <= 1))


def short(numbers: NDArray[np.float64]) -> list[float]:
    """Return numbers that were measured in float32, without the digits that say nothing."""
    return [float(f"{number:.6g}") for number in numbers]
