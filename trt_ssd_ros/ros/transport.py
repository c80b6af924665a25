"""Give Fast DDS a shared-memory segment that holds whole images.

Its default segment of 512 kB is smaller than one 640x480 frame, so large images go through loopback UDP and are
lost in bursts. The profile is config/fastdds_large_images.xml.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

PROFILE_SWITCH = "TRT_SSD_DDS_PROFILE"
"""Set this environment variable to 0 to leave Fast DDS alone."""

PROFILE_VARIABLES = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")
"""Read by Fast DDS 2 (Humble, Jazzy) and Fast DDS 3 (Kilted)."""

_PROFILE_FILES = ("DEFAULT_FASTRTPS_PROFILES.xml", "DEFAULT_FASTDDS_PROFILES.xml")
_SEGMENT_BYTES = 64 << 20


def profile_environment(profile: Path, shared_memory: Path = Path("/dev/shm")) -> Mapping[str, str]:  # noqa: S108
    """Return the environment variables that select the profile; none where the user has chosen otherwise.

    None as well where another middleware is chosen; where ROS_LOCALHOST_ONLY=1, which Humble could not apply to
    the profile's transports; and where the shared memory is too small for the segment (as in a container with the
    default 64 MB), since Fast DDS would start without any shared memory.
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
