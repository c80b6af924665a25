"""Parts of an image that the detector sees one by one."""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from trt_ssd_ros.detection.detections import Detections
from trt_ssd_ros.detection.region import Region, Window
from trt_ssd_ros.detection.views import MAX_MERGED, MAX_OVERLAP, Views, merge_views, named_region
from trt_ssd_ros.images.frame import Frame

Row = tuple[tuple[float, float, float, float], float, int]
IOU = 0.6
OUTSIDE = "regions: gate: found it outside of roi, expected an overlap with it"


def found(*rows: Row) -> Detections:
    boxes, scores, class_ids = zip(*rows, strict=True) if rows else ([], [], [])
    return Detections(np.reshape(boxes, (-1, 4)), np.array(scores), np.array(class_ids))


def rows(detections: Detections) -> list[Row]:
    return [
        (tuple(box), round(score, 3), class_id)
        for box, score, class_id in zip(
            detections.boxes.tolist(), detections.scores.tolist(), detections.class_ids.tolist(), strict=True
        )
    ]


@pytest.mark.parametrize(
    ("views", "windows"),
    [
        (Views(), [(0, 0, 200, 100)]),
        (Views(Region(100, 0, 100, 100)), [(100, 0, 200, 100)]),
        (Views(tiles=(1, 1), whole=False), [(0, 0, 200, 100)]),
        (Views(tiles=(2, 1), overlap=0.0, whole=False), [(0, 0, 100, 100), (100, 0, 200, 100)]),
        (Views(tiles=(2, 1), overlap=0.5), [(0, 0, 200, 100), (0, 0, 133, 100), (67, 0, 200, 100)]),
        (
            Views(Region(0, 0, 0.5, 1), (1, 2), 0.0),
            [(0, 0, 100, 100), (0, 0, 100, 50), (0, 50, 100, 100)],
        ),
        (
            Views(Region(0, 0, 0.5, 1), regions=(named_region("gate=0.25,0.5,0.5,0.5"),)),
            [(0, 0, 100, 100), (50, 50, 100, 100)],
        ),
        (Views(regions=(named_region("door = 20, 30, 50, 60"),), whole=False), [(20, 30, 70, 90)]),
    ],
)
def test_the_views_of_an_image_of_200_by_100(views, windows):
    assert views.windows(200, 100) == [Window(*numbers) for numbers in windows]
    assert views.count == len(windows)


@given(
    st.integers(1, 5000),
    st.integers(1, 5000),
    st.integers(1, 8),
    st.integers(1, 7),
    st.floats(0, MAX_OVERLAP),
)
def test_tiles_cover_every_pixel_and_are_of_one_size(width, height, columns, rows, overlap):
    windows = Views(tiles=(columns, rows), overlap=overlap, whole=False).windows(width, height)
    assert len(windows) == columns * rows
    for low, high, size in (("left", "right", width), ("top", "bottom", height)):
        spans = sorted({(getattr(window, low), getattr(window, high)) for window in windows})
        assert (spans[0][0], spans[-1][1]) == (0, size)
        assert all(0 <= start < stop <= size for start, stop in spans)
        assert all(after[0] <= before[1] for before, after in pairwise(spans))
        lengths = [stop - start for start, stop in spans]
        assert max(lengths) - min(lengths) <= 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tiles": (0, 2)}, r"tiles: found \[0, 2\], expected columns and rows from 1"),
        ({"tiles": (8, 8)}, r"tiles: found \[8, 8\], expected at most 64 views"),
        (
            {"regions": tuple(named_region(f"r{n}=0,0,1,1") for n in range(64))},
            "regions: found 64, expected at most 64 views of an image, with the whole",
        ),
        ({"overlap": 1.0}, "tile_overlap: found 1.0, expected 0 to 0.9"),
        ({"overlap": float("nan")}, "tile_overlap: found nan"),
        (
            {"tiles": (2, 1), "regions": (named_region("gate=0,0,1,1"),)},
            r"regions: found them beside tiles \[2, 1\]",
        ),
        ({"regions": (named_region("a=0,0,1,1"), named_region("a=0,0,1,1"))}, "regions: found a twice"),
        ({"region": Region(0, 0, 0.5, 1), "regions": (named_region("gate=0.6,0,0.2,1"),)}, OUTSIDE),
        ({"region": Region(0.1, 0, 0.2, 1), "regions": (named_region("gate=0.3,0,0.2,1"),)}, OUTSIDE),
        ({"region": Region(0, 0, 50, 90), "regions": (named_region("gate=0,90,10,10"),)}, OUTSIDE),
    ],
)
def test_views_that_no_image_has_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        Views(**changes)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gate", "regions: found 'gate', expected a name and four numbers"),
        ("=0,0,1,1", "regions: found '=0,0,1,1', expected a name"),
        ("gate=0,0,1", r"regions: gate: found \[0.0, 0.0, 1.0\], expected four numbers"),
        ("gate=0,0,2,0.5", "regions: gate: found .*, expected whole pixels"),
    ],
)
def test_a_text_that_is_no_region_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        named_region(text)


def test_a_region_outside_of_this_image_or_of_the_roi_in_it_is_refused():
    views = Views(Region(0, 0, 0.5, 1), regions=(named_region("gate=120,0,20,20"),))
    assert views.windows(400, 100)[1] == Window(120, 0, 140, 20)
    with pytest.raises(ValueError, match=OUTSIDE):
        views.windows(200, 100)
    with pytest.raises(ValueError, match="regions: gate: found its corner at 300, 0, expected it inside"):
        Views(regions=(named_region("gate=300,0,20,20"),)).windows(200, 100)


WHOLE, LEFT, RIGHT = Window(0, 0, 200, 100), Window(0, 0, 120, 100), Window(80, 0, 200, 100)
THIRDS = [Window(0, 0, 80, 100), Window(60, 0, 140, 100), Window(120, 0, 200, 100)]


@pytest.mark.parametrize(
    ("windows", "parts", "expected"),
    [
        pytest.param([LEFT, RIGHT], [found(), found()], [], id="nothing"),
        pytest.param(
            [LEFT, RIGHT],
            [found(((10, 10, 40, 40), 0.8, 1)), found(((150, 10, 190, 40), 0.9, 1))],
            [((150, 10, 190, 40), 0.9, 1), ((10, 10, 40, 40), 0.8, 1)],
            id="different objects",
        ),
        pytest.param(
            [LEFT, RIGHT],
            [found(((85, 10, 115, 40), 0.8, 1)), found(((86, 10, 116, 40), 0.9, 1))],
            [((86, 10, 116, 40), 0.9, 1)],
            id="complete in both",
        ),
        pytest.param(
            [LEFT, RIGHT],
            [found(((90, 10, 120, 40), 0.9, 1)), found(((90, 10, 130, 40), 0.8, 1))],
            [((90, 10, 130, 40), 0.8, 1)],
            id="a fragment gives way to the complete box, whatever its score",
        ),
        pytest.param(
            [WHOLE, LEFT, RIGHT],
            [
                found(((20, 10, 180, 90), 0.5, 1)),
                found(((20, 10, 120, 90), 0.9, 1)),
                found(((80, 10, 180, 90), 0.9, 1)),
            ],
            [((20, 10, 180, 90), 0.5, 1)],
            id="complete in the whole only",
        ),
        pytest.param(
            [LEFT, RIGHT],
            [found(((20, 10, 119, 90), 0.7, 1)), found(((81, 12, 180, 90), 0.9, 1))],
            [((20, 10, 180, 90), 0.9, 1)],
            id="fragments that coincide where both see are joined",
        ),
        pytest.param(
            THIRDS,
            [
                found(((20, 10, 80, 90), 0.7, 1)),
                found(((60, 10, 140, 90), 0.6, 1)),
                found(((120, 10, 180, 90), 0.8, 1)),
            ],
            [((20, 10, 180, 90), 0.8, 1)],
            id="across three tiles",
        ),
        pytest.param(
            [LEFT, RIGHT],
            [found(((20, 10, 120, 40), 0.7, 1)), found(((80, 60, 180, 90), 0.9, 1))],
            [((80, 60, 180, 90), 0.9, 1), ((20, 10, 120, 40), 0.7, 1)],
            id="fragments of different objects",
        ),
        pytest.param(
            [LEFT, RIGHT],
            [found(((20, 10, 120, 90), 0.7, 1)), found(((80, 10, 180, 90), 0.9, 2))],
            [((80, 10, 180, 90), 0.9, 2), ((20, 10, 120, 90), 0.7, 1)],
            id="fragments of different classes",
        ),
        pytest.param(
            [LEFT, RIGHT],
            [found(((90, 10, 120, 40), 0.7, 1)), found()],
            [((90, 10, 120, 40), 0.7, 1)],
            id="a fragment that only one view has found stays",
        ),
        pytest.param(
            [LEFT, RIGHT],
            [found(((0, 10, 60, 90), 0.7, 1)), found(((140, 0, 200, 100), 0.9, 1))],
            [((140, 0, 200, 100), 0.9, 1), ((0, 10, 60, 90), 0.7, 1)],
            id="the edge of the image cuts nothing",
        ),
        pytest.param(
            [WHOLE, LEFT],
            [found(((10, 10, 100, 90), 0.5, 1)), found(((30, 20, 80, 80), 0.9, 1))],
            [((30, 20, 80, 80), 0.9, 1)],
            id="of nested boxes of two views the better one stays",
        ),
        pytest.param(
            [WHOLE, LEFT],
            [found(((10, 10, 100, 90), 0.5, 1), ((30, 20, 60, 60), 0.4, 1)), found()],
            [((10, 10, 100, 90), 0.5, 1), ((30, 20, 60, 60), 0.4, 1)],
            id="nested boxes of one view are two objects",
        ),
        pytest.param(
            [LEFT, RIGHT],
            [found(((60, 10, 120, 90), 0.5, 1), ((85, 10, 120, 90), 0.4, 1)), found()],
            [((60, 10, 120, 90), 0.5, 1), ((85, 10, 120, 90), 0.4, 1)],
            id="fragments of one view are of two objects, as NMS has kept both",
        ),
    ],
)
def test_detections_of_views_are_merged(windows, parts, expected):
    assert rows(merge_views(windows, parts, IOU)) == expected


def test_boxes_without_area_are_merged_without_a_warning():
    flat, point = ((5, 5, 5, 9), 0.5, 1), ((10, 10, 10, 10), 0.4, 1)
    with np.errstate(all="raise"):
        assert rows(merge_views([WHOLE, LEFT], [found(flat), found(point)], IOU)) == [flat, point]


def test_of_too_many_detections_the_best_are_merged():
    far = [((2 * n, 0, 2 * n + 1, 1), 1 - n / 8192, 1) for n in range(MAX_MERGED)]
    merged = merge_views([WHOLE, LEFT], [found(*far[::2]), found(*far[1::2], ((0, 50, 1, 51), 0.01, 1))], IOU)
    np.testing.assert_array_equal(merged.boxes, found(*far).boxes)


@pytest.fixture(scope="module")
def mosaic(photo) -> NDArray[np.uint8]:
    """A picture of 1000x660 pixels with the shipped photos of a cat, a cup and a person."""
    canvas = np.full((660, 1000, 3), 90, np.uint8)
    for name, (left, top), size in (
        ("chelsea", (20, 20), (360, 240)),
        ("coffee", (430, 20), (480, 320)),
        ("astronaut", (200, 300), (340, 340)),
    ):
        canvas[top : top + size[1], left : left + size[0]] = cv2.resize(
            photo(name), size, interpolation=cv2.INTER_AREA
        )
    return canvas


@pytest.mark.parametrize(("tiles", "whole"), [((2, 1), True), ((2, 2), True), ((2, 2), False), ((3, 2), False)])
def test_each_object_is_found_once_wherever_the_seams_are(detector, mosaic, tiles, whole):
    names = ("cat", "cup", "person")
    for shift in range(0, 250, 25):
        picture = np.full((900, 1400, 3), 90, np.uint8)
        picture[shift // 2 : shift // 2 + 660, shift : shift + 1000] = mosaic
        views = Views(tiles=tiles, overlap=0.3, whole=whole)
        labels = [detector.card.labels[n] for n in detector.detect_frame(Frame(picture, "bgr"), views).class_ids]
        assert sorted(name for name in labels if name in names) == list(names), f"shifted by {shift}"


def test_an_image_of_several_views_runs_in_batches_of_the_prepared_sizes(detector, photo):
    frame, views = Frame(photo("coffee"), "bgr"), Views(tiles=(3, 2))
    expected, before = detector.detect_frame(frame, views), detector.counts.images
    assert detector.batch_sizes == ()
    detector.prepare_batches(3)
    try:
        assert detector.batch_sizes == (3, 2, 1)
        again = detector.detect_frame(frame, views)
    finally:
        detector.batch_sizes = ()
    assert before
    assert detector.counts.images == 7, "the counts begin after the preparation"
    np.testing.assert_allclose(again.boxes, expected.boxes, atol=0.1)
    np.testing.assert_array_equal(again.class_ids, expected.class_ids)
