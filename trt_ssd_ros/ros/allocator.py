"""Keep glibc from giving image buffers back to the kernel after every message.

By default glibc maps each large block afresh and unmaps it when freed, so every image message pays for the page
faults of its whole buffer. Keeping freed blocks took a 1280x720 subscriber from 5.2 to 1.9 ms of CPU per frame
(see docs/architecture.md).
"""

from __future__ import annotations

import ctypes
import os

ALLOCATOR_SWITCH = "TRT_SSD_ALLOCATOR"
"""Set this environment variable to 0 to leave the allocator alone."""

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3  # malloc.h
_MEBIBYTE = 1 << 20
_SETTINGS = {
    _M_MMAP_THRESHOLD: 256 * _MEBIBYTE,
    _M_TRIM_THRESHOLD: 1024 * _MEBIBYTE,
    _M_TOP_PAD: 64 * _MEBIBYTE,
}


def keep_freed_blocks() -> bool:
    """Tell glibc to keep freed blocks from now on, unless the user has set the allocator up or it is not glibc.

    What was freed before is given back first, so call it once the large temporaries of the start are gone.

    Returns:
        Whether the setting was made.
    """
    tuned_by_user = "glibc.malloc" in os.environ.get("GLIBC_TUNABLES", "") or any(
        name.startswith("MALLOC_") for name in os.environ
    )
    if os.environ.get(ALLOCATOR_SWITCH) == "0" or tuned_by_user or "LD_PRELOAD" in os.environ:
        return False
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "mallopt") or not hasattr(libc, "malloc_trim"):
        return False
    libc.malloc_trim(0)
    return all(libc.mallopt(option, value) for option, value in _SETTINGS.items())
