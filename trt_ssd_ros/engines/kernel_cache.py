"""KernelCache: kernels that TensorRT for RTX compiles when it opens a plan, stored for the next start."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from pathlib import Path

from trt_ssd_ros.files import write_atomically

LOGGER = logging.getLogger(__name__)
DIGEST_BYTES = 32
FORMAT = b"2"
Shapes = Mapping[str, tuple[int, ...]]


class KernelCache:
    """File of compiled kernels and their input shapes, checked by a SHA-256.

    Args:
        path: Path of the file, which need not exist.
        plan: Serialised plan of the kernels; kernels of another plan are not loaded.
    """

    def __init__(self, path: Path, plan: bytes) -> None:
        self._path = path
        self._plan = hashlib.sha256(plan).digest()
        self._shapes: list[str] = []

    def load(self) -> bytes:
        """Return the kernels; empty if the file is missing, damaged or of another plan."""
        try:
            content = self._path.read_bytes()
        except OSError:
            return b""
        digest, kept = content[:DIGEST_BYTES], content[DIGEST_BYTES:]
        if self._digest(kept) != digest:
            LOGGER.warning("the cached kernels are damaged or of another plan: recompiling them (%s)", self._path)
            return b""
        shapes, _, kernels = kept.partition(b"\n")
        self._shapes = json.loads(shapes)
        return kernels

    def clear(self) -> None:
        """Discard the loaded shapes, because TensorRT rejects the kernels."""
        self._shapes = []

    def holds(self, shapes: Shapes) -> bool:
        """Return whether kernels for these input shapes were loaded, or `save` was called for them."""
        return _as_text(shapes) in self._shapes

    def save(self, kernels: bytes, shapes: Shapes) -> None:
        """Store the kernels, which now include those for these input shapes."""
        self._shapes.append(_as_text(shapes))
        kept = json.dumps(self._shapes).encode() + b"\n" + kernels
        try:
            write_atomically(self._path, self._digest(kept) + kept)
        except OSError as error:
            LOGGER.warning(
                "cannot store compiled kernels (%s: %s): the next start recompiles them",
                self._path,
                error.strerror,
            )

    def _digest(self, kept: bytes) -> bytes:
        return hashlib.sha256(FORMAT + self._plan + kept).digest()


def _as_text(shapes: Shapes) -> str:
    return " ".join(f"{name}{list(shape)}" for name, shape in sorted(shapes.items()))
