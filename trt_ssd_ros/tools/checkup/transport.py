"""What carries large images: shared memory, kernel buffers, and the processor's clock.

Source of the kernel's numbers: https://docs.ros.org/en/jazzy/How-To-Guides/DDS-tuning.html
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from trt_ssd_ros.tools.checkup.finding import Finding, verdict
from trt_ssd_ros.tools.doctor.machine import Machine

SHARED_MEMORY_MIB = 128
RECEIVE_BUFFER = 10 << 20
"""Cyclone DDS's recommendation for large messages."""
FRAGMENTS = 128 << 20
FOLLOW_THE_LOAD = ("intel_pstate", "amd-pstate-epp")
OTHER_MACHINES = "images from other machines get lost; those of this one go through shared memory"


def transport_findings(machine: Machine) -> Iterator[Finding]:
    """Look at what images go through."""
    yield from _shared_memory(machine)
    for topic, name, least, value in (
        ("socket buffer", "net.core.rmem_max", RECEIVE_BUFFER, 2**31 - 1),
        ("IP fragments", "net.ipv4.ipfrag_high_thresh", FRAGMENTS, FRAGMENTS),
    ):
        found = machine.read(f"/proc/sys/{name.replace('.', '/')}")
        if found is not None:
            remedy = f"sudo sysctl -w {name}={value}"
            yield verdict(topic, int(found) >= least, f"{name} = {found}", OTHER_MACHINES, remedy)
    if machine.environment.get("ROS_LOCALHOST_ONLY") == "1":
        cost = "Fast DDS sends images over loopback UDP and loses some: our profile stands back"
        yield Finding("local host only", "WARN", "ROS_LOCALHOST_ONLY=1", cost, "unset ROS_LOCALHOST_ONLY")
    yield from _governor(machine)


def _governor(machine: Machine) -> Iterator[Finding]:
    """Under drivers of their own, "powersave" follows the load (Linux, admin-guide/pm/intel_pstate.rst)."""
    folder = "/sys/devices/system/cpu/cpu0/cpufreq"
    governor, driver = (machine.read(f"{folder}/scaling_{name}") for name in ("governor", "driver"))
    if governor is not None:
        slow = governor == "powersave" and driver not in FOLLOW_THE_LOAD
        remedy = "sudo cpupower frequency-set -g performance"
        yield verdict("CPU governor", not slow, governor, "the processor runs at its lowest clock", remedy)


def _shared_memory(machine: Machine) -> Iterator[Finding]:
    folder = machine.root / "dev/shm"
    if not folder.is_dir():
        return
    status = os.statvfs(folder)
    free = status.f_bavail * status.f_frsize >> 20
    cost = "Fast DDS gets no shared-memory segment for images, and loses some"
    remedy = "in a container: --shm-size=512m or --ipc=host; else: rm /dev/shm/fastrtps_* of ended processes"
    yield verdict("shared memory", free >= SHARED_MEMORY_MIB, f"{free} MiB free in /dev/shm", cost, remedy)
