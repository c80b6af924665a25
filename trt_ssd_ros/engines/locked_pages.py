"""LockedPages: memory of the caller's images, page-locked where it is, so that the GPU reads it without a copy."""

from __future__ import annotations

import logging
from collections import OrderedDict
from mmap import mmap
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trt_ssd_ros.engines.cuda import CudaDevice, load_pycuda

LOGGER = logging.getLogger(__name__)
MAX_MAPS = 4
"""Most memory maps that are locked at once, as many as `MessageMemory` has blocks; the oldest is unlocked."""


class LockedPages:
    """Page-locked memory maps.

    Only memory maps are locked, because they are whole pages that hold nothing else. A map is locked when an image
    in it first comes, and kept alive until it is unlocked.

    Args:
        device: GPU that reads the images; its context must be bound here and in all methods.
    """

    def __init__(self, device: CudaDevice) -> None:
        self._integrated = device.gpu.integrated
        self._maps: OrderedDict[int, tuple[mmap, Any]] = OrderedDict()

    def hold(self, image: NDArray[Any]) -> bool:
        """Return whether an array is contiguous and lies in a locked map; if it lies in another map, lock it.

        On a GPU that shares its memory with the CPU no map is locked, because nothing is uploaded.
        """
        pages = None if self._integrated or not image.flags.c_contiguous else _map_of(image)
        if pages is None:
            return False
        if id(pages) not in self._maps:
            if len(self._maps) == MAX_MAPS:
                _unlock(*self._maps.popitem(last=False)[1])
            self._maps[id(pages)] = pages, _lock(pages)
        self._maps.move_to_end(id(pages))
        return self._maps[id(pages)][1] is not None

    def close(self) -> None:
        """Unlock all maps; further calls do nothing."""
        while self._maps:
            _unlock(*self._maps.popitem()[1])


def _map_of(image: NDArray[Any]) -> mmap | None:
    """Return the memory map that holds an array; None if other memory does."""
    owner: Any = image
    while owner is not None and not isinstance(owner, mmap):
        owner = owner.obj if isinstance(owner, memoryview) else getattr(owner, "base", None)
    return owner


def _lock(pages: mmap) -> Any:
    """Lock a map, and return pycuda's array of it; None if the driver refuses, as for a file that is read-only."""
    cuda = load_pycuda()
    try:
        return cuda.register_host_memory(np.frombuffer(pages, np.uint8))
    except cuda.Error as error:
        LOGGER.info("copying images to page-locked memory, because the driver cannot lock theirs: %s", error)
        return None


def _unlock(_: mmap, locked: Any) -> None:
    if locked is not None:
        locked.base.unregister()
