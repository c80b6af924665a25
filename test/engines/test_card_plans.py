"""Which plan is taken, with ONNX Runtime in TensorRT's place; what a GPU finds is in test_tensorrt_engine."""

from __future__ import annotations

import numpy as np
import pytest

from trt_ssd_ros.engines import card_plans
from trt_ssd_ros.engines.build_progress import LoggedProgress
from trt_ssd_ros.engines.card_plans import CardPlans
from trt_ssd_ros.engines.cuda_memory import Gpu
from trt_ssd_ros.engines.onnxruntime_engine import OnnxRuntimeEngine
from trt_ssd_ros.engines.plan_builder import BuildOptions, is_half
from trt_ssd_ros.engines.plan_cache import PlanCache


class Library:
    """What a key needs of TensorRT."""

    flavour, version = "tensorrt", "11.4"


class Plans(CardPlans):
    """Opens the graph itself, and notes what was opened and closed."""

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)
        self.opened: list[str] = []
        self.closed: list[str] = []
        self.broken: str | None = None

    def open(self, precision: str, _: bool = True) -> OnnxRuntimeEngine:
        if precision == self.broken:
            raise RuntimeError("out of memory")
        self.obtain(precision)
        self.opened.append(precision)
        engine = OnnxRuntimeEngine(self.graph(precision))
        engine.close = lambda: self.closed.append(precision)
        return engine


@pytest.fixture
def builds(monkeypatch) -> list[str]:
    built: list[str] = []

    def build(graph, *_):
        built.append("fp16" if is_half(graph) else "fp32")
        return b"plan"

    monkeypatch.setattr(card_plans, "build_plan", build)
    monkeypatch.setattr(card_plans, "TIMED_RUNS", 10)
    return built


@pytest.fixture
def make(card, tmp_path, builds):  # noqa: ARG001 - nothing is built for real
    def plans(folder=tmp_path) -> Plans:
        gpu = Gpu("A GPU", "8.7", integrated=False)
        return Plans(card, Library(), gpu, BuildOptions(), PlanCache(folder), LoggedProgress())

    return plans


def test_the_choice_is_made_once_and_kept(make, builds, photo):
    first = make()
    chosen = first.choose([photo("chelsea")])
    assert chosen in ("fp32", "fp16")
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
    plans._cache.keep(key, type(plan)(plan.content, {"choice": "fp16"}))
    again = make()
    assert again.choice() == {}
    assert again.choose([photo("chelsea")]) in ("fp32", "fp16")
