"""A process that obtains a plan from a cache, says what it does, and stops where it is told to.

    python plan_process.py FOLDER STOP_AT

It writes a line for all it does: WAITING, BUILDING, WRITING_PLAN, WRITING_SIDECAR, and what it obtained as JSON.
After the line STOP_AT, unless that is empty, it waits for one on its standard input. With TensorRT for RTX on its
path it builds the shipped graph, without it makes PLAN.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
from importlib.util import find_spec
from pathlib import Path

from trt_ssd_ros.engines.plan_cache import PlanCache, PlanKey

RTX_PATH = "TRT_SSD_RTX_PATH"
WAITING = "waiting for another process that builds this plan"
BUILDING = "building the plan"
WRITING_PLAN = "writing .plan"
WRITING_SIDECAR = "writing .json"

KEY = PlanKey(
    model="ssd",
    graph="0" * 64,
    flavour="tensorrt_rtx",
    version="1.6.1",
    gpu="NVIDIA A100",
    compute_capability="8.0",
    precision="fp32",
    options={"batch": 1, "typical_image": (720, 1280)},
)
PLAN = b"".join(hashlib.sha256(bytes([n])).digest() for n in range(128))


class PlanProcess:
    """The test's end.

    Args:
        folder: Where plans are kept.
        stop_at: The line after which the process waits for `go_on`.
        rtx: Folder with TensorRT for RTX, for a real build.
    """

    def __init__(self, folder: Path, stop_at: str = "", rtx: str = "") -> None:
        paths = [path for path in (rtx, os.environ.get("PYTHONPATH")) if path]
        self._process = subprocess.Popen(
            [sys.executable, __file__, folder, stop_at],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._watchdog = threading.Timer(100, self._process.kill)
        self._watchdog.start()

    def __enter__(self) -> PlanProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def wait_for(self, line: str) -> None:
        """Wait until the process says it."""
        said = []
        for found in self._process.stdout:
            if found.rstrip("\n") == line:
                return
            said.append(found)
        raise AssertionError(f"it ended without {line!r}: {said}")

    def go_on(self) -> None:
        """Let it go on after STOP_AT."""
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def kill(self) -> None:
        """As `kill -9` does."""
        self._watchdog.cancel()
        self._process.kill()
        self._process.communicate()

    def obtained(self) -> dict:
        """Wait for the end: `sha256`, `magic` and `size` of what it obtained, and how many `builds` that took."""
        said, _ = self._process.communicate()
        assert self._process.returncode == 0
        return json.loads(said.splitlines()[-1])


class Progress:
    """Says what is reported, of a build from its midst on, and stops there if it is told to."""

    def __init__(self, stop_at: str) -> None:
        self._stop_at = stop_at

    def report(self, doing: str, fraction: float | None = None) -> None:
        if fraction is not None and fraction < 0.5:
            return
        print(doing, flush=True)
        if doing == self._stop_at:
            self._stop_at = ""
            sys.stdin.readline()

    def cancelled(self) -> bool:
        return False


def real_build(progress: Progress) -> bytes:
    """Build the shipped graph."""
    from trt_ssd_ros.engines.plan_builder import BuildOptions, build_plan
    from trt_ssd_ros.engines.tensorrt_library import load_tensorrt
    from trt_ssd_ros.models.card import ModelCard
    from trt_ssd_ros.models.graph import compose
    from trt_ssd_ros.models.network import load_network

    card = ModelCard.load(Path(__file__).parents[2] / "config" / "models" / "ssdlite_mobilenet_v2_coco.yaml")
    graph = compose(load_network(card), card)
    return build_plan(graph, load_tensorrt(), BuildOptions(compute_capability=KEY.compute_capability), progress)


def made_up_build(progress: Progress) -> bytes:
    """Say what a build says."""
    progress.report(BUILDING, 0.5)
    return PLAN


def main(folder: str, stop_at: str) -> None:
    """Obtain the plan of KEY."""
    progress, builds = Progress(stop_at), []
    write = os.fsync

    def fsync(descriptor: int) -> None:
        written = Path(f"/proc/self/fd/{descriptor}").readlink().name
        progress.report(f"writing {'.json' if '.json' in written else '.plan'}")
        write(descriptor)

    os.fsync = fsync
    build = real_build if find_spec("tensorrt_rtx") else made_up_build

    def counted() -> bytes:
        builds.append(1)
        return build(progress)

    content = PlanCache(Path(folder)).obtain(KEY, counted, progress).content
    digest, magic = hashlib.sha256(content).hexdigest(), content[:4].decode("latin-1")
    print(json.dumps({"sha256": digest, "magic": magic, "size": len(content), "builds": len(builds)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
