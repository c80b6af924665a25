"""Checks of a Jetson: power mode, clocks, memory, desktop and DLA; no findings on other machines.

Sources: NVIDIA, Jetson Linux Developer Guide, "Platform Power and Performance" (nvpmodel, jetson_clocks).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain

from trt_ssd_ros.tools.doctor.machine import Finding, Machine, verdict

SMALL_MEMORY_MIB = 8192
DESKTOPS = ("gnome-shell", "Xorg", "lxsession", "Xwayland")
GPU_CLOCKS = tuple(f"/sys/class/devfreq/{name}" for name in ("*gpu*", "*.ga10b", "*.gv11b", "*.gp10b"))
DLA = """
from trt_ssd_ros.engines.tensorrt_library import load_tensorrt
library = load_tensorrt()
print(library.module.Builder(library.logger).num_DLA_cores)
"""


def jetson_findings(machine: Machine) -> Iterator[Finding]:
    """Check a Jetson."""
    release = machine.read("/etc/nv_tegra_release")
    if release is None:
        return
    model = machine.read("/proc/device-tree/model") or "Jetson"
    named = re.search(r"R(\d+).*REVISION: ([\d.]+)", release)
    yield Finding("Jetson", "OK", f"{model}, L4T {'.'.join(named.groups()) if named else release}")
    yield _power_mode(machine)
    yield from _clocks(machine)
    memory = _memory_mib(machine)
    yield _swap(machine, memory)
    yield _desktop(machine, memory)
    dla = machine.python(DLA)
    if dla.succeeded:
        yield Finding(
            "DLA", "OK", f"{dla.text} cores" + (" (parameter dla_core; untested)" if dla.text != "0" else "")
        )


def _power_mode(machine: Machine) -> Finding:
    mode = re.search(r"NV Power Mode: *(\S+)", machine.run("nvpmodel", "-q").text)
    if mode is None:
        return Finding(
            "power mode", "WARN", "nvpmodel reports no power mode", "clocks may be capped", "sudo nvpmodel -q"
        )
    modes = re.findall(r"POWER_MODEL +ID=(\d+) +NAME=(\S+)", machine.read("/etc/nvpmodel.conf") or "")
    most = next((number for number, name in reversed(modes) if name.startswith("MAXN")), "N")
    fast, cost = mode[1].startswith("MAXN"), "clocks and cores are capped to save power"
    remedy = f"sudo nvpmodel -m {most}" + ("" if most != "N" else ", N from /etc/nvpmodel.conf")
    return verdict("power mode", fast, mode[1], cost, remedy)


def _clocks(machine: Machine) -> Iterator[Finding]:
    """Check the GPU clock: it is fixed if its minimum equals its maximum."""
    for folder in chain.from_iterable(map(machine.find, GPU_CLOCKS)):
        least, most = machine.read(f"{folder}/min_freq"), machine.read(f"{folder}/max_freq")
        if least and most:
            found = f"GPU {int(least) // 10**6} to {int(most) // 10**6} MHz"
            cost = "clocks follow the load: single images take longer, and times vary"
            yield verdict("clocks", least == most, found, cost, "sudo jetson_clocks")
            return


def _memory_mib(machine: Machine) -> int:
    total = re.search(r"MemTotal: +(\d+)", machine.read("/proc/meminfo") or "")
    return int(total[1]) >> 10 if total else 0


def _swap(machine: Machine, memory: int) -> Finding:
    rows = [row.split() for row in (machine.read("/proc/swaps") or "").splitlines()[1:]]
    zram = sum(int(row[2]) for row in rows if "zram" in row[0]) >> 10
    disk = (sum(int(row[2]) for row in rows) >> 10) - zram
    return verdict(
        "swap",
        disk > 0 or memory > SMALL_MEMORY_MIB,
        f"{disk} MiB on disk, {zram} MiB zram, {memory} MiB of memory",
        "the kernel may end the build of a plan for lack of memory",
        "sudo fallocate -l 4G /swap && sudo chmod 600 /swap && sudo mkswap /swap && sudo swapon /swap",
    )


def _desktop(machine: Machine, memory: int) -> Finding:
    names = set(map(machine.read, machine.find("/proc/[0-9]*/comm")))
    running = [name for name in DESKTOPS if name in names]
    found = f"running: {', '.join(running)}" if running else "not running"
    cost = "the desktop holds several hundred MB of the memory that the GPU shares"
    fine = not running or memory > SMALL_MEMORY_MIB
    return verdict("desktop", fine, found, cost, "sudo systemctl isolate multi-user.target")
