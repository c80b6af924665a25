"""ROS 2: the distribution, the packages that the nodes import, and the middleware."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from trt_ssd_ros.tools.checkup.finding import Finding, verdict
from trt_ssd_ros.tools.doctor.machine import Machine

PACKAGES = ("rclpy", "sensor_msgs", "vision_msgs", "diagnostic_updater")
TRIED = ("humble", "jazzy")
DEFAULT_MIDDLEWARE = "rmw_fastrtps_cpp"
MIDDLEWARES = "share/ament_index/resource_index/rmw_typesupport/rmw_*"


def ros_findings(machine: Machine) -> Iterator[Finding]:
    """Look at ROS 2 as it is sourced in this shell."""
    distro = machine.environment.get("ROS_DISTRO")
    if not distro:
        cost, remedy = (
            "the nodes cannot run; the tools can",
            "source /opt/ros/<distro>/setup.bash, or scripts/setup.bash",
        )
        yield Finding("ROS 2", "WARN", "none is sourced", cost, remedy)
        return
    yield verdict(
        "ROS 2", distro in TRIED, distro, f"only {' and '.join(TRIED)} were tried", "report what you see"
    )
    for package in PACKAGES:
        answer = machine.version(package)
        remedy = f"sudo apt install ros-{distro}-{package.replace('_', '-')}"
        yield verdict(package, answer.worked, answer.text, "the nodes cannot run, or lack diagnostics", remedy)
    yield _middleware(machine)
    yield from _cv_bridge(machine)


def _middleware(machine: Machine) -> Finding:
    chosen = machine.environment.get("RMW_IMPLEMENTATION") or DEFAULT_MIDDLEWARE
    prefixes = machine.environment.get("AMENT_PREFIX_PATH", "").split(":")
    named = {path.name for prefix in prefixes if prefix for path in Path(prefix).glob(MIDDLEWARES)}
    there = sorted(named - {"rmw_implementation"})  # which only loads one of them
    found = f"{chosen}, of {', '.join(there) or 'none'}"
    if chosen in there:
        return Finding("middleware", "OK", found)
    return Finding("middleware", "FAIL", found, "no node can start", "unset RMW_IMPLEMENTATION")


def _cv_bridge(machine: Machine) -> Iterator[Finding]:
    """ROS's cv_bridge is built for NumPy 1 and crashes on NumPy 2 (vision_opencv issue 535)."""
    if machine.version("cv_bridge").worked:
        numpy = machine.version("numpy").text
        cost = "images in rare encodings, which go through it, are dropped"
        yield verdict("cv_bridge", numpy.startswith("1."), f"with NumPy {numpy}", cost, 'pip install "numpy<2"')
