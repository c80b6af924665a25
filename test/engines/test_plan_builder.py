"""Building plans with TensorRT for RTX, whose builder needs no GPU; functions named in_... run in its process."""

from __future__ import annotations

import sys
import threading
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import onnx
import pytest
from plan_process import KEY
from rtx_worker import InRtx

from trt_ssd_ros.engines.build_progress import BuildCancelledError
from trt_ssd_ros.engines.half_precision import in_half_precision
from trt_ssd_ros.engines.plan_builder import BuildOptions, _allow_types, _configure, build_plan
from trt_ssd_ros.engines.plan_cache import PlanCache
from trt_ssd_ros.engines.tensorrt_library import load_tensorrt
from trt_ssd_ros.models.card import ModelCard
from trt_ssd_ros.models.graph import compose
from trt_ssd_ros.models.network import load_network

AHEAD = partial(BuildOptions, compute_capability="8.0")


def small_graph(operator: str = "Relu") -> onnx.ModelProto:
    """A graph that takes an image of any size."""
    return onnx.parser.parse_model(
        f"""<ir_version: 8, opset_import: ["": 17]>
        small (uint8[N, H, W, 3] image) => (float[N, H, W, 3] result) <float[1] one = {{1.0}}> {{
            pixels = Cast<to = 1>(image)
            sum = Add(pixels, one)
            result = {operator}(sum)
        }}"""
    )


@dataclass
class Progress:
    """Remembers the fractions, and how often another thread had its turn until then."""

    stop_at: float = 2.0
    fractions: list[float] = field(default_factory=list)
    turns: list[int] = field(default_factory=list)
    turn: int = 0

    def report(self, doing: str, fraction: float | None) -> None:
        assert doing == "building the plan"
        self.fractions.append(fraction)
        self.turns.append(self.turn)

    def cancelled(self) -> bool:
        return bool(self.fractions) and self.fractions[-1] >= self.stop_at


# ---- the shipped graph ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Built:
    """What is told of a plan; the plan itself is too large to be sent around."""

    head: bytes
    size: int
    version: str
    progress: Progress


def in_rtx_build_shipped(card_path: Path, precision: str) -> Built:
    """Build the plan while another thread counts its turns."""
    card = ModelCard.load(card_path)
    network = load_network(card)
    graph = compose(in_half_precision(network) if precision == "fp16" else network, card)
    progress, over = Progress(), threading.Event()

    def take_turns() -> None:
        while not over.is_set():
            progress.turn += 1
            time.sleep(0)

    other, interval = threading.Thread(target=take_turns), sys.getswitchinterval()
    sys.setswitchinterval(1000)  # the other thread has its turn only when this one lets go
    other.start()
    try:
        plan = build_plan(graph, load_tensorrt(), AHEAD(), progress)
    finally:
        sys.setswitchinterval(interval)
        over.set()
        other.join()
    return Built(plan[:64], len(plan), load_tensorrt().version, progress)


@pytest.fixture(scope="module")
def fp32(in_rtx: InRtx, card_path: Path) -> Built:
    return in_rtx(in_rtx_build_shipped, card_path, "fp32")


@pytest.fixture(scope="module")
def fp16(in_rtx: InRtx, card_path: Path) -> Built:
    return in_rtx(in_rtx_build_shipped, card_path, "fp16")


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_a_plan_begins_with_its_magic_and_has_the_version(precision, request):
    built = request.getfixturevalue(precision)
    assert built.head.startswith(b"vtrt")
    assert bytes(map(int, built.version.split("."))) in built.head


def test_in_half_precision_the_plan_is_smaller_by_nearly_the_weights_half(fp32, fp16):
    assert fp16.size < 0.65 * fp32.size


def test_the_progress_never_falls_and_begins_near_0(fp32):
    fractions = fp32.progress.fractions
    assert len(fractions) > 50
    assert fractions == sorted(fractions)
    assert fractions[0] < 0.1
    assert 0.8 < fractions[-1] <= 1.0


def test_the_progress_ends_at_1(fp32):
    assert fp32.progress.fractions[-1] == 1.0


def test_other_threads_run_during_the_build(fp32):
    turns = fp32.progress.turns
    assert turns[-1] - turns[0] > 100


# ---- small graphs --------------------------------------------------------------------------------


def in_rtx_build(graph: onnx.ModelProto, options: BuildOptions) -> bytes | str:
    """The plan, or the words of the RuntimeError."""
    try:
        return build_plan(graph, load_tensorrt(), options)
    except RuntimeError as error:
        return str(error)


def test_what_tensorrt_cannot_parse_is_refused_in_its_words(in_rtx):
    words = in_rtx(in_rtx_build, small_graph(operator="Strange"), AHEAD())
    assert words.startswith("tensorrt_rtx 1.")
    assert "cannot parse the graph" in words
    assert "graph: In node 2 with name" in words
    assert "Op type Strange is not supported" in words


def test_a_graph_without_the_image_is_refused_in_tensorrt_s_words(in_rtx):
    graph = small_graph()
    graph.graph.input[0].name = graph.graph.node[0].input[0] = "picture"
    words = in_rtx(in_rtx_build, graph, AHEAD())
    assert "cannot build the plan: IBuilder::buildSerializedNetwork: Error Code 4" in words


def test_where_there_is_no_dla_it_says_what_to_do(in_rtx):
    words = in_rtx(in_rtx_build, small_graph(), AHEAD(dla_core=0))
    assert words == "DLA core 0: found 0 DLA cores on this machine: leave it unset to use the GPU"


def test_a_compute_capability_that_tensorrt_does_not_know_is_refused(in_rtx):
    words = in_rtx(in_rtx_build, small_graph(), BuildOptions(compute_capability="9.9"))
    assert "compute capability 9.9" in words


def in_rtx_configure(options: BuildOptions) -> SimpleNamespace:
    """What of the options reaches TensorRT."""
    trt = load_tensorrt().module
    config = _configure(trt.Builder(load_tensorrt().logger), trt, options)
    return SimpleNamespace(
        level=config.builder_optimization_level,
        workspace=config.get_memory_pool_limit(trt.MemoryPoolType.WORKSPACE),
        capability=config.get_compute_capability(0).name,
    )


@pytest.mark.parametrize("level", range(6))
def test_the_optimization_level_reaches_tensorrt_and_builds(in_rtx, level):
    options = AHEAD(optimization_level=level)
    assert in_rtx(in_rtx_configure, options).level == level
    assert in_rtx(in_rtx_build, small_graph(), options).startswith(b"vtrt")


def test_workspace_and_compute_capability_reach_tensorrt(in_rtx):
    found = in_rtx(in_rtx_configure, BuildOptions(workspace_mib=48, compute_capability="8.6"))
    assert (found.workspace, found.capability) == (48 << 20, "SM86")


def test_where_tensorrt_chooses_types_it_may_choose_those_of_the_network(network, quantized):
    def allowed(model):
        flags: list[str] = []
        trt = SimpleNamespace(BuilderFlag=SimpleNamespace(FP16="FP16", INT8="INT8"))
        _allow_types(SimpleNamespace(set_flag=flags.append), trt, model)
        return flags

    assert allowed(network) == []
    assert allowed(in_half_precision(network)) == ["FP16"]
    assert allowed(quantized) == ["INT8"]


def in_rtx_cancel(folder: Path, stop_at: float) -> tuple[list[float], list[str], bytes]:
    """Cancel a build; return its fractions, the files it left, and the next plan."""
    progress, cache = Progress(stop_at), PlanCache(folder)
    with pytest.raises(BuildCancelledError):
        cache.obtain(KEY, partial(build_plan, small_graph(), load_tensorrt(), AHEAD(), progress), progress)
    files = [path.suffix for path in folder.iterdir()]
    return progress.fractions, files, build_plan(small_graph(), load_tensorrt(), AHEAD())


@pytest.mark.parametrize("stop_at", [0.0, 0.5])
def test_a_cancelled_build_stops_at_once_leaves_nothing_and_the_next_one_is_built(in_rtx, tmp_path, stop_at):
    fractions, files, plan = in_rtx(in_rtx_cancel, tmp_path, stop_at)
    assert [fraction for fraction in fractions if fraction >= stop_at] == [fractions[-1]]
    assert files == [".lock"]
    assert plan.startswith(b"vtrt")


def in_rtx_fail_after_cancel(folder: Path) -> str:
    in_rtx_cancel(folder, 0.0)
    return in_rtx_build(small_graph(operator="Strange"), AHEAD())


def test_a_failure_does_not_repeat_what_was_said_of_a_cancelled_build(in_rtx, tmp_path):
    words = in_rtx(in_rtx_fail_after_cancel, tmp_path)
    assert "Strange" in words
    assert "cancel" not in words.lower()
