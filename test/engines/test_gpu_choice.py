"""The choice of a GPU by its number, and of the wait for it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest
from gpu import NEEDS_GPU, assert_agree

from trt_ssd_ros.engines import backend, cuda
from trt_ssd_ros.engines.backend import EngineChoice, open_detector
from trt_ssd_ros.engines.card_plans import CardPlans
from trt_ssd_ros.engines.cuda import CudaDevice, Gpu
from trt_ssd_ros.engines.plan_cache import PlanCache

ENGINES = Path(cuda.__file__).parent
PYCUDA = {
    "Context": {"detach", "pop", "push"},
    "Device": {
        "compute_capability",
        "count",
        "get_attribute",
        "name",
        "pci_bus_id",
        "retain_primary_context",
        "total_memory",
    },
    "Error": set(),
    "Event": {"record", "synchronize"},
    "MemoryError": set(),
    "Stream": {"handle", "synchronize"},
    "device_attribute": {"INTEGRATED"},
    "event_flags": {"BLOCKING_SYNC", "DEFAULT", "DISABLE_TIMING", "INTERPROCESS"},
    "get_driver_version": set(),
    "host_alloc_flags": {"DEVICEMAP", "PORTABLE", "WRITECOMBINED"},
    "init": set(),
    "mem_alloc": set(),
    "mem_get_info": set(),
    "memcpy_dtoh": set(),
    "memcpy_dtoh_async": set(),
    "memcpy_htod": set(),
    "memcpy_htod_async": set(),
    "pagelocked_empty": set(),
}
"""Names in pycuda.driver and their attributes, from pycuda's src/wrapper/wrap_cudadrv.cpp and pycuda/driver.py."""


class Driver:
    """Stands for pycuda.driver on a machine with the GPUs of `names`."""

    names: list[str]
    device_attribute = SimpleNamespace(INTEGRATED=18)

    class Error(Exception):
        """See pycuda."""

    @dataclass
    class Device:
        """See pycuda."""

        index: int

        @staticmethod
        def count() -> int:
            """See pycuda."""
            return len(Driver.names)

        def name(self) -> str:
            """See pycuda."""
            return Driver.names[self.index]

        def compute_capability(self) -> tuple[int, int]:
            """See pycuda."""
            return 8, 6 + self.index

        def total_memory(self) -> int:
            """See pycuda."""
            return (self.index + 1) << 30

        def pci_bus_id(self) -> str:
            """See pycuda."""
            return f"0000:0{self.index}:00.0"

        def get_attribute(self, _: int) -> int:
            """See pycuda."""
            return 0

    @classmethod
    def init(cls) -> None:
        """Fail if there is no GPU, as CUDA does."""
        if not cls.names:
            raise cls.Error("cuInit failed: no CUDA-capable device is detected")


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the GPUs that the driver shows."""
    names: list[str] = []
    monkeypatch.setattr(Driver, "names", names, raising=False)
    monkeypatch.setattr(cuda, "load_pycuda", lambda: Driver)
    return names


def test_each_gpu_has_its_number_name_and_memory(shown):
    shown += ["A", "B"]
    assert list(map(str, Gpu.find_all())) == ["GPU 0: A, 1024 MiB", "GPU 1: B, 2048 MiB"]
    assert Gpu.find() == Gpu("A", "8.6", False, 0, 1 << 30, "0000:00:00.0")
    assert Gpu.find(1) == Gpu("B", "8.7", False, 1, 2 << 30, "0000:01:00.0")


@pytest.mark.parametrize("index", [2, -1])
def test_a_gpu_that_does_not_exist_is_an_error_that_lists_the_others(shown, index):
    shown += ["A", "B"]
    expected = f"gpu: found {index}, expected one of these: GPU 0: A, 1024 MiB; GPU 1: B, 2048 MiB"
    with pytest.raises(ValueError, match=f"^{expected}$"):
        Gpu.find(index)


@pytest.mark.usefixtures("shown")
def test_a_machine_without_a_gpu_has_none_with_any_number():
    with pytest.raises(RuntimeError, match="no NVIDIA GPU is available: cuInit failed"):
        Gpu.find(1)


def test_auto_does_not_fall_back_to_the_cpu_from_a_gpu_that_does_not_exist(shown, card, monkeypatch):
    shown += ["A"]
    monkeypatch.setattr(backend, "load_tensorrt", lambda: None)
    with pytest.raises(ValueError, match="gpu: found 3, expected one of these: GPU 0: A"):
        open_detector(card, EngineChoice(gpu=3))


def test_onnxruntime_ignores_the_gpu(card):
    open_detector(card, EngineChoice("onnxruntime", gpu=5, gpu_wait="block")).close()


@pytest.mark.parametrize("gpu", [-1, 64])
def test_a_number_of_a_gpu_that_cannot_be_is_refused(gpu):
    with pytest.raises(ValueError, match=f"gpu: found {gpu}, expected a whole number from 0 to 63"):
        EngineChoice(gpu=gpu)


def test_an_unknown_wait_is_named_with_the_known_ones():
    with pytest.raises(ValueError, match="gpu_wait: found 'sleep', expected one of spin, block"):
        EngineChoice(gpu_wait="sleep")


@pytest.mark.parametrize("names", [("A", "A"), ("A", "B")])
def test_gpus_of_one_model_share_their_plans_but_not_their_kernels(card, names, tmp_path):
    gpus = [Gpu(name, "8.6", False, index, pci_bus_id=f"0000:0{index}:00.0") for index, name in enumerate(names)]
    library, cache = SimpleNamespace(flavour="tensorrt", version="11.4"), PlanCache(tmp_path)
    plans = [CardPlans(card, library, gpu, backend.BuildOptions(), cache, None) for gpu in gpus]
    assert len({each.path("fp32") for each in plans}) == len(set(names))
    assert len({each.kernels_path("fp32") for each in plans}) == len(gpus)


# ---- pycuda's names -------------------------------------------------------------------------------


def chains(source: str) -> Iterator[list[str]]:
    """Yield the names behind pycuda's module in each expression: of `cuda.Device.count` ["Device", "count"]."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute):
            module, *names = re.split(r"\.(?=\w+)", re.sub(r"^self\._", "", ast.unparse(node)))
            if module in {"cuda", "load_pycuda()"} and names and all(map(str.isidentifier, names)):
                yield names


def test_pycuda_has_the_names_that_the_engines_use():
    used = [names for path in ENGINES.glob("*.py") for names in chains(path.read_text())]
    assert ["Device", "count"] in used
    assert ["event_flags", "BLOCKING_SYNC"] in used
    for first, *rest in used:
        assert first in PYCUDA, f"pycuda.driver has no {first}"
        assert set(rest) <= PYCUDA[first], f"pycuda.driver.{first} has no {rest}"


# ---- on a GPU -------------------------------------------------------------------------------------


class TestOnGpu:
    """The last GPU of the machine, which is the only one of most."""

    pytestmark = NEEDS_GPU

    def test_the_last_gpu_finds_what_onnxruntime_finds(self, card, detector, photo):
        last = Gpu.find_all()[-1]
        with closing(open_detector(card, EngineChoice("tensorrt", "fp32", gpu=last.index))) as on_gpu:
            assert_agree(on_gpu, detector, photo("coffee"), "fp32")
            assert on_gpu.engine_name.endswith(last.name)

    def test_memory_is_that_of_the_gpu_that_is_used(self, card):
        gpus = Gpu.find_all()
        if len(gpus) == 1:
            pytest.skip("needs two GPUs")
        first = CudaDevice(0)
        before = first.memory_used()
        with closing(open_detector(card, EngineChoice("tensorrt", "fp32", gpu=gpus[-1].index))) as on_gpu:
            mine, others = on_gpu.memory_used(), first.memory_used()
            with closing(CudaDevice(gpus[-1].index)) as last:
                assert abs(mine - last.memory_used()) < 64 << 20
        first.close()
        assert others - before < 64 << 20, "the first GPU holds nothing of it, neither plan nor builder"

    def test_a_gpu_beyond_the_last_is_refused_with_the_list(self, card):
        gpus = Gpu.find_all()
        with pytest.raises(ValueError, match=rf"gpu: found {len(gpus)}, expected one of these: GPU 0: .+ MiB"):
            open_detector(card, EngineChoice(gpu=len(gpus)))

    @pytest.mark.parametrize("wait", ["spin", "block"])
    def test_either_wait_returns_complete_detections(self, card, detector, photo, wait):
        with closing(open_detector(card, EngineChoice("tensorrt", "fp32", gpu_wait=wait))) as on_gpu:
            for name in ("astronaut", "chelsea", "coffee") * 10:
                assert_agree(on_gpu, detector, photo(name), "fp32")
