"""InferenceEngine: the protocol of everything that runs a detector's graph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Tensors = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class TensorSpec:
    """Type and shape of one tensor; text in the shape names a dynamic dimension."""

    dtype: np.dtype[Any]
    shape: tuple[int | str, ...]

    def accepts(self, array: NDArray[Any]) -> bool:
        """Tell whether an array has this type and shape."""
        return (
            array.dtype == self.dtype
            and array.ndim == len(self.shape)
            and all(isinstance(d, str) or d == size for d, size in zip(self.shape, array.shape, strict=True))
        )


class InferenceEngine(Protocol):
    """Runs one graph: named tensors in, named tensors out. Used and closed by one thread only."""

    @property
    def name(self) -> str:
        """Runtime, version and device, for people."""

    @property
    def kind(self) -> str:
        """Backend that the engine belongs to: a key of `engines.backend.REGISTRY`."""

    @property
    def precision(self) -> str:
        """Precision of the network's arithmetic: `fp32`, `fp16` or `int8`."""

    @property
    def inputs(self) -> Mapping[str, TensorSpec]:
        """Type and shape of each tensor that `run` takes."""

    def run(self, inputs: Tensors) -> Tensors:
        """Run the graph once.

        Args:
            inputs: One array for each of `inputs`; they may be strided views.

        Returns:
            The graph's outputs, valid until the next call.

        Raises:
            ValueError: An input is missing, unknown, or of the wrong type or shape.
        """

    def memory_used(self) -> int | None:
        """Return the bytes in use on the engine's GPU by all processes; None if the engine runs on the CPU.

        Raises:
            RuntimeError: The GPU failed.
        """

    def close(self) -> None:
        """Give back memory and device; further calls do nothing."""


def check_inputs(specs: Mapping[str, TensorSpec], inputs: Tensors) -> None:
    """Check arrays against what an engine takes.

    Raises:
        ValueError: Names the tensor, what was found and what was expected.
    """
    if inputs.keys() != specs.keys():
        raise ValueError(f"inputs: found {sorted(inputs)}, expected {sorted(specs)}")
    for name, spec in specs.items():
        array = inputs[name]
        if not spec.accepts(array):
            raise ValueError(
                f"input {name}: found {array.dtype} {list(array.shape)}, expected {spec.dtype} {list(spec.shape)}"
            )
