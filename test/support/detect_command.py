"""The command line of detect, run here or as a process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from trt_ssd_ros.tools.detect.__main__ import main

ONNX = ("--backend", "onnxruntime")


def run(*arguments: object) -> int:
    return main([*map(str, arguments), *ONNX])


def start(*arguments: object, **options: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "trt_ssd_ros.tools.detect", *map(str, arguments), *ONNX]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
