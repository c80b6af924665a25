"""InferenceEngine: protocol of the engines that run a detector's graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

Tensors = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class TensorSpec:
    """Type and shape of one tensor; text in the shape names a dynamic dimension."""

    dtype: np.dtype[Any]
    shape: tuple[int | str, ...]

    def accepts(self, array: NDArray[Any]) -> bool:
        """Return whether an array has this type and shape."""
        return (
            array.dtype == self.dtype
            and array.ndim == len(self.shape)
            and all(isinstance(d, str) or d == size for d, size in zip(self.shape, array.shape, strict=True))
        )


class EngineUnavailableError(RuntimeError):
    """Failure of an engine that may succeed with the next image, such as a server that does not answer."""


class InferenceEngine(Protocol):
    """Engine that runs one graph: named tensors in, named tensors out. One thread uses and closes it."""

    @property
    def name(self) -> str:
        """Runtime, version and device, as readable text."""

    @property
    def kind(self) -> str:
        """Backend of the engine, a key of `engines.backend.REGISTRY`."""

    @property
    def precision(self) -> str:
        """Precision of the network's arithmetic: `fp32`, `fp16` or `int8`; `unknown`: a server decides."""

    @property
    def inputs(self) -> Mapping[str, TensorSpec]:
        """Type and shape of each tensor that `run` takes."""

    def run(self, inputs: Tensors) -> Tensors:
        """Run the graph once.

        Args:
            inputs: One array per entry of the property `inputs`; strided views are allowed.

        Returns:
            The graph's outputs, valid until the next call.

        Raises:
            ValueError: An input is missing, unknown, or of the wrong type or shape.
            EngineUnavailableError: The engine cannot run now.
        """

    def memory_used(self) -> int | None:
        """Return the GPU memory in use by all processes in bytes; None if the engine runs on the CPU.

        Raises:
            RuntimeError: The GPU failed.
        """

    def close(self) -> None:
        """Free memory and device; further calls do nothing."""


IN_FLIGHT = 2
"""Most runs of an asynchronous engine that are started before the outputs of the first are fetched."""


@runtime_checkable
class AsynchronousEngine(Protocol):
    """Engine whose device works on one run while the host prepares the next."""

    def start(self, inputs: Tensors) -> Callable[[], Tensors]:
        """Start to run the graph; see `InferenceEngine.run`. All runs in flight have inputs of the same shapes.

        The inputs must not change before the run has ended.

        Returns:
            Function that waits for the run and returns the graph's outputs, valid until the next start.

        Raises:
            ValueError: An input is missing, unknown, or of the wrong type or shape.
            RuntimeError: The device failed or is out of memory, or IN_FLIGHT runs are in flight.
        """


@runtime_checkable
class DegradableEngine(Protocol):
    """Engine that may run in a worse way than chosen, and then says why."""

    @property
    def degraded(self) -> str:
        """Reason why the engine does not run as chosen; empty while it does."""


def check_inputs(specs: Mapping[str, TensorSpec], inputs: Tensors) -> None:
    """Check arrays against an engine's inputs.

    Raises:
        ValueError: An input is missing, unknown, or of the wrong type or shape.
    """
    if inputs.keys() != specs.keys():
        raise ValueError(f"inputs: found {sorted(inputs)}, expected {sorted(specs)}")
    for name, spec in specs.items():
        array = inputs[name]
        if not spec.accepts(array):
            raise ValueError(
                f"input {name}: found {array.dtype} {list(array.shape)}, expected {spec.dtype} {list(spec.shape)}"
            )
