"""Unpack a ROS 2 from an isaacsim-ros2 wheel, without the parts that this project never uses.

    python unpack_ros.py WHEEL FOLDER jazzy|humble

The wheel's whole Jazzy takes 300 MB; nodes, launch, the command line and both DDS layers take a third.
"""

import ctypes
import re
import shutil
import sys
import zipfile
from pathlib import Path

ROOT = "isaacsim/exts/isaacsim.ros2.core/"

# Packages and libraries of robots, simulators, controllers and C++ nodes, and pytest plugins of linters.
UNUSED = re.compile(
    r"(rclpy|lib|share|share/ament_index/resource_index/\w+)/[^/]*"
    r"(ackermann|benchmark|broadcaster|control|geographic|gravity|gz_|gz-|hardware_interface|isaac_ros|joint_"
    r"|kdl|libcomponent_|libmock_|librclcpp|libtf2_ros|nav2|orocos|pal_stat|robot_state|sdformat"
    r"|simulation_interfaces|stereo|test_msgs|trajectory|urdf|wrench"
    r"|ament_(cmake|copyright|cpp|flake8|lint|mypy|pep257|pycodestyle|uncrustify|xmllint))"
)
BUILD_TIME = re.compile(r".*(/(cmake|pkgconfig|ruby|rust)/|\.(idl|json)$)")
# Part of Humble, but missing from the wheel's Humble: Python only, so Jazzy's copy works.
LENT_BY_JAZZY = re.compile(r"jazzy/(rclpy|share|share/ament_index/resource_index/\w+)/diagnostic_updater")
# The wheel's OpenSSL would replace the system's in git, ssh and curl.
OPENSSL = re.compile(r"lib/lib(crypto|ssl)\.so")


def system_has_openssl() -> bool:
    """Return whether the system has OpenSSL 3."""
    try:
        ctypes.CDLL("libcrypto.so.3"), ctypes.CDLL("libssl.so.3")
    except OSError:
        return False
    return True


def unpack(wheel: Path, folder: Path, distro: str) -> None:
    """Extract the used part of a ROS 2 from the wheel into a folder; zipfile checks every CRC."""
    skipped = [UNUSED, BUILD_TIME, *([OPENSSL] if system_has_openssl() else [])]
    with zipfile.ZipFile(wheel) as archive:
        for item in archive.infolist():
            path = item.filename.removeprefix(ROOT)
            if item.is_dir() or not (path.startswith(f"{distro}/") or LENT_BY_JAZZY.match(path)):
                continue
            name = path.partition("/")[2]
            if any(pattern.match(name) for pattern in skipped):
                continue
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(item) as source, target.open("wb") as sink:
                shutil.copyfileobj(source, sink)


if __name__ == "__main__":
    unpack(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
