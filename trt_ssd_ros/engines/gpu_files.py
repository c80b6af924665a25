"""GPU_FILES: files that show an NVIDIA GPU; no imports, so that the doctor runs on a machine without packages."""

from __future__ import annotations

GPU_FILES = ("/dev/nvidia[0-9]*", "/proc/driver/nvidia/gpus/*", "/dev/nvhost-gpu", "/dev/nvgpu", "/dev/dxg")
"""Files of NVIDIA's driver for a GPU: on a desktop, there before its first use, on a Jetson (two), on WSL."""
