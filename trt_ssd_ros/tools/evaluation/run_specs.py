"""Open the runs that a command line names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Event

from trt_ssd_ros.engines.backend import BACKENDS, EngineChoice
from trt_ssd_ros.engines.card_plans import PRECISIONS
from trt_ssd_ros.models.card import ModelCard
from trt_ssd_ros.models.shipped import model_card_path
from trt_ssd_ros.tools.evaluate.runs import DetectorRun, EvaluatedRun
from trt_ssd_ros.tools.evaluation.results_run import ResultsRun


def open_runs(specs: Sequence[str], model: str, threshold: float, stop: Event) -> Iterator[EvaluatedRun]:
    """Open what a command line names.

    Args:
        specs: [NAME=]BACKEND[:PRECISION][@MODEL], or [NAME=]FILE with results of `detect`.
        model: Of those that name none: a shipped model card or the path of one.
        threshold: Lowest score that detectors report.
        stop: Cancels the build of a plan.

    Raises:
        ValueError: One of them is wrong.
        RuntimeError: A backend is missing.
        OSError: A file cannot be read.
    """
    named = [_split_name(spec) for spec in specs]
    names = [name for name, _ in named]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"run: found {twice!r} twice, expected different names: NAME={twice}")
    for name, text in named:
        if Path(text).suffix in {".jsonl", ".json"}:
            yield ResultsRun(name, Path(text))
            continue
        engine, _, own = text.partition("@")
        backend, _, precision = engine.partition(":")
        if backend not in BACKENDS or precision not in ("", *PRECISIONS):
            expected = f"{'|'.join(BACKENDS)}[:{'|'.join(PRECISIONS)}], or results.jsonl or coco.json of detect"
            raise ValueError(f"run: found {text!r}, expected {expected}")
        if backend == "onnxruntime" and precision not in ("", "fp32"):
            raise ValueError(f"run: found {text!r}, but ONNX Runtime takes the network as it is: give none")
        card = ModelCard.load(model_card_path(own or model))
        yield DetectorRun(name, card, EngineChoice(backend, precision or "auto"), threshold, stop)


def _split_name(spec: str) -> tuple[str, str]:
    name, separator, text = spec.partition("=")
    return (name, text) if separator and "/" not in name else (spec, spec)
