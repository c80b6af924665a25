"""keep_freed_blocks: what it does to a process, and when it leaves it alone."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from trt_ssd_ros.ros.transport import ALLOCATOR_SWITCH, keep_freed_blocks

pytestmark = pytest.mark.ros

COUNT_FAULTS = """
import resource, sys
from trt_ssd_ros.ros.transport import keep_freed_blocks
print(keep_freed_blocks() if sys.argv[1] == "keep" else None)
for round in range(51):
    if round == 1:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    images = [bytearray(b"x") * 6_000_000 for _ in range(4)]
    del images
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def clean_environment() -> dict[str, str]:
    """The environment without anything that sets the allocator up."""
    names = ("GLIBC_TUNABLES", "LD_PRELOAD", ALLOCATOR_SWITCH)
    return {name: v for name, v in os.environ.items() if name not in names and not name.startswith("MALLOC_")}


def run(action: str, **environment: str) -> list[str]:
    """Allocate and free 50 times 4 images, as a message passes through; return what the process prints."""
    command = [sys.executable, "-c", COUNT_FAULTS, action]
    done = subprocess.run(command, env={**clean_environment(), **environment}, capture_output=True, check=True)
    return done.stdout.decode().split()


def test_freed_images_cost_no_page_faults_again():
    told, kept = run("keep")
    _, usual = run("leave")
    assert told == "True"
    assert int(usual) > 50 * 3_000_000 / 4096, (
        "else there is nothing to be gained here"
    )  # depends on the heap's end
    assert int(kept) < int(usual) / 10


@pytest.mark.parametrize(
    "environment",
    [
        {ALLOCATOR_SWITCH: "0"},
        {"GLIBC_TUNABLES": "glibc.malloc.mmap_threshold=1000000"},
        {"MALLOC_ARENA_MAX": "2"},
        {"LD_PRELOAD": "libjemalloc.so.2"},
    ],
    ids=lambda environment: next(iter(environment)),
)
def test_leaves_alone_what_the_user_has_set_up(monkeypatch, environment):
    for name in set(os.environ) - set(clean_environment()):
        monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(ctypes, "CDLL", lambda _: pytest.fail("the allocator was touched"))
    assert keep_freed_blocks() is False


def test_other_settings_do_not_switch_it_off():
    assert run("keep", GLIBC_TUNABLES="glibc.rtld.nns=4", TRT_SSD_ALLOCATOR="1")[0] == "True"


def test_leaves_other_c_libraries_alone(monkeypatch):
    for name in set(os.environ) - set(clean_environment()):
        monkeypatch.delenv(name)
    monkeypatch.setattr(ctypes, "CDLL", lambda _: SimpleNamespace())
    assert keep_freed_blocks() is False
