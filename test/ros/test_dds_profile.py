"""The Fast DDS profile: when it is chosen, and that Fast DDS takes it."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from rclpy.utilities import get_rmw_implementation_identifier

from trt_ssd_ros.ros.transport import PROFILE_SWITCH, PROFILE_VARIABLES, profile_environment

pytestmark = pytest.mark.ros

PROFILE = Path("/somewhere/profile.xml")
CHOSEN = dict.fromkeys(("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE"), str(PROFILE))
MEBIBYTE = 1 << 20
WAIT_FOR_A_SIGNAL = """
import sys
from trt_ssd_ros.ros.process import FailableNode, spin_node

def create():
    node = FailableNode("idle")
    print("ready", flush=True)
    return node

sys.exit(spin_node(create))
"""


@pytest.fixture(autouse=True)
def untouched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An environment and a folder in which the user has chosen nothing, and plenty of shared memory."""
    for name in (*PROFILE_VARIABLES, PROFILE_SWITCH, "FASTDDS_BUILTIN_TRANSPORTS", "ROS_LOCALHOST_ONLY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RMW_IMPLEMENTATION", "rmw_fastrtps_cpp")
    monkeypatch.chdir(tmp_path)
    set_free_memory(monkeypatch, 1024)


def set_free_memory(monkeypatch: pytest.MonkeyPatch, mebibytes: int) -> None:
    """Let every file system have this much room."""
    status = SimpleNamespace(f_bavail=mebibytes, f_frsize=MEBIBYTE)
    monkeypatch.setattr(os, "statvfs", lambda _: status)


@pytest.mark.parametrize("rmw", [None, "rmw_fastrtps_cpp", "rmw_fastrtps_dynamic_cpp"])
def test_is_chosen_for_fast_dds(monkeypatch, tmp_path, rmw):
    monkeypatch.delenv("RMW_IMPLEMENTATION")
    if rmw:
        monkeypatch.setenv("RMW_IMPLEMENTATION", rmw)
    assert profile_environment(PROFILE, tmp_path) == CHOSEN


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (PROFILE_SWITCH, "0"),
        ("FASTRTPS_DEFAULT_PROFILES_FILE", "/mine.xml"),
        ("FASTDDS_DEFAULT_PROFILES_FILE", "/mine.xml"),
        ("FASTDDS_BUILTIN_TRANSPORTS", "UDPv4"),
        ("ROS_LOCALHOST_ONLY", "1"),
        ("RMW_IMPLEMENTATION", "rmw_cyclonedds_cpp"),
    ],
)
def test_leaves_the_users_choice(monkeypatch, tmp_path, name, value):
    monkeypatch.setenv(name, value)
    assert profile_environment(PROFILE, tmp_path) == {}


@pytest.mark.parametrize("name", ["DEFAULT_FASTRTPS_PROFILES.xml", "DEFAULT_FASTDDS_PROFILES.xml"])
def test_leaves_the_users_profile_in_the_working_folder(tmp_path, name):
    Path(name).touch()
    assert profile_environment(PROFILE, tmp_path) == {}


def test_needs_enough_shared_memory(monkeypatch, tmp_path):
    set_free_memory(monkeypatch, 127)
    assert profile_environment(PROFILE, tmp_path) == {}
    assert profile_environment(PROFILE, tmp_path / "missing") == {}
    set_free_memory(monkeypatch, 128)
    assert profile_environment(PROFILE, tmp_path) == CHOSEN


@pytest.mark.skipif("fastrtps" not in get_rmw_implementation_identifier(), reason="another middleware is in use")
@pytest.mark.parametrize(("switch", "large"), [("1", True), ("0", False)], ids=["on", "off"])
def test_fast_dds_takes_it(start_process, switch, large):
    process = start_process([sys.executable, "-c", WAIT_FOR_A_SIGNAL], **{PROFILE_SWITCH: switch})
    process.wait_until_it_says("ready")
    sizes = segment_sizes(process.pid)
    assert sizes, "its own segment at least; others of the domain may be mapped as well"
    assert any(size >= 64 * MEBIBYTE for size in sizes) is large


def segment_sizes(pid: int) -> list[int]:
    """Bytes of each shared-memory segment that a process has mapped."""
    maps = Path(f"/proc/{pid}/maps").read_text()
    ranges = re.findall(r"^(\w+)-(\w+) .*/dev/shm/fast\w+_[0-9a-f]{16}", maps, re.MULTILINE)
    return [int(end, 16) - int(start, 16) for start, end in ranges]
