"""doctor on this machine, on one whose packages are broken, and on the files of a Jetson."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

import pytest

from trt_ssd_ros.tools.doctor.checks import (
    GPUS,
    engine_findings,
    ros_findings,
    software_findings,
    transport_findings,
)
from trt_ssd_ros.tools.doctor.jetson import jetson_findings
from trt_ssd_ros.tools.doctor.machine import CommandResult, Finding, Machine

DOCTOR = [sys.executable, "-m", "trt_ssd_ros.tools.doctor"]
NANO = {
    "etc/nv_tegra_release": "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64",
    "etc/nvpmodel.conf": "< POWER_MODEL ID=0 NAME=15W >\n< POWER_MODEL ID=2 NAME=MAXN_SUPER >",
    "proc/device-tree/model": "NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super\0",
    "proc/meminfo": "MemTotal:        7801664 kB\nMemFree: 1 kB",
    "proc/swaps": "Filename Type Size Used Priority\n/dev/zram0 partition 650000 0 5",
    "proc/812/comm": "gnome-shell\n",
    "sys/class/devfreq/17000000.gpu/min_freq": "306000000",
    "sys/class/devfreq/17000000.gpu/max_freq": "1020000000",
}
"""What an Orin Nano with JetPack 6.2 has, as its documentation and users show it; none was at hand."""


def machine(folder: Path, files: dict[str, str], **environment: str) -> Machine:
    """Make a machine of the files in a folder."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return Machine(folder, {**os.environ, **environment})


def program(folder: Path, name: str, script: str) -> None:
    """Put a program into a folder."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


def by_topic(findings: Iterable[Finding]) -> dict[str, Finding]:
    return {finding.topic: finding for finding in findings}


def doctor(*args: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*DOCTOR, *args],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_this_machine_runs_detection_and_every_flaw_has_its_cost_and_remedy():
    done = doctor("--json")
    findings = [Finding(**fields) for fields in json.loads(done.stdout)]
    assert done.returncode == 0, done.stderr
    assert {"numpy", "ONNX Runtime", "GPU", "shared memory"} <= by_topic(findings).keys()
    for finding in findings:
        assert finding.found
        assert bool(finding.cost) == bool(finding.remedy) == (finding.level != "OK"), finding


def test_a_missing_optional_package_is_no_flaw_but_has_its_use_and_command(tmp_path):
    (tmp_path / "aiohttp.py").write_text("raise ImportError('gone')")
    done = doctor(PYTHONPATH=f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}")
    assert done.returncode == 0
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("OK    aiohttp")]
    assert line.endswith("gone; view:=web needs it: sudo apt install python3-aiohttp, or pip install aiohttp")


def test_a_library_that_takes_its_process_down_is_a_finding_and_the_rest_is_looked_at(tmp_path):
    (tmp_path / "cv2.py").write_text("import os; os.abort()")
    done = doctor(PYTHONPATH=f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}")
    assert done.returncode == 1
    assert f"FAIL  cv2                exit code {-signal.SIGABRT}" in done.stdout
    assert "pip install opencv-python-headless" in done.stdout
    assert "shared memory" in done.stdout
    assert done.stderr == ""


def test_who_reads_only_its_first_line_ends_it_quietly():
    with subprocess.Popen(DOCTOR, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline().startswith("OK    Python")
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == -signal.SIGPIPE


def test_ctrl_c_ends_it_quietly():
    with subprocess.Popen(DOCTOR, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline().startswith("OK    Python")
        process.send_signal(signal.SIGINT)
        assert process.stderr.read() == ""
    assert process.returncode == -signal.SIGINT


def test_a_missing_package_names_what_pip_calls_it(tmp_path):
    (tmp_path / "yaml.py").write_text("raise ImportError('no yaml here')")
    found = by_topic(software_findings(machine(tmp_path, {}, PYTHONPATH=str(tmp_path))))["yaml"]
    assert found == Finding("yaml", "FAIL", "no yaml here", "nothing runs", "pip install pyyaml")


def test_no_onnxruntime_and_no_gpu_is_a_failure(tmp_path):
    (tmp_path / "onnxruntime.py").write_text("raise ImportError('broken')")
    path = f"{tmp_path}:{Path(__file__).parents[3]}:{os.environ.get('PYTHONPATH', '')}"
    found = by_topic(engine_findings(machine(tmp_path, {}, PYTHONPATH=path, CUDA_VISIBLE_DEVICES="")))
    assert found["ONNX Runtime"].level == "FAIL"
    assert found["GPU"].level == "OK", "a machine without a GPU is healthy"


@pytest.mark.parametrize(
    ("device", "topics", "remedy"),
    [
        ("dev/nvidia0", {"TensorRT", "GPU"}, "pip install tensorrt pycuda"),
        ("dev/null", {"GPU"}, "if there is one"),
    ],
)
def test_what_a_gpu_needs_is_named_where_there_is_one(tmp_path, device, topics, remedy):
    blocked = {
        "tensorrt.py": "raise ImportError",
        "tensorrt_rtx.py": "raise ImportError",
        "pycuda.py": "raise ImportError",
    }
    path = f"{tmp_path}:{Path(__file__).parents[3]}:{os.environ.get('PYTHONPATH', '')}"
    found = by_topic(engine_findings(machine(tmp_path, {device: "", **blocked}, PYTHONPATH=path)))
    assert found.keys() - {"ONNX Runtime", "plan folder", "plans"} == topics
    assert remedy in f"{found['GPU'].found} {found['GPU'].remedy}"
    assert found["GPU"].level == ("WARN" if "TensorRT" in topics else "OK")


class TwoGpus(Machine):
    """This machine, with what the doctor's script prints where there are two GPUs."""

    def python(self, script: str) -> CommandResult:
        """Run a script, except for that about the GPUs."""
        if script == GPUS:
            return CommandResult(
                True, json.dumps([[0, "A, CUDA 12.4", 100, 8000], [1, "B, CUDA 12.4", 900, 1000]])
            )
        return super().python(script)


def test_each_gpu_is_a_finding_with_its_number_and_memory(tmp_path):
    found = by_topic(engine_findings(TwoGpus(tmp_path)))
    assert (found["GPU 0"].level, found["GPU 0"].found) == ("WARN", "A, CUDA 12.4, 100 of 8000 MiB free")
    assert "--gpu" in found["GPU 0"].remedy
    assert (found["GPU 1"].level, found["GPU 1"].found) == ("OK", "B, CUDA 12.4, 900 of 1000 MiB free")


def test_plans_of_another_tensorrt_are_found(tmp_path):
    if "TRT_SSD_RTX_PATH" not in os.environ:
        pytest.skip("TRT_SSD_RTX_PATH names no TensorRT for RTX")
    plans = {
        "a.plan": "x",
        "a.json": json.dumps({"key": {"flavour": "tensorrt_rtx", "version": "1.0", "gpu": "?"}}),
    }
    here = machine(tmp_path / "plans", plans).environment
    path = f"{os.environ['TRT_SSD_RTX_PATH']}:{os.environ.get('PYTHONPATH', '')}"
    environment = {**here, "TRT_SSD_ENGINE_DIR": str(tmp_path / "plans"), "PYTHONPATH": path}
    found = by_topic(engine_findings(Machine(environment=environment)))
    assert found["TensorRT"].found.startswith("tensorrt_rtx 1.")
    assert found["plans"].found == "1 cached, 1 of them for another TensorRT or GPU"


def test_without_ros_the_tools_run(tmp_path):
    [found] = ros_findings(Machine(tmp_path, {}))
    assert (found.level, found.found) == ("WARN", "no ROS 2 is sourced")


def test_a_middleware_that_is_not_installed_is_found(tmp_path):
    folder = "opt/share/ament_index/resource_index/rmw_typesupport"
    names = ("rmw_connextdds", "rmw_fastrtps_cpp", "rmw_implementation")
    there = {f"{folder}/{name}": "" for name in names}
    there = machine(tmp_path, there, ROS_DISTRO="jazzy", AMENT_PREFIX_PATH=str(tmp_path / "opt"))
    assert by_topic(ros_findings(there))["middleware"].level == "OK"
    other = Machine(tmp_path, {**there.environment, "RMW_IMPLEMENTATION": "rmw_zenoh_cpp"})
    found = by_topic(ros_findings(other))["middleware"]
    assert (found.level, found.found) == ("FAIL", "rmw_zenoh_cpp; installed: rmw_connextdds, rmw_fastrtps_cpp")


def test_a_jetson_that_saves_power_is_told_its_own_commands(tmp_path):
    program(tmp_path / "bin", "nvpmodel", "echo NV Power Mode: 15W; echo 0")
    found = by_topic(jetson_findings(machine(tmp_path, NANO, PATH=f"{tmp_path}/bin:{os.environ['PATH']}")))
    assert found["Jetson"].found.endswith("Kit Super, L4T 36.4.3")
    assert (found["power mode"].level, found["power mode"].found) == ("WARN", "15W")
    assert found["power mode"].remedy == "sudo nvpmodel -m 2"
    assert (found["clocks"].found, found["clocks"].remedy) == ("GPU 306 to 1020 MHz", "sudo jetson_clocks")
    assert (found["swap"].level, found["desktop"].level) == ("WARN", "WARN")
    assert "0 MiB on disk, 634 MiB zram, 7618 MiB of memory" in found["swap"].found


def test_a_jetson_at_full_speed_is_fine(tmp_path):
    program(tmp_path / "bin", "nvpmodel", "echo NV Power Mode: MAXN_SUPER; echo 2")
    fast = NANO | {
        "sys/class/devfreq/17000000.gpu/min_freq": "1020000000",
        "proc/swaps": "Filename Type Size Used Priority\n/swap file 4194304 0 -2",
        "proc/812/comm": "bash\n",
    }
    found = jetson_findings(machine(tmp_path, fast, PATH=f"{tmp_path}/bin:{os.environ['PATH']}"))
    assert {finding.level for finding in found} == {"OK"}


def test_a_jetson_whose_nvpmodel_says_nothing_is_told(tmp_path):
    program(tmp_path / "bin", "nvpmodel", "exit 1")
    found = by_topic(jetson_findings(machine(tmp_path, NANO, PATH=f"{tmp_path}/bin:{os.environ['PATH']}")))
    assert found["power mode"].found == "nvpmodel reports no power mode"


def test_a_jetson_without_a_maxn_mode_is_not_told_a_slow_one(tmp_path):
    xavier_nx = NANO | {"etc/nvpmodel.conf": "< POWER_MODEL ID=0 NAME=MODE_15W_2CORE >"}
    program(tmp_path / "bin", "nvpmodel", "echo NV Power Mode: MODE_15W_2CORE; echo 0")
    there = machine(tmp_path, xavier_nx, PATH=f"{tmp_path}/bin:{os.environ['PATH']}")
    assert by_topic(jetson_findings(there))["power mode"].remedy == "sudo nvpmodel -m N, N from /etc/nvpmodel.conf"


def test_another_machine_is_no_jetson(tmp_path):
    assert list(jetson_findings(machine(tmp_path, {}))) == []


def test_a_healthy_machine_without_a_gpu_gets_no_warning_and_no_wrong_advice():
    """The machine of the tests: a virtual environment, OpenCV from pip, no GPU, a kernel's default buffers."""
    files = ("/dev/nvidia0", "/proc/driver/nvidia/gpus", "/etc/nv_tegra_release")
    if any(Path(file).exists() for file in files):
        pytest.skip("this machine has a GPU")
    done = doctor()
    assert done.returncode == 0, done.stdout
    warned = re.findall(r"^WARN +(.+?)  ", done.stdout, re.MULTILINE)
    assert warned == ([] if find_spec("rclpy") else ["ROS 2"]), done.stdout
    # Where aiohttp is missing, as in the oldest environment, its line gives the commands of apt and pip.
    rest = re.sub(r"^OK +aiohttp .*", "", done.stdout, flags=re.MULTILINE)
    assert "apt install" not in rest, done.stdout


def test_a_module_that_ros_misses_in_a_virtual_environment_is_installed_with_pip(tmp_path):
    (tmp_path / "rclpy.py").write_text("raise ModuleNotFoundError(\"No module named 'yaml'\")")
    path = f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"
    found = by_topic(ros_findings(machine(tmp_path, {}, ROS_DISTRO="jazzy", PYTHONPATH=path)))
    assert found["rclpy"].remedy == "pip install pyyaml"
    (tmp_path / "rclpy.py").write_text("raise ModuleNotFoundError(\"No module named 'rclpy'\")")
    found = by_topic(ros_findings(machine(tmp_path, {}, ROS_DISTRO="jazzy", PYTHONPATH=path)))
    assert found["rclpy"].remedy == "sudo apt install ros-jazzy-rclpy"


def test_small_kernel_buffers_and_a_slow_processor_are_found(tmp_path):
    files = {
        "proc/sys/net/core/rmem_max": "212992",
        "proc/sys/net/ipv4/ipfrag_high_thresh": str(128 << 20),
        "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "powersave",
    }
    found = by_topic(transport_findings(machine(tmp_path, files, ROS_LOCALHOST_ONLY="1")))
    levels = {topic: finding.level for topic, finding in found.items()}
    warned, fine = ("local host only", "CPU governor"), ("socket buffer", "IP fragments")
    assert levels == {**dict.fromkeys(warned, "WARN"), **dict.fromkeys(fine, "OK")}
    assert "for images from other machines: sudo sysctl -w net.core.rmem_max=2147483647" in str(
        found["socket buffer"]
    )
    assert found["CPU governor"].cost == "the processor runs at its lowest clock"
    files["sys/devices/system/cpu/cpu0/cpufreq/scaling_driver"] = "intel_pstate"
    assert by_topic(transport_findings(machine(tmp_path, files)))["CPU governor"].level == "OK"
