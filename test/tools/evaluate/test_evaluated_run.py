"""Detectors that run to be evaluated."""

from __future__ import annotations

import logging
import threading
from dataclasses import replace

import cv2
import numpy as np

from trt_ssd_ros.engines import backend
from trt_ssd_ros.engines.backend import EngineChoice, open_detector
from trt_ssd_ros.tools.evaluate.runs import DetectorRun


def test_more_candidates_are_taken_where_they_matter(card, photo, monkeypatch):
    """With few slots a low threshold cuts candidates off; the run must find what enough of them find."""
    opened = []

    def open_noted(card, *others):
        opened.append(card.defaults.candidates)
        return open_detector(card, *others)

    def found(candidates, image):
        few = replace(card, defaults=replace(card.defaults, candidates=candidates))
        run = DetectorRun("few", few, EngineChoice("onnxruntime"), 0.01, threading.Event())
        assert run.warnings() == []
        return run.detect(None, image)

    monkeypatch.setattr("trt_ssd_ros.tools.evaluate.runs.open_detector", open_noted)
    image = cv2.hconcat([cv2.resize(photo(name), (400, 400)) for name in ("chelsea", "astronaut", "coffee")])
    few, enough = found(110, image), found(3840, image)
    np.testing.assert_array_equal(few.class_ids, enough.class_ids)
    np.testing.assert_allclose(few.boxes, enough.boxes, atol=1e-2)
    assert opened == [110, 1000, 3840], "1000 were enough; the last was opened as such"
    opened.clear()
    assert len(found(1000, image)) == 100
    assert opened == [1000], "100 detections remain: those that were cut off are weaker"


def test_that_there_is_no_gpu_is_told_once(card, photo, hear, monkeypatch):
    """Not again for each of the larger graphs."""

    def missing():
        raise RuntimeError("no TensorRT")

    monkeypatch.setattr(backend, "load_tensorrt", missing)
    heard = hear(backend, logging.INFO)
    few = replace(card, defaults=replace(card.defaults, candidates=101))
    run = DetectorRun("few", few, EngineChoice("auto"), 0.01, threading.Event())
    image = cv2.hconcat([cv2.resize(photo(name), (400, 400)) for name in ("chelsea", "astronaut", "coffee")])
    run.detect(None, image)
    assert run.described().endswith("on the CPU, fp32, resize on the host")
    assert heard.text.count("running on the CPU with ONNX Runtime: ") == 1


def test_as_many_detections_are_kept_as_count(card, photo):
    few = replace(card, defaults=replace(card.defaults, max_detections=2, candidates=50))
    run = DetectorRun("few", few, EngineChoice("onnxruntime"), 0.01, threading.Event())
    assert 2 < len(run.detect(None, photo("astronaut"))) <= 100
    run.close()
