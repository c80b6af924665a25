from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec

import pytest

from trt_ssd_ros.engines.backend import BACKENDS, EngineChoice, open_detector
from trt_ssd_ros.engines.tensorrt_library import FLAVOURS
from trt_ssd_ros.models.card import ModelCardError


def test_onnxruntime_detects(card, photo):
    detector = open_detector(card, EngineChoice("onnxruntime"))
    assert [card.labels[class_id] for class_id in detector.detect(photo("chelsea")).class_ids] == ["cat"]
    detector.close()


def test_auto_detects_with_whatever_works_here(card, photo):
    detector = open_detector(card)
    assert [card.labels[class_id] for class_id in detector.detect(photo("chelsea")).class_ids] == ["cat"]
    detector.close()


@pytest.mark.parametrize("backend", ["", "ONNXRuntime", "cuda"])
def test_an_unknown_backend_is_named_with_the_known_ones(backend):
    with pytest.raises(ValueError, match=f"backend: found '{backend}', expected one of {', '.join(BACKENDS)}"):
        EngineChoice(backend)


@pytest.mark.skipif(any(map(find_spec, FLAVOURS)), reason="TensorRT is installed here")
def test_tensorrt_without_tensorrt_says_what_is_missing(card):
    with pytest.raises(RuntimeError, match=r"TensorRT cannot be imported \(tensorrt: .*; tensorrt_rtx: .*\)"):
        open_detector(card, EngineChoice("tensorrt"))


def test_a_card_that_does_not_fit_fails_before_a_session_opens(card):
    with pytest.raises(ModelCardError, match="priors, labels and background"):
        open_detector(replace(card, labels=card.labels[:-1]), EngineChoice("onnxruntime"))
