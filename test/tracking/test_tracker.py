"""Ids: one object keeps one, none is used twice, and stamps alone are the clock."""

from __future__ import annotations

import pickle
import re
import sys
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trt_ssd_ros.detection.detections import Detections
from trt_ssd_ros.tracking import association
from trt_ssd_ros.tracking.settings import NANOSECONDS, TrackerSettings
from trt_ssd_ros.tracking.tracker import Tracker

CLASSES = 3
SETTINGS = TrackerSettings((0.5,) * CLASSES)
Row = tuple[float, float, int]
"""Left edge in pixels, score and class of a detection."""


def image(*rows: Row) -> Detections:
    """Boxes 40 pixels wide and 60 high, highest score first."""
    rows = tuple(sorted(rows, key=lambda row: -row[1]))
    boxes = np.array([(x, 100, x + 40, 160) for x, _, _ in rows], np.float32).reshape(-1, 4)
    return Detections(boxes, np.array([r[1] for r in rows], np.float32), np.array([r[2] for r in rows], np.int32))


def ids(found: Detections) -> list[str]:
    assert found.ids is not None
    return found.ids.tolist()


def run(tracker: Tracker, images: Sequence[tuple[float, tuple[Row, ...]]]) -> list[list[str]]:
    """Return the ids of images at times in seconds."""
    return [ids(tracker.update(round(seconds * NANOSECONDS), image(*rows))) for seconds, rows in images]


CAT, DOG = (100.0, 0.9, 0), (100.0, 0.8, 1)
WEAK = (100.0, 0.2, 0)


@pytest.mark.parametrize(
    ("images", "expected"),
    [
        ([], []),
        ([(0.0, ())], [[]]),
        ([(0.0, ()), (0.1, (CAT,)), (0.2, (CAT,))], [[], [""], ["s-1"]]),
        ([(0.0, (CAT,)), (0.1, ()), (0.2, (CAT,))], [[""], [], [""]]),
        ([(0.0, (CAT,)), (0.1, (CAT,)), (0.5, ()), (1.1, (CAT,))], [[""], ["s-1"], [], ["s-1"]]),
        ([(0.0, (CAT,)), (0.1, (CAT,)), (0.5, ()), (1.2, (CAT,))], [[""], ["s-1"], [], [""]]),
        ([(0.0, (CAT, DOG)), (0.1, (CAT, DOG))], [["", ""], ["s-1", "s-2"]]),
        ([(0.0, (CAT,)), (0.1, (CAT,)), (0.2, (DOG,))], [[""], ["s-1"], [""]]),
        ([(0.0, (WEAK,)), (0.1, (WEAK,)), (0.2, (WEAK,))], [[], [], []]),
        ([(0.0, (CAT,)), (0.1, (WEAK,)), (0.2, (WEAK,))], [[""], [], []]),
        ([(0.0, (CAT,)), (0.1, (CAT,)), (0.2, (WEAK,)), (0.3, (CAT,))], [[""], ["s-1"], ["s-1"], ["s-1"]]),
        ([(0.0, (CAT,)), (0.1, (CAT,)), (0.2, ((100.0, 0.05, 0),))], [[""], ["s-1"], []]),
        ([(0.0, (CAT,)), (0.1, (CAT,)), (0.2, ((100.0, 0.2, 1),))], [[""], ["s-1"], []]),
    ],
)
def test_images_get_ids(images, expected):
    assert run(Tracker(SETTINGS, "s"), images) == expected


def test_boxes_scores_and_order_are_those_of_the_detector():
    tracker = Tracker(SETTINGS, "s")
    tracker.update(0, image(CAT, (300, 0.8, 0)))
    tracker.update(10**8, image(CAT, (300, 0.8, 0)))
    found = image((103, 0.9, 0), (200, 0.3, 0), (301, 0.2, 0))
    tracked = tracker.update(2 * 10**8, found)
    assert ids(tracked) == ["s-1", "s-2"]
    np.testing.assert_array_equal(tracked.boxes, found.boxes[[0, 2]])
    np.testing.assert_array_equal(tracked.scores, found.scores[[0, 2]])


@pytest.mark.parametrize(("confirm_after", "first"), [(1, 0), (2, 1), (4, 3)])
def test_an_id_comes_with_the_chosen_detection(confirm_after, first):
    tracker = Tracker(TrackerSettings((0.5,), confirm_after=confirm_after), "s")
    found = run(tracker, [(index / 10, (CAT,)) for index in range(5)])
    assert found == [[""]] * first + [["s-1"]] * (5 - first)


def test_an_excluded_class_is_followed_no_longer_even_if_it_is_found():
    tracker = Tracker(SETTINGS, "s")
    run(tracker, [(0.0, (CAT,)), (0.1, (CAT,))])
    tracker.settings = TrackerSettings((2.0, 0.5, 0.5))
    assert run(tracker, [(0.2, (CAT,)), (0.3, (WEAK,))]) == [[], []]


def test_a_class_has_its_own_threshold():
    tracker = Tracker(TrackerSettings((0.95, 0.05)), "s")
    assert run(tracker, [(0.0, (CAT, (300, 0.06, 1))), (0.1, (CAT, (300, 0.06, 1)))]) == [[""], ["s-1"]]


@pytest.mark.parametrize("rate", [5, 15, 60])
def test_motion_is_followed_at_any_rate_of_images(rate):
    path = [(index / rate, ((100 + 120 * index / rate, 0.9, 0),)) for index in range(2 * rate)]
    assert run(Tracker(SETTINGS, "s"), path)[1:] == [["s-1"]] * (2 * rate - 1)


@pytest.mark.parametrize(
    ("second", "session"),
    [(0.1, "s"), (60.0, "s"), (60.1, "s.2"), (-0.001, "s.2"), (-1000.0, "s.2"), (1e9, "s.2")],
)
def test_a_clock_that_jumps_begins_a_session(second, session):
    tracker = Tracker(SETTINGS, "s")
    run(tracker, [(-0.2, (CAT,)), (-0.1, (CAT,)), (0.0, (CAT,)), (second, (CAT,))])
    assert tracker.session == session
    after = run(tracker, [(second + 0.1, (CAT,))])
    assert after == [["s-1"]] if second == 0.1 else after != [["s-1"]]


def test_a_repeated_stamp_gets_ids_and_changes_nothing():
    once, twice = Tracker(SETTINGS, "s"), Tracker(SETTINGS, "s")
    path = [(index / 10, ((100.0 + 5 * index, 0.9, 0),)) for index in range(6)]
    expected = run(once, path)
    for second in path:
        [[name]] = run(twice, [second])
        assert run(twice, [(second[0], (*second[1], (500.0, 0.9, 0)))] * 3) == [[name, ""]] * 3
        assert name == expected.pop(0)[0]
    assert len(twice) == 1


def test_a_clock_that_stands_still_gives_no_ids_and_keeps_nothing():
    tracker = Tracker(SETTINGS, "s")
    assert run(tracker, [(0.0, ((float(x), 0.9, 0),)) for x in range(0, 5000, 50)]) == [[""]] * 100


def test_sessions_of_two_trackers_differ():
    names = {Tracker(SETTINGS).session for _ in range(100)}
    assert len(names) == 100
    assert all(re.fullmatch("[0-9a-f]{8}", name) for name in names)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"thresholds": ()}, "thresholds: found"),
        ({"thresholds": (-0.1,)}, "thresholds: found"),
        ({"low_threshold": 1.5}, "low_threshold: found 1.5, expected 0 to 1"),
        ({"match_iou": float("nan")}, "match_iou: found nan, expected 0 to 1"),
        ({"low_match_iou": -1}, "low_match_iou: found -1"),
        ({"max_gap": -1.0}, "max_gap: found -1.0, expected 0 to 3600 seconds"),
        ({"max_jump": 0.5}, "max_jump: found 0.5, expected at least max_gap, which is 1.0 s"),
        ({"confirm_after": 0}, "confirm_after: found 0, expected 1 detection or more"),
    ],
)
def test_wrong_settings_are_named(wrong, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        TrackerSettings(**{"thresholds": (0.5,)} | wrong)


def test_the_detector_is_asked_for_low_scores_of_reported_classes():
    assert TrackerSettings((0.5, 0.05, 2.0), low_threshold=0.1).wanted_scores == (0.1, 0.05, 2.0)


def test_without_scipy_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy.optimize", None)
    association.load_solver.cache_clear()
    tracker = Tracker(SETTINGS)
    tracker.update(0, image(CAT))
    with pytest.raises(RuntimeError, match=r"^tracking needs scipy \(.*\): pip install scipy$"):
        tracker.update(1, image(CAT))


# Lanes are 300 pixels apart, and an object moves at most 60 pixels, so an object stays in its lane. It is away for
# at most max_gap, or for longer than that: so it is known whether two detections are one object.
LANES = 4
STEPS = st.lists(
    st.tuples(
        st.floats(0.01, 0.4), st.lists(st.sampled_from(["seen", "weak", "missed"]), min_size=LANES, max_size=LANES)
    ),
    min_size=5,
    max_size=60,
)


@settings(max_examples=60)
@given(steps=STEPS, speed=st.floats(-2.5, 2.5))
def test_an_id_names_one_object_never_returns_and_survives_gaps(steps, speed):
    tracker, now = Tracker(SETTINGS, "s"), 0.0
    last_seen: dict[int, float] = {}
    named: dict[str, int] = {}
    current: dict[int, str] = {}
    ended: set[str] = set()
    for seconds, states in steps:
        now = round(now + seconds, 9)
        for lane in [lane for lane, seen in last_seen.items() if now - seen > SETTINGS.max_gap]:
            del last_seen[lane]
            ended.add(current.pop(lane, ""))
        scores = {"seen": 0.9, "weak": 0.2}
        rows = [(300 * lane + 100 + speed * now, scores[s], 0) for lane, s in enumerate(states) if s in scores]
        tracked = tracker.update(round(now * NANOSECONDS), image(*rows))
        for box, name in zip(tracked.boxes, ids(tracked), strict=True):
            lane = int(box[0] // 300)
            last_seen[lane] = now
            if not name:
                assert lane not in current  # an id survives gaps up to max_gap
                continue
            assert current.setdefault(lane, name) == name
            assert named.setdefault(name, lane) == lane
            assert name not in ended


def test_ten_thousand_images_leave_nothing_behind():
    random = np.random.default_rng(0)
    tracker, sizes = Tracker(SETTINGS, "s"), []
    for index in range(10_000):
        rows = [(float(x), 0.9, 0) for x in random.integers(0, 2000, 3)] + [(3000.0, 0.9, 1)]
        tracker.update(index * NANOSECONDS // 30, image(*rows))
        sizes.append(len(pickle.dumps(tracker)) if index % 100 == 0 else 0)
    assert max(sizes[9000:]) < 2 * max(sizes[:1000])


def test_equal_input_gives_equal_ids():
    random = np.random.default_rng(1)
    rows = [tuple((float(x), 0.9, 0) for x in random.integers(0, 400, 5)) for _ in range(50)]
    path = [(index / 30, row) for index, row in enumerate(rows)]
    assert run(Tracker(SETTINGS, "s"), path) == run(Tracker(SETTINGS, "s"), path)
