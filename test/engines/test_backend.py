from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest

from trt_ssd_ros.engines import backend
from trt_ssd_ros.engines.backend import BACKENDS, EngineChoice, open_detector
from trt_ssd_ros.engines.onnxruntime_engine import OnnxRuntimeEngine
from trt_ssd_ros.engines.tensorrt_library import FLAVOURS
from trt_ssd_ros.models.card import ModelCard, ModelCardError


def test_onnxruntime_detects(card, photo):
    detector = open_detector(card, EngineChoice("onnxruntime"))
    assert [card.labels[class_id] for class_id in detector.detect(photo("chelsea")).class_ids] == ["cat"]
    detector.close()


def test_onnxruntime_says_what_it_ignores(card, hear):
    heard = hear(backend)
    open_detector(card, EngineChoice("onnxruntime", "fp32")).close()
    assert heard.messages == []
    open_detector(card, EngineChoice("onnxruntime", "fp16", gpu=1)).close()
    assert heard.messages == [
        "precision: found fp16, but backend onnxruntime ignores it: it runs the network unchanged on the CPU",
        "gpu: found 1, but backend onnxruntime ignores it: it runs the network unchanged on the CPU",
    ]


@pytest.mark.parametrize(("asked", "expected"), [("auto", "host"), ("host", "host"), ("engine", "engine")])
def test_onnxruntime_resizes_on_the_host_unless_asked(card, asked, expected):
    assert open_detector(card, EngineChoice("onnxruntime", resize_on=asked)).resize_on == expected


def test_auto_detects_with_whatever_works_here(card, photo):
    detector = open_detector(card)
    assert [card.labels[class_id] for class_id in detector.detect(photo("chelsea")).class_ids] == ["cat"]
    detector.close()


@pytest.mark.parametrize("backend", ["", "ONNXRuntime", "cuda"])
def test_an_unknown_backend_is_named_with_the_known_ones(backend):
    with pytest.raises(ValueError, match=f"backend: found '{backend}', expected one of {', '.join(BACKENDS)}"):
        EngineChoice(backend)


@pytest.mark.usefixtures("opencv_threads")
@pytest.mark.parametrize(("cores", "asked", "threads"), [(4, 0, 4), (4, 3, 3), (2, 8, 2)])
def test_the_host_resizes_a_batch_in_as_many_threads_as_the_detector_has_cores(
    card, monkeypatch, cores, asked, threads
):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(cores)))
    with closing(open_detector(card, EngineChoice("onnxruntime", cpu_threads=asked))) as detector:
        assert detector.batch_resize.threads == threads


@pytest.mark.usefixtures("opencv_threads")
@pytest.mark.parametrize(
    ("kind", "cores", "bands"),
    [("tensorrt", 16, 4), ("tensorrt", 4, 2), ("tensorrt", 1, 1), ("onnxruntime", 16, 1)],
)
def test_one_image_is_resized_in_bands_for_a_gpu_on_half_of_the_cores(card, monkeypatch, kind, cores, bands):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(cores)))
    monkeypatch.setattr(OnnxRuntimeEngine, "kind", kind)
    with closing(open_detector(card, EngineChoice("onnxruntime"))) as detector:
        assert detector.batch_resize.bands == bands


def test_an_unknown_resize_is_named_with_the_known_ones():
    with pytest.raises(ValueError, match="resize_on: found 'gpu', expected one of auto, host, engine"):
        EngineChoice(resize_on="gpu")


@pytest.mark.parametrize("threads", [-1, 257])
def test_cpu_threads_out_of_range_are_refused(threads):
    with pytest.raises(ValueError, match=f"cpu_threads: found {threads}, expected a whole number from 0 to 256"):
        EngineChoice(cpu_threads=threads)


SESSION_THREADS = """
import sys, time
from pathlib import Path
import cv2
from trt_ssd_ros.engines.backend import EngineChoice, open_detector
from trt_ssd_ros.models.card import ModelCard

def running():
    return len(list(Path("/proc/self/task").iterdir()))

before = cv2.getNumThreads()
threads = running()
card = ModelCard.load(Path(sys.argv[1]))
detector = open_detector(card, EngineChoice("onnxruntime", cpu_threads=int(sys.argv[2])))
asked = detector._engine._session.get_session_options().intra_op_num_threads
patience = time.monotonic() + 10
while running() - threads > asked - 1 and asked and time.monotonic() < patience:
    time.sleep(0.01)  # a thread that Python has joined is listed until the kernel has ended it
print(asked, running() - threads, cv2.getNumThreads(), before)
"""
"""Program that opens a detector, and prints the session's option, the number of threads that the process has more,
and OpenCV's number of threads after and before. A process of its own, as others start threads at any time."""


def session_threads(card_path: Path, asked: int) -> list[int]:
    command = [sys.executable, "-c", SESSION_THREADS, str(card_path), str(asked)]
    return [int(word) for word in subprocess.run(command, check=True, capture_output=True).stdout.split()]


@pytest.mark.parametrize("asked", [5, 1])
def test_onnxruntime_and_opencv_take_as_many_threads_as_asked(card_path, asked):
    option, threads, in_opencv, _ = session_threads(card_path, asked)
    assert (option, threads) == (asked, asked - 1), "the thread that calls it is one of them"
    assert in_opencv == asked


def test_onnxruntime_and_opencv_keep_their_defaults_unless_asked(card_path):
    """ONNX Runtime is told the number of cores if there are two, or if it may not use all."""
    option, _, in_opencv, before = session_threads(card_path, 0)
    cores = len(os.sched_getaffinity(0))
    told = cores <= 2 or cores < os.cpu_count()
    assert (option, in_opencv) == (cores if told else 0, before)


@pytest.mark.skipif(any(map(find_spec, FLAVOURS)), reason="TensorRT is installed here")
def test_tensorrt_without_tensorrt_says_what_is_missing(card):
    with pytest.raises(RuntimeError, match=r"TensorRT cannot be imported \(tensorrt: .*; tensorrt_rtx: .*\)"):
        open_detector(card, EngineChoice("tensorrt"))


def test_a_card_that_does_not_fit_fails_before_a_session_opens(card):
    with pytest.raises(ModelCardError, match="priors, labels and background"):
        open_detector(replace(card, labels=card.labels[:-1]), EngineChoice("onnxruntime"))


@pytest.fixture
def reported(
    card: ModelCard,
    hear: Callable[..., pytest.LogCaptureFixture],
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., list[tuple[int, str]]]:
    """Open a detector with `auto` on a machine with these files and modules, and return what is logged."""

    def missing() -> None:
        raise RuntimeError("TensorRT cannot be imported (libnvinfer.so.10)")

    def report(*files: Path, modules: tuple[str, ...] = ()) -> list[tuple[int, str]]:
        monkeypatch.setattr(backend, "load_tensorrt", missing)
        monkeypatch.setattr(backend, "GPU_FILES", tuple(map(str, files)))
        monkeypatch.setattr(backend, "FLAVOURS", modules)
        heard = hear(backend, logging.INFO)
        open_detector(card).close()
        return [(record.levelno, record.getMessage()) for record in heard.records]

    return report


def test_a_machine_without_a_gpu_gets_one_short_line_and_no_warning(reported, tmp_path):
    [(level, text)] = reported(tmp_path / "nvidia[0-9]*", modules=("no_such_tensorrt",))
    assert (level, text) == (
        logging.INFO,
        "running on the CPU with ONNX Runtime: this machine shows no NVIDIA GPU",
    )


def test_a_gpu_that_cannot_be_used_is_a_warning_with_the_reason(reported, tmp_path):
    (tmp_path / "nvidia0").touch()
    [(level, text)] = reported(tmp_path / "nvidia[0-9]*", modules=("no_such_tensorrt",))
    assert level == logging.WARNING
    assert text == "running on the CPU with ONNX Runtime: TensorRT cannot be imported (libnvinfer.so.10)"


def test_an_installed_tensorrt_without_a_gpu_is_a_warning(reported):
    [(level, text)] = reported(modules=("no_such_tensorrt", "numpy"))
    assert (level, "libnvinfer.so.10" in text) == (logging.WARNING, True)
