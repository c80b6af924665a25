"""Checks of engines and plans, ROS 2, Python packages, and image transport."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator, Mapping
from itertools import starmap
from pathlib import Path

from trt_ssd_ros.engines.gpu_files import GPU_FILES
from trt_ssd_ros.errors import REQUIRED
from trt_ssd_ros.tools.doctor.machine import Finding, Machine, optional, verdict

NO_GPU = (
    "none: detection runs on the CPU, about 12 ms per image on two fast cores; "
    "if there is one, install NVIDIA's driver; in a container: --gpus all"
)
INSTALL = "see docs/engines.md; on a desktop: pip install tensorrt pycuda"
TENSORRT = """
from trt_ssd_ros.engines.tensorrt_library import load_tensorrt
library = load_tensorrt()
print(library.flavour, library.version)
"""
GPUS = """
import json
from trt_ssd_ros.engines.cuda import CudaDevice, Gpu, load_pycuda
found = []
for gpu in Gpu.find_all():
    try:
        device = CudaDevice(gpu.index)
        used = device.memory_used()
        device.close()
    except Exception as error:
        found.append([gpu.index, f"{gpu.name}: {error}", 0, gpu.memory >> 20])
        continue
    cuda_version = "{}.{}".format(*divmod(load_pycuda().get_driver_version() // 10, 100))
    name = f"{gpu.name}, compute capability {gpu.compute_capability}, CUDA {cuda_version}"
    found.append([gpu.index, name, gpu.memory - used >> 20, gpu.memory >> 20])
print(json.dumps(found))
"""
PLANS = """
import json, os
from trt_ssd_ros.engines.plan_cache import PlanCache, cache_folder
from trt_ssd_ros.engines.cuda import Gpu
from trt_ssd_ros.engines.tensorrt_library import load_tensorrt

valid = {}
try:
    library = load_tensorrt()
    valid |= {"flavour": [library.flavour], "version": [library.version]}
    valid |= {"gpu": [gpu.name for gpu in Gpu.find_all()]}
except RuntimeError:
    pass  # another check reports what is missing
folder = cache_folder()
keys = [(sidecar or {}).get("key", {}) for _, sidecar in PlanCache(folder).entries()]
mismatches = [key for key in keys if any(key.get(name) not in values for name, values in valid.items())]
existing = next(path for path in (folder, *folder.parents) if path.exists())
print(json.dumps([str(folder), os.access(existing, os.W_OK), len(keys), len(mismatches)]))
"""
MIN_FREE_GPU_MIB = 700
"""GPU memory for a CUDA context and the shipped model (measured: 620 MiB), with a reserve."""


def engine_findings(machine: Machine) -> Iterator[Finding]:
    """Check the inference engines, the GPUs and the cached plans."""
    onnxruntime, tensorrt = machine.version("onnxruntime"), machine.python(TENSORRT)
    gpus = machine.python(GPUS)
    on_gpu = tensorrt.succeeded and gpus.succeeded
    cost = "precision auto and fp16 need it" if on_gpu else "no engine can run the network"
    if onnxruntime.succeeded or on_gpu:
        yield verdict("ONNX Runtime", onnxruntime.succeeded, onnxruntime.text, cost, "pip install onnxruntime")
    else:
        yield Finding("ONNX Runtime", "FAIL", onnxruntime.text, cost, "pip install onnxruntime")
    slow = "detection runs on the CPU: about 12 ms per image on two fast cores, where a GPU takes 1 ms or a few"
    wanted = tensorrt.succeeded or gpus.succeeded or any(map(machine.find, GPU_FILES))
    if wanted:
        yield verdict("TensorRT", tensorrt.succeeded, tensorrt.text, slow, INSTALL)
    if gpus.succeeded:
        yield from starmap(_gpu, json.loads(gpus.text))
    elif wanted:
        yield Finding("GPU", "WARN", gpus.text, slow, INSTALL)
    else:
        yield Finding("GPU", "OK", NO_GPU)
    yield from _plans(machine)


def _gpu(index: int, name: str, free: int, total: int) -> Finding:
    found, cost = f"{name}, {free} of {total} MiB free", "opening an engine may run out of GPU memory"
    remedy = "nvidia-smi lists the processes that use it; the parameter gpu and --gpu choose another GPU"
    return verdict(f"GPU {index}", free >= MIN_FREE_GPU_MIB, found, cost, remedy)


def _plans(machine: Machine) -> Iterator[Finding]:
    answer = machine.python(PLANS)
    if not answer.succeeded:
        return
    folder, writable, count, mismatches = json.loads(answer.text)
    rebuilt, remedy = "plans are rebuilt at every start, which takes minutes on a Jetson", "set TRT_SSD_ENGINE_DIR"
    yield verdict("plan folder", writable, folder, rebuilt, f"{remedy} to a writable folder")
    found = f"{count} cached, {mismatches} of them for another TensorRT or GPU"
    yield verdict(
        "plans", not mismatches, found, "they only take disk space", "ros2 run trt_ssd_ros build_engine --clean"
    )


PACKAGES = ("rclpy", "sensor_msgs", "vision_msgs", "diagnostic_updater")
TESTED_DISTROS = ("humble", "jazzy")
DEFAULT_MIDDLEWARE = "rmw_fastrtps_cpp"
MIDDLEWARES = "share/ament_index/resource_index/rmw_typesupport/rmw_*"


def ros_findings(machine: Machine) -> Iterator[Finding]:
    """Check ROS 2 as it is sourced in this shell."""
    distro = machine.environment.get("ROS_DISTRO")
    if not distro:
        cost, remedy = (
            "the nodes cannot run; the offline tools can",
            "source /opt/ros/<distro>/setup.bash, or scripts/setup.bash",
        )
        yield Finding("ROS 2", "WARN", "no ROS 2 is sourced", cost, remedy)
        return
    yield verdict(
        "ROS 2",
        distro in TESTED_DISTROS,
        distro,
        f"only {' and '.join(TESTED_DISTROS)} were tested",
        "report what works and what fails",
    )
    for package in PACKAGES:
        answer = machine.version(package)
        remedy = _ros_remedy(distro, package, answer.text)
        yield verdict(package, answer.succeeded, answer.text, "the nodes cannot run, or lack diagnostics", remedy)
    yield _middleware(machine)
    yield from _cv_bridge(machine)


def _ros_remedy(distro: str, package: str, reason: str) -> str:
    """Return how to install a ROS package, or the Python package that it misses, as in a virtual environment."""
    missing = re.search(r"No module named '(\w+)", reason)
    if missing is None or missing[1] == package:
        return f"sudo apt install ros-{distro}-{package.replace('_', '-')}"
    return f"pip install {REQUIRED.get(missing[1], missing[1])}"


def _middleware(machine: Machine) -> Finding:
    chosen = machine.environment.get("RMW_IMPLEMENTATION") or DEFAULT_MIDDLEWARE
    prefixes = machine.environment.get("AMENT_PREFIX_PATH", "").split(":")
    named = {path.name for prefix in prefixes if prefix for path in Path(prefix).glob(MIDDLEWARES)}
    installed = sorted(named - {"rmw_implementation"})  # only loads one of the others
    found = f"{chosen}; installed: {', '.join(installed) or 'none'}"
    if chosen in installed:
        return Finding("middleware", "OK", found)
    return Finding("middleware", "FAIL", found, "no node can start", "unset RMW_IMPLEMENTATION")


def _cv_bridge(machine: Machine) -> Iterator[Finding]:
    """Check NumPy: ROS's cv_bridge is built for NumPy 1 and crashes on NumPy 2 (vision_opencv issue 535)."""
    if machine.version("cv_bridge").succeeded:
        numpy = machine.version("numpy").text
        cost = "images in rare encodings, which need cv_bridge, are dropped"
        yield verdict("cv_bridge", numpy.startswith("1."), f"with NumPy {numpy}", cost, 'pip install "numpy<2"')


GSTREAMER = """
import cv2, re
print(re.search(r"GStreamer: +(.+)", cv2.getBuildInformation() + "GStreamer:  NO").group(1))
"""


OPTIONAL: Mapping[str, str] = {"scipy": "tracking", "aiohttp": "view:=web", "av": "an MP4 that browsers play"}
"""Modules that only some users need, named as on PyPI, and their use."""


def software_findings(machine: Machine) -> Iterator[Finding]:
    """Check Python and its packages."""
    yield Finding("Python", "OK", sys.version.split()[0])
    for module, package in REQUIRED.items():
        answer = machine.version(module)
        if answer.succeeded:
            yield Finding(module, "OK", answer.text)
        else:
            yield Finding(module, "FAIL", answer.text, "nothing runs", f"pip install {package}")
    for module, purpose in OPTIONAL.items():
        answer = machine.version(module)
        hint = f"{purpose} needs it: sudo apt install python3-{module}, or pip install {module}"
        yield optional(module, answer.succeeded, answer.text, hint)
    yield from _gstreamer(machine)


def _gstreamer(machine: Machine) -> Iterator[Finding]:
    answer = machine.python(GSTREAMER)
    if answer.succeeded:
        hint = "gstreamer:PIPELINE (Jetson's CSI cameras, hardware decoding) needs it; source:=gscam does not"
        yield optional("GStreamer", answer.text.startswith("YES"), f"in OpenCV: {answer.text}", hint)


SHARED_MEMORY_MIB = 128
RECEIVE_BYTES = 32 << 20
"""Receive buffer in bytes for which our Fast DDS profile asks."""
FRAGMENT_BYTES = 128 << 20
LOAD_FOLLOWING_DRIVERS = ("intel_pstate", "amd-pstate-epp")


def transport_findings(machine: Machine) -> Iterator[Finding]:
    """Check shared memory, kernel buffers, the discovery range and the CPU governor."""
    yield from _shared_memory(machine)
    for topic, name, least, value in (
        ("socket buffer", "net.core.rmem_max", RECEIVE_BYTES, 2**31 - 1),
        ("IP fragments", "net.ipv4.ipfrag_high_thresh", FRAGMENT_BYTES, FRAGMENT_BYTES),
    ):
        found = machine.read(f"/proc/sys/{name.replace('.', '/')}")
        if found is not None:
            hint = f"for images from other machines: sudo sysctl -w {name}={value}"
            yield optional(topic, int(found) >= least, f"{name} = {found}", hint)
    if machine.environment.get("ROS_LOCALHOST_ONLY") == "1":
        cost = "Fast DDS sends images over loopback UDP and loses some: our profile does not apply"
        yield Finding("local host only", "WARN", "ROS_LOCALHOST_ONLY=1", cost, "unset ROS_LOCALHOST_ONLY")
    yield from _governor(machine)


def _governor(machine: Machine) -> Iterator[Finding]:
    """Check the CPU governor; under LOAD_FOLLOWING_DRIVERS "powersave" follows the load.

    Source: Linux, admin-guide/pm/intel_pstate.rst.
    """
    folder = "/sys/devices/system/cpu/cpu0/cpufreq"
    governor, driver = (machine.read(f"{folder}/scaling_{name}") for name in ("governor", "driver"))
    if governor is not None:
        slow = governor == "powersave" and driver not in LOAD_FOLLOWING_DRIVERS
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
