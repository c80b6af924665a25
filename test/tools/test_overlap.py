"""Stages that overlap."""

from __future__ import annotations

import threading

import pytest

from trt_ssd_ros.tools.overlap import BackgroundConsumer, prefetch


def test_items_come_in_order_from_another_thread():
    threads = set()

    def produce():
        for number in range(100):
            threads.add(threading.current_thread())
            yield number

    assert list(prefetch(produce(), 3, threading.Event())) == list(range(100))
    assert threading.main_thread() not in threads


def test_no_more_than_depth_wait():
    made, full = [], threading.Event()

    def produce():
        for number in range(100):
            made.append(number)
            if number == 4:  # one was taken, three wait, one is about to
                full.set()
            yield number

    items = prefetch(produce(), 3, threading.Event())
    next(items)
    assert full.wait(5)
    assert len(made) <= 5
    items.close()
    assert len(made) <= 6


def test_an_error_comes_after_what_came_before_it():
    def produce():
        yield 1
        raise ValueError("the camera fell down")

    items = prefetch(produce(), 3, threading.Event())
    assert next(items) == 1
    with pytest.raises(ValueError, match="the camera fell down"):
        next(items)


def test_a_camera_that_hangs_does_not_hang_those_who_stop():
    stop, unplugged = threading.Event(), threading.Event()

    def produce():
        yield 1
        unplugged.wait(3)
        yield 2

    items = prefetch(produce(), 3, stop)
    assert next(items) == 1
    stop.set()
    assert list(items) == []
    unplugged.set()


def test_the_newest_win_where_images_cannot_wait():
    done = threading.Event()

    def produce():
        yield from range(100)
        done.set()

    items = prefetch(produce(), 2, threading.Event(), newest=True)
    first = next(items)
    assert done.wait(5)
    last = list(items)
    assert last[-1] == 99
    assert len(last) <= 3
    assert sorted({first, *last}) == [first, *last]


def test_a_thread_behind_gets_everything():
    got = []
    with BackgroundConsumer(got.append, 2) as behind:
        for number in range(50):
            behind.put(number)
    assert got == list(range(50))


def test_an_error_behind_is_raised_in_front_and_blocks_nothing():
    def consume(number):
        raise OSError(f"no space left for {number}")

    def fill():
        with BackgroundConsumer(consume, 2) as behind:
            for number in range(50):
                behind.put(number)

    with pytest.raises(OSError, match="no space left for 0"):
        fill()
    with pytest.raises(OSError, match="no space left for 7"), BackgroundConsumer(consume, 2) as behind:
        behind.put(7)
