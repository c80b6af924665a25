"""Frames a second."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trt_ssd_ros.images.rate_limit import RateLimit


def admitted(rate: float, times: list[float]) -> list[float]:
    limit = RateLimit()
    return [time for time in times if limit.admits(rate, time)]


@pytest.mark.parametrize(
    ("rate", "expected"), [(0, 300), (15, 150), (20, 200), (25, 250), (29, 290), (30, 300), (100, 300)]
)
def test_a_camera_of_30_hz(rate, expected):
    assert len(admitted(rate, [n / 30 for n in range(300)])) == pytest.approx(expected, abs=1)


@given(st.lists(st.floats(-0.012, 0.012), min_size=100, max_size=100))
def test_jitter_drops_nothing_at_the_camera_s_own_rate(jitter):
    times = [n / 30 + late for n, late in enumerate(jitter)]
    assert len(admitted(30, times)) >= 99


@given(st.floats(0.1, 1000), st.lists(st.floats(0, 1), min_size=1, max_size=60))
def test_no_window_admits_more_than_its_share(rate, gaps):
    time, times = 0.0, []
    for gap in gaps:
        time += gap
        times.append(time)
    chosen = admitted(rate, times)
    for first, start in enumerate(chosen):
        for last, end in enumerate(chosen[first:], start=first):
            assert last - first + 1 <= (end - start) * rate + 2 + 1e-6


def test_a_new_rate_acts_at_once():
    limit = RateLimit()
    assert limit.admits(0.1, 0.0)
    assert not limit.admits(0.1, 1.0)
    assert limit.admits(10, 1.1)
    assert limit.admits(0, 1.1001)


def test_a_pause_earns_no_burst():
    limit = RateLimit()
    assert limit.admits(1, 0.0)
    assert [limit.admits(1, 100 + n / 10) for n in range(5)] == [True, False, False, False, False]
