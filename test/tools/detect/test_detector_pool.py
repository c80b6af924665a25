"""Detectors that work at the same time."""

from __future__ import annotations

import threading
from concurrent.futures import CancelledError
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest

from trt_ssd_ros.detection.engine import TensorSpec
from trt_ssd_ros.engines import backend
from trt_ssd_ros.engines.backend import EngineChoice, open_detectors
from trt_ssd_ros.engines.build_progress import LoggedProgress
from trt_ssd_ros.tools.detect.run import DetectorPool


def test_each_detector_works_for_itself_and_results_wait_for_whoever_asks():
    """Neither ends before both have begun."""
    both, seen = threading.Barrier(2, timeout=10), []

    def work(detector):
        both.wait()
        seen.append(detector)
        return lambda: detector

    with DetectorPool(["a", "b"]) as pool:
        first = pool.submit(work)
        second = pool.submit(work)
        assert {first(), second()} == set(seen) == {"a", "b"}


def test_all_work_is_given_to_one_that_is_free():
    busy, lock = set(), threading.Lock()

    def work(detector):
        with lock:
            assert detector not in busy
            busy.add(detector)
        with lock:
            busy.remove(detector)
        return lambda: detector

    with DetectorPool(["a", "b", "c"]) as pool:
        results = [pool.submit(work) for _ in range(300)]
    assert {result() for result in results} <= {"a", "b", "c"}


def test_work_is_taken_only_while_somebody_is_free():
    """Else images of a camera would grow old in a queue."""
    begun, leave, taken = threading.Semaphore(0), threading.Event(), []

    def work(_):
        begun.release()
        return partial(leave.wait, 10)

    def give(pool):
        for number in range(3):
            pool.submit(work)
            taken.append(number)

    with DetectorPool(["a", "b"]) as pool:
        giver = threading.Thread(target=give, args=(pool,))
        giver.start()
        for _ in range(2):
            assert begun.acquire(timeout=10)
        giver.join(0.1)
        assert taken == [0]
        leave.set()
        giver.join(10)
        assert taken == [0, 1, 2]


def test_what_fails_is_told_to_whoever_asks():
    with DetectorPool(["a", "b"]) as pool:
        results = [pool.submit(lambda _: 1 / 0), pool.submit(lambda detector: lambda: detector)]
        assert results[1]() in {"a", "b"}
        with pytest.raises(ZeroDivisionError):
            results[0]()


def test_one_alone_works_in_the_thread_that_asks():
    with DetectorPool(["gpu"]) as pool:
        for start in (lambda _: threading.current_thread, lambda _: partial(str, threading.current_thread())):
            assert str(pool.submit(start)()) == str(threading.main_thread())


def test_a_single_one_has_several_tasks_in_flight_and_each_its_own_error():
    calls = []

    def task(number):
        def complete():
            calls.append(f"complete {number}")
            return 1 // (number - 1)

        def start(_):
            calls.append(f"start {number}")
            return complete if number < 3 else 1 / 0

        return start

    with DetectorPool(["gpu"], in_flight=2) as pool:
        results = [pool.submit(task(number)) for number in range(4)]
    assert calls == ["start 0", "start 1", "complete 0", "start 2", "complete 1", "start 3", "complete 2"]
    assert results[0]() == -1
    assert results[2]() == 1
    for broken in (results[1], results[3]):
        with pytest.raises(ZeroDivisionError):
            broken()


def test_an_interrupted_pool_leaves_no_result_to_wait_for():
    def interrupted():
        raise KeyboardInterrupt

    results = []
    with pytest.raises(KeyboardInterrupt), DetectorPool(["gpu"], in_flight=3) as pool:
        results += [pool.submit(lambda _: interrupted), pool.submit(lambda _: list)]
    for result in results:
        with pytest.raises((KeyboardInterrupt, CancelledError)):
            result()


@pytest.mark.parametrize(
    ("cores", "asked", "detectors", "threads"),
    [(1, 0, 1, 1), (2, 0, 2, 1), (12, 0, 8, 1), (40, 0, 8, 5), (12, 1, 1, 1), (1, 3, 3, 1), (4, 20, 8, 2)],
)
def test_detectors_share_the_cores_or_the_threads_that_were_asked_for(
    card, monkeypatch, cores, asked, detectors, threads
):
    opened, inputs = [], {"image": TensorSpec(np.dtype(np.uint8), ("N", "H", "W", 3))}
    engine = SimpleNamespace(kind="onnxruntime", inputs=inputs)
    monkeypatch.setattr(backend, "open_onnxruntime_engine", lambda _, threads: opened.append(threads) or engine)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(cores)))
    choice = EngineChoice("onnxruntime", cpu_threads=asked)
    with LoggedProgress() as progress:
        pool = open_detectors(card, choice, [], progress)
    assert len(pool) == detectors
    assert opened == [threads]
    assert {detector.batch_resize.threads for detector in pool} == {
        max(1, min(cores, detectors * threads) // detectors)
    }


def test_detectors_at_the_same_time_find_what_one_finds(card, photo, detector):
    images, detector.resize_on = [photo(name) for name in ("chelsea", "coffee", "astronaut")] * 3, "host"
    with LoggedProgress() as progress:
        detectors = open_detectors(card, EngineChoice("onnxruntime"), [], progress)
    with DetectorPool([*detectors, *detectors][:2]) as pool:
        results = [pool.submit(lambda one, image=image: partial(one.detect, image)) for image in images]
    for image, result in zip(images, results, strict=True):
        np.testing.assert_array_equal(result().class_ids, detector.detect(image).class_ids)
        np.testing.assert_allclose(result().scores, detector.detect(image).scores, atol=1e-5)
