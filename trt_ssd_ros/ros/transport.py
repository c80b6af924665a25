"""Transport of images: shared memory of Fast DDS, allocator of glibc, quality of service.

The default segment of Fast DDS (512 kB) is smaller than one 640x480 frame, so large images go through loopback UDP
and are lost in bursts; the profile is config/fastdds_large_images.xml. By default glibc maps each large block and
unmaps it when it is freed, so every image message causes page faults for its whole buffer. If glibc keeps freed
blocks, a 1280x720 subscriber needs 1.9 instead of 5.2 ms of CPU per frame (docs/architecture.md).
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rclpy.qos import QoSProfile, QoSReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions

PROFILE_SWITCH = "TRT_SSD_DDS_PROFILE"
"""Environment variable; 0 leaves the configuration of Fast DDS unchanged."""

PROFILE_VARIABLES = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")
"""Environment variables of Fast DDS 2 (Humble, Jazzy) and Fast DDS 3 (Kilted)."""

_PROFILE_FILES = ("DEFAULT_FASTRTPS_PROFILES.xml", "DEFAULT_FASTDDS_PROFILES.xml")
_SEGMENT_BYTES = 64 << 20


def profile_environment(profile: Path, shared_memory: Path = Path("/dev/shm")) -> Mapping[str, str]:  # noqa: S108
    """Return the environment variables that select the profile; empty if the user has configured Fast DDS.

    Also empty if the user selects another middleware, or sets ROS_LOCALHOST_ONLY=1, which Humble cannot apply to
    the profile's transports. Also empty if the shared memory is too small for the segment, as in a container with
    the default 64 MB: Fast DDS would start without any shared memory.
    """
    chosen = (*PROFILE_VARIABLES, "FASTDDS_BUILTIN_TRANSPORTS")
    if os.environ.get(PROFILE_SWITCH) == "0" or any(name in os.environ for name in chosen):
        return {}
    if os.environ.get("ROS_LOCALHOST_ONLY") == "1":
        return {}
    if any(Path(name).exists() for name in _PROFILE_FILES):
        return {}
    if os.environ.get("RMW_IMPLEMENTATION", "rmw_fastrtps_cpp") not in (
        "rmw_fastrtps_cpp",
        "rmw_fastrtps_dynamic_cpp",
    ):
        return {}
    if not shared_memory.is_dir() or _free_bytes(shared_memory) < 2 * _SEGMENT_BYTES:
        return {}
    return {name: str(profile) for name in PROFILE_VARIABLES}


def _free_bytes(folder: Path) -> int:
    status = os.statvfs(folder)
    return status.f_bavail * status.f_frsize


ALLOCATOR_SWITCH = "TRT_SSD_ALLOCATOR"
"""Environment variable; 0 leaves the allocator unchanged."""

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3  # malloc.h
_MEBIBYTE = 1 << 20
_SETTINGS = {
    _M_MMAP_THRESHOLD: 256 * _MEBIBYTE,
    _M_TRIM_THRESHOLD: 1024 * _MEBIBYTE,
    _M_TOP_PAD: 64 * _MEBIBYTE,
}


def keep_freed_blocks() -> bool:
    """Let glibc keep freed blocks from now on, unless the user has configured the allocator, or libc is not glibc.

    Call it after the start has freed its large temporary blocks: it returns all memory that is free by then.

    Returns:
        Whether the allocator was changed.
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


DEMAND_PERIOD = 0.2
"""Seconds between two checks whether a topic has subscribers; rclpy of Humble has no event for it."""

RESULTS = QoSProfile(depth=10, reliability=QoSReliabilityPolicy.RELIABLE)
"""Reliable, so that rviz2, rqt and Foxglove get results."""

OVERRIDABLE = QoSOverridingOptions.with_default_policies()
"""Policies that `qos_overrides.*` parameters may change: history, depth and reliability."""


def newest_image() -> QoSProfile:
    """Return a new profile that matches every camera and keeps only the newest image.

    It is a function because rclpy writes overrides into a profile.
    """
    return QoSProfile(depth=1, reliability=QoSReliabilityPolicy.BEST_EFFORT)


def transport_topic(topic: str, transport: str) -> str:
    """Return the topic of a transport, named as by image_transport."""
    return topic if transport == "raw" or topic.endswith(f"/{transport}") else f"{topic}/{transport}"


def without_events() -> Any:
    """Return event callbacks that disable all events of a subscription, including rclpy's defaults.

    Up to rclpy 7.1.11, EventsExecutor raises InvalidHandle if an event is pending for a subscription that is
    destroyed at the same moment. Humble has no EventsExecutor; there the function returns None.
    """
    try:
        from rclpy.event_handler import SubscriptionEventCallbacks  # noqa: PLC0415 - not in Humble
    except ImportError:
        return None
    return SubscriptionEventCallbacks(use_default_callbacks=False)
