"""LockedPages: memory of the caller's images, page-locked where it is, so that the GPU reads it without a copy."""

from __future__ import annotations

import ctypes
import logging
import sys
from collections import OrderedDict
from mmap import mmap
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trt_ssd_ros.engines.cuda import CudaDevice

LOGGER = logging.getLogger(__name__)
MAX_MAPS = 64
"""Most memory maps that are locked at once: those of `MessageMemory` for 16 cameras; the oldest is unlocked."""

OWN_REFERENCES = 2
"""References to a map that nothing else refers to, while they are counted: the attribute and the argument."""


class LockedPages:
    """Page-locked memory maps.

    Only memory maps are locked, because they are whole pages that hold nothing else. A map is locked when an image
    in it first comes, and kept alive until it is unlocked. Maps that nothing else refers to are unlocked when
    another one comes: a camera takes new ones each time it is opened.

    Args:
        device: GPU that reads the images; its context must be bound here and in all methods.
    """

    def __init__(self, device: CudaDevice) -> None:
        self._integrated = device.gpu.integrated
        self._maps: OrderedDict[int, _LockedMap] = OrderedDict()

    def hold(self, image: NDArray[Any]) -> bool:
        """Return whether an array is contiguous and lies in a locked map; if it lies in another map, lock it.

        On a GPU that shares its memory with the CPU no map is locked, because nothing is uploaded.
        """
        pages = None if self._integrated or not image.flags.c_contiguous else _map_of(image)
        if pages is None:
            return False
        if id(pages) not in self._maps:
            for key in [key for key, locked in self._maps.items() if locked.is_abandoned]:
                self._maps.pop(key).close()
            if len(self._maps) == MAX_MAPS:
                self._maps.popitem(last=False)[1].close()
            self._maps[id(pages)] = _LockedMap(pages)
        self._maps.move_to_end(id(pages))
        return self._maps[id(pages)].is_locked

    def close(self) -> None:
        """Unlock all maps; further calls do nothing."""
        while self._maps:
            self._maps.popitem()[1].close()


def _map_of(image: NDArray[Any]) -> mmap | None:
    """Return the memory map that holds an array; None if other memory does."""
    owner: Any = image
    while owner is not None and not isinstance(owner, mmap):
        owner = owner.obj if isinstance(owner, memoryview) else getattr(owner, "base", None)
    return owner


class _LockedMap:
    """Memory map that is page-locked, unless the driver refuses, as it does for a file that is read-only.

    It calls the driver library, because pycuda's `register_host_memory` fails with NumPy 2 (SystemError).
    """

    def __init__(self, pages: mmap) -> None:
        self._driver = ctypes.CDLL("libcuda.so.1")
        self._pages = pages
        self._address = ctypes.c_void_p(np.frombuffer(pages, np.uint8).ctypes.data)
        status = self._driver.cuMemHostRegister_v2(self._address, ctypes.c_size_t(len(pages)), 0)
        self.is_locked: bool = status == 0
        if status:
            LOGGER.info(
                "copying images to page-locked memory: the driver cannot lock theirs (CUDA error %d)", status
            )

    @property
    def is_abandoned(self) -> bool:
        """Whether nothing else refers to the map."""
        # A weak reference would not do: a map is unmapped before its weak references are told.
        return sys.getrefcount(self._pages) <= OWN_REFERENCES

    def close(self) -> None:
        """Unlock the map; the GPU must be done with it."""
        if self.is_locked:
            self._driver.cuMemHostUnregister(self._address)
