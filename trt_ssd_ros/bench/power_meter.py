"""PowerMeter: mean power in watts of each rail that the machine reports."""

from __future__ import annotations

import subprocess
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from shutil import which
from threading import Event, Thread

import numpy as np

PERIOD = 0.5
"""Seconds between two readings."""
NVIDIA_SMI = ("nvidia-smi", "--query-gpu=power.draw", "--format=csv,noheader,nounits")
Reading = Callable[[], float]


class PowerMeter:
    """Background reader of all power rails that this user may read.

    Sources: INA3221 monitors on a Jetson, energy counters (RAPL) of Intel and AMD processors, nvidia-smi.

    Args:
        root: Folder that stands for /.
        gpu: Number of the GPU in the order of nvidia-smi.
    """

    def __init__(self, root: Path = Path("/"), gpu: int = 0) -> None:
        self._rails: dict[str, Reading] = {**dict(_jetson_rails(root)), **dict(_energy_counters(root))}
        if which(NVIDIA_SMI[0]):
            self._rails["GPU"] = partial(_nvidia_smi, gpu)

    def __enter__(self) -> PowerMeter:
        self._readings: dict[str, list[tuple[float, float]]] = defaultdict(list)
        self._before = time.monotonic()
        self._ended = Event()
        self._thread = Thread(target=self._read_periodically, name="power meter", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self._read()

    def watts(self) -> dict[str, float]:
        """Return the mean watts of each rail over the measured time; empty if no rail is readable."""
        readings = {name: np.array(read) for name, read in self._readings.items()}
        return {name: float(np.average(read[:, 0], weights=read[:, 1])) for name, read in readings.items()}

    def _read_periodically(self) -> None:
        while not self._ended.wait(PERIOD):
            self._read()

    def _read(self) -> None:
        now = time.monotonic()
        seconds, self._before = now - self._before, now
        for name, reading in list(self._rails.items()):
            try:
                watts = reading()
            except (OSError, ValueError, subprocess.SubprocessError):
                del self._rails[name]  # not readable, or not for this user
            else:
                self._readings[name].append((watts, seconds))


def _jetson_rails(root: Path) -> Iterator[tuple[str, Reading]]:
    """Yield the rails of INA3221 monitors: millivolts times milliamperes (Linux, hwmon/ina3221.rst)."""
    for label in sorted(root.glob("sys/class/hwmon/hwmon*/in*_label")):
        number = label.name.removeprefix("in").removesuffix("_label")
        volts, amperes = label.with_name(f"in{number}_input"), label.with_name(f"curr{number}_input")
        if volts.exists() and amperes.exists():
            yield label.read_text().strip(), lambda v=volts, a=amperes: _number(v) * _number(a) / 1e6  # type: ignore[misc]


def _energy_counters(root: Path) -> Iterator[tuple[str, Reading]]:
    """Yield the processor packages that count energy (Linux, powercap/powercap.rst)."""
    for counter in sorted(root.glob("sys/class/powercap/intel-rapl:[0-9]/energy_uj")):
        try:
            yield counter.with_name("name").read_text().strip(), _EnergyCounter(counter)
        except OSError:  # only root may read it
            continue


class _EnergyCounter:
    """Mean watts since the last call, from a counter of microjoules that wraps around."""

    def __init__(self, counter: Path) -> None:
        self._counter = counter
        self._range = _number(counter.with_name("max_energy_range_uj"))
        self._before = _number(counter), time.monotonic()

    def __call__(self) -> float:
        energy, now = _number(self._counter), time.monotonic()
        used = (energy - self._before[0]) % self._range
        seconds = now - self._before[1]
        self._before = energy, now
        return used / 1e6 / seconds


def _nvidia_smi(gpu: int) -> float:
    command = [*NVIDIA_SMI, f"--id={gpu}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)  # noqa: S603
    return float(done.stdout)


def _number(path: Path) -> float:
    return float(path.read_text())
