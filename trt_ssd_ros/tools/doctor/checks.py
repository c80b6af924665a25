"""What runs the network: ONNX Runtime, or TensorRT on a GPU; and the plans that are kept for it."""

from __future__ import annotations

import json
from collections.abc import Iterator

from trt_ssd_ros.tools.checkup.finding import Finding, verdict
from trt_ssd_ros.tools.doctor.machine import Machine

GPU_FILES = ("/dev/nvidia[0-9]*", "/proc/driver/nvidia/gpus/*", "/dev/nvhost-gpu", "/dev/nvgpu", "/dev/dxg")
"""What NVIDIA's driver shows of a GPU: of a desktop's, also before its first use, of a Jetson's, of a WSL's."""
NO_GPU = "where there is one, install NVIDIA's driver; in a container: --gpus all"
INSTALL = "see docs/engines.md; on a desktop: pip install tensorrt pycuda"
TENSORRT = """
from trt_ssd_ros.engines.tensorrt_library import load_tensorrt
library = load_tensorrt()
print(library.flavour, library.version)
"""
GPU = """
import json
from trt_ssd_ros.engines.cuda import CudaDevice, load_pycuda
cuda, device = load_pycuda(), CudaDevice()
cuda_version = "{}.{}".format(*divmod(cuda.get_driver_version() // 10, 100))
with device.bound():
    free, total = cuda.mem_get_info()
name = f"{device.gpu.name}, compute capability {device.gpu.compute_capability}, CUDA {cuda_version}"
print(json.dumps([name, free >> 20, total >> 20]))
device.close()
"""
PLANS = """
import json, os
from trt_ssd_ros.engines.plan_cache import PlanCache, cache_folder
from trt_ssd_ros.engines.cuda import Gpu
from trt_ssd_ros.engines.tensorrt_library import load_tensorrt

def here(find, *names):
    try:
        found = find()
    except RuntimeError:
        return {}
    return {key: getattr(found, name) for key, name in names}

mine = here(load_tensorrt, ("flavour", "flavour"), ("version", "version")) | here(Gpu.find, ("gpu", "name"))
folder = cache_folder()
keys = [(sidecar or {}).get("key", {}) for _, sidecar in PlanCache(folder).entries()]
misfits = [key for key in keys if any(key.get(name) != value for name, value in mine.items())]
there = next(path for path in (folder, *folder.parents) if path.exists())
print(json.dumps([str(folder), os.access(there, os.W_OK), len(keys), len(misfits)]))
"""
NO_ROOM_MIB = 700
"""GPU memory that a CUDA context and the shipped model take, with room for another (measured: 620 MiB)."""


def engine_findings(machine: Machine) -> Iterator[Finding]:
    """Look at what can run the network here."""
    onnxruntime, tensorrt = machine.version("onnxruntime"), machine.python(TENSORRT)
    gpu = machine.python(GPU)
    on_gpu = tensorrt.worked and gpu.worked
    cost = "precision auto and fp16 need it" if on_gpu else "no network can be run"
    if onnxruntime.worked or on_gpu:
        yield verdict("ONNX Runtime", onnxruntime.worked, onnxruntime.text, cost, "pip install onnxruntime")
    else:
        yield Finding("ONNX Runtime", "FAIL", onnxruntime.text, cost, "pip install onnxruntime")
    slow = "detection runs on the CPU: some 20 ms an image on two fast cores, where a GPU takes 1 ms or a few"
    wanted = tensorrt.worked or gpu.worked or any(map(machine.find, GPU_FILES))
    if wanted:
        yield verdict("TensorRT", tensorrt.worked, tensorrt.text, slow, INSTALL)
    if gpu.worked:
        yield _gpu(json.loads(gpu.text))
    elif wanted:
        yield Finding("GPU", "WARN", gpu.text, slow, INSTALL)
    else:
        yield Finding("GPU", "WARN", "NVIDIA's driver shows none", slow, NO_GPU)
    yield from _plans(machine)


def _gpu(answer: tuple[str, int, int]) -> Finding:
    name, free, total = answer
    found, cost = f"{name}, {free} of {total} MiB free", "opening an engine may run out of GPU memory"
    return verdict("GPU", free >= NO_ROOM_MIB, found, cost, "nvidia-smi shows what uses it")


def _plans(machine: Machine) -> Iterator[Finding]:
    answer = machine.python(PLANS)
    if not answer.worked:
        return
    folder, writable, count, misfits = json.loads(answer.text)
    rebuilt, remedy = "plans are built at every start, which takes minutes on a Jetson", "set TRT_SSD_ENGINE_DIR"
    yield verdict("plan folder", writable, folder, rebuilt, f"{remedy} to a folder that can be written")
    found = f"{count} kept, {misfits} of them for another TensorRT or GPU"
    yield verdict("plans", not misfits, found, "disk space only", "ros2 run trt_ssd_ros build_engine --clean")
