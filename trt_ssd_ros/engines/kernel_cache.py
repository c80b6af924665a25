"""KernelCache: the kernels that TensorRT for RTX compiles when a plan is opened, kept for the next start."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path

from trt_ssd_ros.engines.plan_cache import write_whole

LOGGER = logging.getLogger(__name__)
DIGEST_BYTES = 32


class KernelCache:
    """A file that holds compiled kernels behind their SHA-256.

    Args:
        path: Where; need not exist.
        plan: The plan that they belong to; those of another are not returned.
    """

    def __init__(self, path: Path, plan: bytes) -> None:
        self._path = path
        self._plan = hashlib.sha256(plan).digest()
        self._kept = b""

    def load(self) -> bytes:
        """Return the kernels, or nothing where there are none or the file is damaged."""
        try:
            content = self._path.read_bytes()
        except OSError:
            return b""
        digest, kernels = content[:DIGEST_BYTES], content[DIGEST_BYTES:]
        if self._digest(kernels) != digest:
            LOGGER.warning(
                "the kept kernels are damaged, or of another plan: compiling them again (%s)", self._path
            )
            return b""
        self._kept = digest
        return kernels

    def _digest(self, kernels: bytes) -> bytes:
        return hashlib.sha256(self._plan + kernels).digest()

    def save(self, kernels: bytes) -> None:
        """Keep the kernels, if they are others than those that are kept."""
        digest = self._digest(kernels)
        if digest == self._kept:
            return
        try:
            write_whole(self._path, digest + kernels)
        except OSError as error:
            LOGGER.warning(
                "compiled kernels are not kept (%s: %s): the next start compiles again", self._path, error.strerror
            )
        self._kept = digest
