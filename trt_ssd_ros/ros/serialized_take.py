"""SerializedTake: takes the serialised messages of a subscription without Python's global lock.

rclpy's `take_message` holds the lock while the middleware copies a message, and copies an image twice more to make
a Python object. Here rcl is called through ctypes, which releases the lock, and writes into the memory that the
caller gets.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trt_ssd_ros.ros.message_memory import MessageMemory

TAKE_FAILED = 401
"""RCL_RET_SUBSCRIPTION_TAKE_FAILED: there is no message."""
NUMBERS_SUPPORTED = 0
"""RMW_FEATURE_MESSAGE_INFO_PUBLICATION_SEQUENCE_NUMBER."""
NO_NUMBER = 2**64 - 1
"""RMW_MESSAGE_INFO_SEQUENCE_NUMBER_UNSUPPORTED."""
NOTHING = np.empty(0, np.uint8)

_Reallocate = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p)
_Deallocate = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)


class _Allocator(ctypes.Structure):
    """rcutils_allocator_t."""

    _fields_ = (
        ("allocate", ctypes.c_void_p),
        ("deallocate", _Deallocate),
        ("reallocate", _Reallocate),
        ("zero_allocate", ctypes.c_void_p),
        ("state", ctypes.c_void_p),
    )


class _SerializedMessage(ctypes.Structure):
    """rcutils_uint8_array_t, also called rmw_serialized_message_t."""

    _fields_ = (
        ("buffer", ctypes.c_void_p),
        ("length", ctypes.c_size_t),
        ("capacity", ctypes.c_size_t),
        ("allocator", _Allocator),
    )


class _MessageInfo(ctypes.Structure):
    """rmw_message_info_t: its first fields, and room for the others, which differ between ROS 2 releases."""

    _fields_ = (
        ("source_timestamp", ctypes.c_int64),
        ("received_timestamp", ctypes.c_int64),
        ("publication_sequence_number", ctypes.c_uint64),
        ("others", ctypes.c_byte * 256),
    )


class _ErrorText(ctypes.Structure):
    """rcutils_error_string_t."""

    _fields_ = (("text", ctypes.c_char * 1024),)


@dataclass(frozen=True, slots=True)
class SerializedMessage:
    """Message that was taken.

    Attributes:
        content: Serialised message with its encapsulation header, in memory of its own.
        number: Sequence number that its publisher gave it; None if the middleware has none.
    """

    content: memoryview
    number: int | None


class SerializedTake:
    """Takes the messages of one subscription.

    Args:
        handle: Handle of the subscription; the caller holds it during `__call__`.
    """

    def __init__(self, handle: Any) -> None:
        self._handle = handle
        self._target = _Target()
        self._expected = 0
        self._message = _SerializedMessage(allocator=_library("rcutils").rcutils_get_default_allocator())
        self._message.allocator.reallocate = _Reallocate(self._target.grow)
        self._message.allocator.deallocate = _Deallocate(_kept)
        self._info = _MessageInfo()
        self._results = ctypes.byref(self._message), ctypes.byref(self._info), None
        self._take = _library("rcl").rcl_take_serialized_message

    def __call__(self) -> SerializedMessage | None:
        """Take the next message; None if there is none.

        Raises:
            RuntimeError: rcl or the middleware failed, or the memory is out; the message is lost.
        """
        self._message.buffer, self._message.capacity = self._target.prepare(self._expected)
        code = self._take(self._handle.pointer, *self._results)
        memory = self._target.release()
        if code == TAKE_FAILED:
            return None
        if code:
            raise RuntimeError(_last_error(code))
        self._expected = self._message.length  # images of a camera have one size, so none is copied to grow
        number = self._info.publication_sequence_number
        content = memoryview(memory)[: self._message.length]
        return SerializedMessage(content, None if number == NO_NUMBER or not _has_numbers() else number)


class _Target:
    """Memory that the next message is taken into.

    It does not know the structure that refers to `grow`, so that both are freed without the garbage collector.
    """

    def __init__(self) -> None:
        self._reserve = MessageMemory()
        self._memory = NOTHING

    def prepare(self, size: int) -> tuple[int, int]:
        """Borrow memory for this many bytes, and return its address and size; none if the memory is out."""
        try:
            self._memory = self._reserve.borrow(size) if size else NOTHING
        except MemoryError:
            self._memory = NOTHING  # `grow` fails, too, and rcl reports it
        return self._memory.ctypes.data, self._memory.nbytes

    def grow(self, _: int | None, size: int, __: int | None) -> int | None:
        """Return the address of `size` bytes that begin with the present content; None if the memory is out."""
        if size > self._memory.nbytes:
            try:
                grown = self._reserve.borrow(size)
            except MemoryError:
                return None
            grown[: self._memory.nbytes] = self._memory
            self._memory = grown
        return self._memory.ctypes.data

    def release(self) -> NDArray[np.uint8]:
        """Return the memory to the caller, who alone refers to it from now on."""
        memory, self._memory = self._memory, NOTHING
        return memory


def _kept(_: int | None, __: int | None) -> None:
    """Free nothing: NumPy owns the memory, also after a failed reallocation."""


@cache
def _library(name: str) -> ctypes.CDLL:
    """Return a library of ROS, which rclpy has loaded."""
    library = ctypes.CDLL(f"lib{name}.so")
    if name == "rcl":
        library.rcl_take_serialized_message.argtypes = [ctypes.c_void_p] * 4
    if name == "rmw_implementation":
        library.rmw_feature_supported.restype = ctypes.c_bool
    if name == "rcutils":
        library.rcutils_get_default_allocator.restype = _Allocator
        library.rcutils_get_error_string.restype = _ErrorText
    return library


@cache
def _has_numbers() -> bool:
    """Return whether message infos of this middleware have sequence numbers."""
    return bool(_library("rmw_implementation").rmw_feature_supported(NUMBERS_SUPPORTED))


def _last_error(code: int) -> str:
    """Return the text of this thread's error, and reset it."""
    rcutils = _library("rcutils")
    text = rcutils.rcutils_get_error_string().text.decode(errors="replace")
    rcutils.rcutils_reset_error()
    return f"rcl_take_serialized_message returned {code}: {text}"
