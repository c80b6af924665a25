"""The one value that carries boxes through the project."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False, slots=True)
class Detections:
    """What was found in one image, best first.

    Attributes:
        boxes: (N, 4) float32, x1 y1 x2 y2 in pixels of the source image.
        scores: (N,) float32 in [0, 1].
        class_ids: (N,) int32, index into the model card's labels.

    Raises:
        ValueError: The three arrays do not have these shapes.
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    class_ids: NDArray[np.int32]

    def __post_init__(self) -> None:
        count = len(self.scores)
        expected = {"boxes": (count, 4), "scores": (count,), "class_ids": (count,)}
        for name, dtype in (("boxes", np.float32), ("scores", np.float32), ("class_ids", np.int32)):
            array = np.asarray(getattr(self, name), dtype=dtype).view()
            if array.shape != expected[name]:
                raise ValueError(f"{name} has shape {array.shape}, expected {expected[name]}")
            array.setflags(write=False)
            object.__setattr__(self, name, array)

    @classmethod
    @cache
    def empty(cls) -> Detections:
        """Return the result of an image with nothing in it."""
        return cls(np.empty((0, 4), np.float32), np.empty(0, np.float32), np.empty(0, np.int32))

    def __len__(self) -> int:
        return len(self.scores)

    def __getitem__(self, index: NDArray[Any] | slice) -> Detections:
        """Return the detections that a boolean mask, an index array or a slice selects."""
        return Detections(self.boxes[index], self.scores[index], self.class_ids[index])
