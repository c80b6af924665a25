"""Power rails as the kernel's documentation describes them, and a program that answers as nvidia-smi does."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from trt_ssd_ros.bench.power_meter import PowerMeter


def put(folder: Path, **files: object) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_text(f"{content}\n")


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))


@pytest.mark.usefixtures("no_gpu")
def test_a_jetsons_rails_are_volts_times_amperes(tmp_path):
    put(tmp_path / "sys/class/hwmon/hwmon3", in1_label="VDD_IN", in1_input=19000, curr1_input=500)
    put(tmp_path / "sys/class/hwmon/hwmon3", in2_label="VDD_CPU", in2_input=19000, curr2_input=100)
    put(tmp_path / "sys/class/hwmon/hwmon4", in1_label="a voltage without a current", in1_input=5000)
    with PowerMeter(tmp_path) as meter:
        pass
    assert meter.watts() == pytest.approx({"VDD_IN": 9.5, "VDD_CPU": 1.9})


@pytest.mark.usefixtures("no_gpu")
def test_an_energy_counter_that_begins_anew_gives_no_negative_watts(tmp_path):
    counter = tmp_path / "sys/class/powercap/intel-rapl:0"
    put(counter, name="package-0", energy_uj=999, max_energy_range_uj=1000)
    with PowerMeter(tmp_path) as meter:
        put(counter, energy_uj=1)
    assert meter.watts().keys() == {"package-0"}
    assert meter.watts()["package-0"] > 0


@pytest.mark.usefixtures("no_gpu")
def test_an_energy_counter_gives_what_was_used_over_the_time_it_took(tmp_path, monkeypatch):
    clock = SimpleNamespace(now=0.0, monotonic=lambda: clock.now)
    monkeypatch.setattr("trt_ssd_ros.bench.power_meter.time", clock)
    counter = tmp_path / "sys/class/powercap/intel-rapl:0"
    put(counter, name="package-0", energy_uj=0, max_energy_range_uj=10**12)
    with PowerMeter(tmp_path) as meter:
        put(counter, energy_uj=50e6)
        clock.now = 10.0
    assert meter.watts() == pytest.approx({"package-0": 5})


@pytest.mark.usefixtures("no_gpu")
def test_a_machine_that_does_not_tell_has_no_watts(tmp_path):
    with PowerMeter(tmp_path) as meter:
        pass
    assert meter.watts() == {}


@pytest.mark.parametrize(("script", "watts"), [("echo 71.25", {"GPU": 71.25}), ("echo [N/A]", {}), ("exit 9", {})])
def test_nvidia_smi_tells_of_the_gpu_or_does_not(tmp_path, monkeypatch, script, watts):
    put(tmp_path / "bin", **{"nvidia-smi": f"#!/bin/sh\n{script}"})
    (tmp_path / "bin/nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    with PowerMeter(tmp_path) as meter:
        pass
    assert meter.watts() == watts
