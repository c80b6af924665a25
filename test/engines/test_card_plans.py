"""Which plan is taken, with ONNX Runtime in TensorRT's place; what a GPU finds is in test_tensorrt_engine."""

from __future__ import annotations

import time
from collections.abc import Callable
from copy import copy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest

from trt_ssd_ros.detection import agreement
from trt_ssd_ros.detection.thresholds import Thresholds
from trt_ssd_ros.detection.views import Views
from trt_ssd_ros.engines import card_plans
from trt_ssd_ros.engines.build_progress import BuildCancelledError, LoggedProgress
from trt_ssd_ros.engines.card_plans import CardPlans
from trt_ssd_ros.engines.cuda import Gpu
from trt_ssd_ros.engines.onnxruntime_engine import OnnxRuntimeEngine
from trt_ssd_ros.engines.plan_builder import BuildOptions, is_half
from trt_ssd_ros.engines.plan_cache import PlanCache
from trt_ssd_ros.images.frame import Frame
from trt_ssd_ros.models.card import ModelCard

PRECISIONS = ("fp32", "fp16")


class Library:
    """What a key needs of TensorRT."""

    module, flavour, version = None, "tensorrt", "11.4"


class CompilingLibrary(Library):
    """One that compiles kernels when a plan is opened."""

    module = SimpleNamespace(IRuntimeConfig=SimpleNamespace(create_runtime_cache=None))


class Plans(CardPlans):
    """Opens the graph itself, and notes what was opened and closed."""

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)
        self.sessions: dict[str, OnnxRuntimeEngine] = {}
        self.opened: list[str] = []
        self.closed: list[str] = []
        self.broken: str | None = None

    def open(self, precision: str, _: bool = True) -> OnnxRuntimeEngine:
        if precision == self.broken:
            raise RuntimeError("out of memory")
        self.obtain(precision)
        self.opened.append(precision)
        if precision not in self.sessions:
            self.sessions[precision] = OnnxRuntimeEngine(self.graph(precision))
        engine = copy(self.sessions[precision])
        engine.close = lambda: self.closed.append(precision)
        return engine


@pytest.fixture
def builds(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    built: list[str] = []

    def build(graph, *_):
        built.append("fp16" if is_half(graph) else "fp32")
        return b"plan"

    monkeypatch.setattr(card_plans, "build_plan", build)
    monkeypatch.setattr(card_plans, "TIMED_RUNS", 3)
    return built


@pytest.fixture(scope="module")
def graphs() -> dict[str, onnx.ModelProto]:
    """The shipped model's graphs, composed once for all tests."""
    return {}


@pytest.fixture(scope="module")
def sessions() -> dict[str, OnnxRuntimeEngine]:
    """Their sessions, opened once for all tests."""
    return {}


@pytest.fixture
def make(
    card: ModelCard,
    tmp_path: Path,
    builds: list[str],  # noqa: ARG001 - nothing is built for real
    graphs: dict[str, onnx.ModelProto],
    sessions: dict[str, OnnxRuntimeEngine],
) -> Callable[..., Plans]:
    def plans(folder=tmp_path, library=Library, cancelled=lambda: False, batch=1) -> Plans:
        gpu = Gpu("A GPU", "8.7", integrated=False)
        options = BuildOptions(batch=batch, typical_image=(480, 640), max_image_side=512)
        made = Plans(card, library(), gpu, options, PlanCache(folder), LoggedProgress(cancelled))
        made._graphs, made.sessions = graphs, sessions
        return made

    return plans


def test_the_choice_is_made_once_and_kept(make, builds, photo):
    first = make()
    chosen = first.choose([photo("chelsea")])
    assert chosen in PRECISIONS
    assert first.choice()["disagreements"] == []
    assert sorted(first.closed) == ["fp16", "fp32"]
    again = make()
    assert again.choose([photo("chelsea")]) == chosen
    assert again.opened == []
    assert sorted(builds) == ["fp16", "fp32"]


def test_where_nothing_is_found_there_is_no_evidence_for_fp16(make):
    plans = make()
    assert plans.choose([np.zeros((48, 64, 3), np.uint8)]) == "fp32"
    assert plans.choice()["disagreements"] == ["fp32 finds nothing in the samples, so there is nothing to compare"]


def test_what_cannot_be_kept_is_still_built_only_once(make, builds, photo, tmp_path):
    (tmp_path / "file").touch()
    plans = make(tmp_path / "file" / "folder")
    plans.open(plans.choose([photo("chelsea")]))
    assert sorted(builds) == ["fp16", "fp32"]


def test_an_engine_is_closed_when_the_other_cannot_be_opened(make, photo):
    plans = make()
    plans.broken = "fp16"
    with pytest.raises(RuntimeError, match="out of memory"):
        plans.choose([photo("chelsea")])
    assert (plans.opened, plans.closed) == (["fp32"], ["fp32"])


def test_a_damaged_choice_is_made_anew(make, photo):
    plans = make()
    plans.choose([photo("chelsea")])
    key = plans.key("fp32")
    plan = plans._cache.load(key)
    plans._cache.store(key, type(plan)(plan.content, {"choice": "fp16"}))
    again = make()
    assert again.choice() == {}
    assert again.choose([photo("chelsea")]) in PRECISIONS


def note(card: ModelCard, gpu: Gpu, options: BuildOptions, folder: Path, precision: str) -> None:
    (folder / "ahead").write_text(f"{card.name} on {gpu.name} {options.batch} {precision}")


def fail(*_: object) -> None:
    raise RuntimeError("the GPU is gone")


def hang(*_: object) -> None:
    time.sleep(600)


def test_fp16_is_compiled_in_another_process_meanwhile(make, photo, tmp_path, monkeypatch):
    monkeypatch.setattr(card_plans, "_open_once", note)
    make(library=CompilingLibrary, batch=2).choose([photo("chelsea")])
    assert (tmp_path / "ahead").read_text() == "ssdlite_mobilenet_v2_coco on A GPU 2 fp16"


def test_nothing_runs_beside_a_library_that_measures_while_it_builds(make, photo, monkeypatch):
    monkeypatch.setattr(card_plans, "ChildProcess", None)
    assert make().choose([photo("chelsea")]) in PRECISIONS


def test_nothing_is_compiled_beside_where_the_kernels_are_kept(make, photo, monkeypatch):
    monkeypatch.setattr(card_plans, "ChildProcess", None)
    plans = make(library=CompilingLibrary)
    plans.kernels_path("fp16").touch()
    assert plans.choose([photo("chelsea")]) in PRECISIONS


def test_nothing_is_compiled_beside_that_cannot_be_kept(make, photo, monkeypatch, tmp_path):
    monkeypatch.setattr(card_plans, "ChildProcess", None)
    (tmp_path / "file").touch()
    plans = make(tmp_path / "file" / "folder", library=CompilingLibrary)
    assert plans.choose([photo("chelsea")]) in PRECISIONS


def test_a_quantized_network_keeps_its_types(make, quantized, photo, builds):
    plans = make()
    plans._network = quantized
    assert plans.choose([photo("chelsea")]) == "fp32"
    assert builds == []


def test_more_views_than_the_plan_takes_are_divided(make, photo, monkeypatch):
    shapes = []

    def noting(engine, inputs, run=OnnxRuntimeEngine.run):
        shapes.append(inputs["image"].shape)
        return run(engine, inputs)

    one, two, four = (make(batch=batch).open_detector("fp32") for batch in (1, 2, 4))
    monkeypatch.setattr(OnnxRuntimeEngine, "run", noting)
    for detector, batches in ((one, [1, 1, 1]), (two, [2, 1]), (four, [3])):
        shapes.clear()
        detector.detect_frame(Frame(photo("coffee"), "bgr"), Views(tiles=(2, 1)))
        assert [shape[0] for shape in shapes] == batches


def test_a_detector_of_a_plan_whose_nms_is_spoilt_does_it_itself(make, photo, hear, monkeypatch):
    said = hear(agreement)
    right = make().open_detector("fp32")
    image, everything = photo("coffee"), Thresholds.uniform(right.card, 0.05)
    right.thresholds = everything
    expected = right.detect(image)
    shapes = []

    def best_only(engine, inputs, run=OnnxRuntimeEngine.run):
        shapes.append(inputs["image"].shape)
        outputs = dict(run(engine, inputs))
        return {**outputs, "keep": outputs["keep"] * (np.arange(outputs["keep"].shape[1]) == 0)}

    monkeypatch.setattr(OnnxRuntimeEngine, "run", best_only)
    spoilt = make(batch=2).open_detector("fp32")
    assert shapes == [(2, 480, 512, 3)], "noise as the plan is tuned for"
    assert "NMS runs on the CPU" in said.text
    spoilt.thresholds = everything
    assert len(expected) > 3
    np.testing.assert_array_equal(spoilt.detect(image).boxes, expected.boxes)


def test_where_the_other_process_fails_this_one_goes_on(make, photo, monkeypatch, hear, capfd):
    said = hear(card_plans)
    monkeypatch.setattr(card_plans, "_open_once", fail)
    assert make(library=CompilingLibrary).choose([photo("chelsea")]) in PRECISIONS
    assert "the child process that compiles the fp16 plan failed with exit code 1" in said.text
    assert capfd.readouterr().err == "the GPU is gone\n"


def test_waiting_for_the_other_process_can_be_cancelled(make, photo, monkeypatch):
    monkeypatch.setattr(card_plans, "_open_once", hang)
    plans = make(library=CompilingLibrary, cancelled=lambda: True)
    with pytest.raises(BuildCancelledError):
        plans.choose([photo("chelsea")])
    assert plans.opened == plans.closed == ["fp32"]
