"""Fixtures of the tests that need ROS 2: a domain for every test, a node to talk with, processes that end."""

from __future__ import annotations

import gc
import importlib
import itertools
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from threading import Timer
from typing import Any

import cv2
import numpy as np
import pytest
import rclpy
from node_process import NodeProcess
from probe import BEST_EFFORT, PATIENCE, DetectorClient, Probe, new_domain
from stand_ins import STAND_INS, StandIn

from trt_ssd_ros.files import share_folder
from trt_ssd_ros.ros.transport import ALLOCATOR_SWITCH, profile_environment

StartProcess = Callable[..., NodeProcess]
MODULES = {
    "camera_node": "trt_ssd_ros.camera.camera_node",
    "detector_node": "trt_ssd_ros.node.detector_node",
    "locator_node": "trt_ssd_ros.depth.locator_node",
    "recorder_node": "trt_ssd_ros.recorder.recorder_node",
    "web_node": "trt_ssd_ros.web.web_node",
}


@pytest.fixture(scope="session", autouse=True)
def large_images() -> None:
    """Give this process room for large images, as the nodes give it to themselves; Fast DDS reads this once."""
    os.environ.update(profile_environment(share_folder() / "config" / "fastdds_large_images.xml"))


@pytest.fixture
def domain() -> Iterator[int]:
    """A ROS domain of the test's own."""
    with new_domain() as domain:
        yield domain


@pytest.fixture
def probe(domain: int) -> Iterator[Probe]:
    """A node in the test's domain."""
    probe = Probe(domain)
    yield probe
    probe.close()


@pytest.fixture
def client(probe: Probe) -> DetectorClient:
    """Sends images best effort, as most cameras do."""
    return DetectorClient(probe, BEST_EFFORT)


@pytest.fixture
def start_process(domain: int, tmp_path: Path) -> Iterator[StartProcess]:
    """Start a process in the test's domain: start_process(command, NAME=value of an environment variable)."""
    with ExitStack() as stack:

        def start(command: list[str], **environment: str) -> NodeProcess:
            log = tmp_path / f"process{len(list(tmp_path.glob('process*')))}.log"
            process = NodeProcess(command, domain, log, **environment)
            stack.callback(process.close)
            return process

        yield start


@pytest.fixture
def start_node(start_process: StartProcess) -> StartProcess:
    """Start a node of the package: start_node("camera_node", rate=5.0, loop=False) sets parameters."""

    def start(name: str, **parameters: Any) -> NodeProcess:
        return start_process([sys.executable, "-m", MODULES[name], *ros_arguments(parameters)])

    return start


@pytest.fixture
def refused(
    domain: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., list[str]]:
    """Run a node that must end with exit code 1, and return its log's lines: refused("camera_node", source="/no").

    The node runs in this process: a process of its own takes ten times as long, for Python and its imports.
    """
    environment = {"ROS_DOMAIN_ID": str(domain), "ROS_LOG_DIR": str(tmp_path), ALLOCATOR_SWITCH: "0"}

    def run(name: str, **parameters: Any) -> list[str]:
        main = importlib.import_module(MODULES[name]).main
        for variable, value in environment.items():
            monkeypatch.setenv(variable, value)
        monkeypatch.setattr(sys, "argv", [name, *ros_arguments(parameters)])
        capfd.readouterr()
        guard = Timer(PATIENCE, rclpy.try_shutdown)  # a node that does not refuse ends with exit code 0
        guard.start()
        try:
            code = main()
        finally:
            guard.cancel()
            gc.collect()  # else a node whose constructor failed stays in the graph of the domain
        said = "".join(capfd.readouterr())
        assert code == 1, said
        return said.strip().splitlines()

    return run


@pytest.fixture
def start_launch(start_process: StartProcess) -> Any:
    """Start detect.launch.py as a command line names it, with arguments: start_launch("source:=demo")."""
    command = [sys.executable, str(Path(__file__).parent / "run_launch.py"), "trt_ssd_ros", "detect.launch.py"]
    return lambda *arguments: start_process([*command, *arguments])


@pytest.fixture
def start_slow_detector(start_process: StartProcess) -> StartProcess:
    """Start a detector node whose engine is slow: start_slow_detector(0.1) takes 0.1 s more for each image."""

    def start(seconds: float, **environment: str) -> NodeProcess:
        script = Path(__file__).parent / "slow_detector.py"
        return start_process([sys.executable, str(script)], ENGINE_DELAY=str(seconds), **environment)

    return start


@pytest.fixture
def small_picture(tmp_path: Path) -> Path:
    """A file of so small a picture that its messages are not lost over UDP on a busy machine."""
    path = tmp_path / "small.png"
    cv2.imwrite(str(path), np.zeros((48, 64, 3), np.uint8))
    return path


@pytest.fixture
def rig(tmp_path: Path) -> Path:
    """The folder that tells the engine of a blank detector what to do."""
    folder = tmp_path / "rig"
    folder.mkdir()
    return folder


@pytest.fixture
def start_blank_detector(start_process: StartProcess, rig: Path) -> StartProcess:
    """Start a detector node that finds nothing, and whose engine the rig controls; sets parameters."""

    def start(**parameters: Any) -> NodeProcess:
        script = Path(__file__).parent / "blank_detector.py"
        return start_process([sys.executable, str(script), *ros_arguments(parameters)], RIG=str(rig))

    return start


@pytest.fixture
def player(tmp_path: Path) -> dict[str, str]:
    """The environment in which `ros2 bag play` is there, as bag_player.py."""
    StandIn("ros2bag", "none", "none", {}).install(tmp_path / "prefix")
    info = tmp_path / "site" / "bag_player-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: bag-player\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[ros2cli.command]\nbag = bag_player:BagCommand\n")
    modules = [str(info.parent), str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    prefixes = [str(tmp_path / "prefix"), os.environ["AMENT_PREFIX_PATH"]]
    return {"PYTHONPATH": os.pathsep.join(modules), "AMENT_PREFIX_PATH": os.pathsep.join(prefixes)}


def ros_arguments(parameters: dict[str, Any]) -> list[str]:
    """Return parameters as they stand on a command line."""
    if not parameters:
        return []
    texts = {name: str(v).lower() if isinstance(v, bool) else str(v) for name, v in parameters.items()}
    return ["--ros-args", *itertools.chain(*(("-p", f"{name}:={text}") for name, text in texts.items()))]


@pytest.fixture
def drivers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """All drivers, and rosbag2, are installed."""
    for stand_in in (*STAND_INS, StandIn("ros2bag", "none", "none", {})):
        stand_in.install(tmp_path / "drivers")
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path / "drivers"), prepend=":")
    return tmp_path / "drivers"
