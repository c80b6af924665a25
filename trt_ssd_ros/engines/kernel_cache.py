"""KernelCache: the kernels that TensorRT for RTX compiles when a plan is opened, kept for the next start."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from pathlib import Path

from trt_ssd_ros.files import write_whole

LOGGER = logging.getLogger(__name__)
DIGEST_BYTES = 32
FORMAT = b"2"
Shapes = Mapping[str, tuple[int, ...]]


class KernelCache:
    """A file that holds compiled kernels and the shapes that they are for, behind a SHA-256.

    Args:
        path: Where; need not exist.
        plan: The plan that they belong to; those of another are not returned.
    """

    def __init__(self, path: Path, plan: bytes) -> None:
        self._path = path
        self._plan = hashlib.sha256(plan).digest()
        self._shapes: list[str] = []

    def load(self) -> bytes:
        """Return the kernels, or nothing where there are none or the file is damaged."""
        try:
            content = self._path.read_bytes()
        except OSError:
            return b""
        digest, kept = content[:DIGEST_BYTES], content[DIGEST_BYTES:]
        if self._digest(kept) != digest:
            LOGGER.warning(
                "the kept kernels are damaged, or of another plan: compiling them again (%s)", self._path
            )
            return b""
        shapes, _, kernels = kept.partition(b"\n")
        self._shapes = json.loads(shapes)
        return kernels

    def forget(self) -> None:
        """Take what was loaded for useless."""
        self._shapes = []

    def holds(self, shapes: Shapes) -> bool:
        """Tell whether the kernels for inputs of these shapes are kept, or cannot be."""
        return _as_text(shapes) in self._shapes

    def save(self, kernels: bytes, shapes: Shapes) -> None:
        """Keep the kernels, now that there are those for inputs of these shapes among them."""
        self._shapes.append(_as_text(shapes))
        kept = json.dumps(self._shapes).encode() + b"\n" + kernels
        try:
            write_whole(self._path, self._digest(kept) + kept)
        except OSError as error:
            LOGGER.warning(
                "compiled kernels are not kept (%s: %s): the next start compiles again", self._path, error.strerror
            )

    def _digest(self, kept: bytes) -> bytes:
        return hashlib.sha256(FORMAT + self._plan + kept).digest()


def _as_text(shapes: Shapes) -> str:
    return " ".join(f"{name}{list(shape)}" for name, shape in sorted(shapes.items()))
