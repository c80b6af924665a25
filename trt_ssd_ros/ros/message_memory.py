"""MessageMemory: memory for the messages of a subscription, used again when a message is no longer in use."""

from __future__ import annotations

import mmap
from typing import Any
from weakref import ref

import numpy as np
from numpy.typing import NDArray

MAX_BLOCKS = 4
"""Most blocks that are kept: for the message that is taken, that in the engine, and those that outputs hold."""
ROOM = 1.25
"""Size of a block, relative to the message that it is made for: compressed images differ in size."""


class MessageMemory:
    """Memory for messages of any size, in at most MAX_BLOCKS blocks that are used again.

    A block is a memory map: whole pages that hold nothing else, which an engine may lock where they are.
    """

    def __init__(self) -> None:
        self._blocks: list[_Block] = []

    def borrow(self, size: int) -> NDArray[np.uint8]:
        """Return at least `size` bytes; they are lent again once nothing refers to the returned array.

        Args:
            size: Number of bytes, at least 1.

        Raises:
            MemoryError: The memory is out.
        """
        free = [block for block in self._blocks if block.is_free]
        block = next((block for block in free if block.size >= size), None)
        if block is None:
            if len(self._blocks) == MAX_BLOCKS:
                if not free:
                    return np.empty(size, np.uint8)
                self._blocks.remove(free[0])
            block = _Block(int(ROOM * size))
            self._blocks.append(block)
        return block.lend()


class _Block:
    def __init__(self, size: int) -> None:
        self.size = size
        try:
            self._map = mmap.mmap(-1, size)
        except OSError as error:
            raise MemoryError(f"{size} bytes: {error.strerror}") from error
        self._lent: ref[Any] | None = None

    @property
    def is_free(self) -> bool:
        return self._lent is None or self._lent() is None

    def lend(self) -> NDArray[np.uint8]:
        # Not a view of an array that the block keeps: NumPy lets arrays in a view refer to the viewed array.
        memory = np.frombuffer(self._map, np.uint8)
        self._lent = ref(memory)
        return memory
