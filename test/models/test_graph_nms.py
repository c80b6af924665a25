"""What the graph and the detector keep is what greedy NMS keeps, under ONNX Runtime.

TRT_SSD_ENDURANCE=1 compares 500 examples with each oracle.
"""

from __future__ import annotations

import os
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from table_network import (
    ANCHORS,
    BOX_SIDE,
    CLASSES,
    HUGE,
    INFINITY,
    LOW,
    MINUS_HUGE,
    MINUS_INFINITY,
    NAN,
    THRESHOLDS,
    ZERO,
    assert_identical,
    assert_same,
    chain,
    chains,
    detector_with,
    is_close_call,
    nothing,
    picture,
    pictures,
    run,
    table_card,
    table_network,
    textbook_detections,
)

from trt_ssd_ros.detection.detections import nms
from trt_ssd_ros.detection.detector import Detector
from trt_ssd_ros.engines.onnxruntime_engine import OnnxRuntimeEngine, open_onnxruntime
from trt_ssd_ros.models.graph import compose
from trt_ssd_ros.models.graph_nms import NMS_ROUNDS

EXAMPLES = 500 if os.environ.get("TRT_SSD_ENDURANCE") == "1" else 150


def test_the_table_s_boxes_are_squares_in_8_rows_of_8():
    """Guards what the other tests build on."""
    card = table_card()
    x, y = np.meshgrid(np.arange(8) / 8 + 1 / 16, np.arange(8) / 8 + 1 / 16)
    priors = card.prior_boxes()
    np.testing.assert_allclose(priors[:, 0], x.ravel())
    np.testing.assert_allclose(priors[:, 1], y.ravel())
    np.testing.assert_allclose(priors[:, 2:], BOX_SIDE, rtol=1e-6)


@pytest.fixture(scope="module")
def engine() -> OnnxRuntimeEngine:
    """One session that all tests of the standard table share: nothing is rebuilt between them."""
    return OnnxRuntimeEngine(compose(table_network(), table_card()))


@settings(max_examples=EXAMPLES)
@given(pictures() | chains(), THRESHOLDS)
def test_detections_are_those_of_the_textbook(engine, rows, thresholds):
    assume(not is_close_call(rows[0], thresholds))
    expected = textbook_detections(rows[0], table_card(), thresholds)
    assert_same(detector_with(engine, thresholds).detect(picture(rows[0]), "rgb"), expected)


@settings(max_examples=EXAMPLES)
@given(pictures(batch=2) | chains(), THRESHOLDS)
def test_what_has_settled_is_greedy_nms_of_the_candidates(engine, rows, thresholds):
    outputs = run(engine, rows, thresholds)
    for image in range(len(rows)):
        boxes, scores, class_ids = (outputs[name][image] for name in ("boxes", "scores", "class_ids"))
        assert np.isfinite(boxes).all()
        greedy = nms(boxes, scores, class_ids, thresholds.iou)
        if outputs["settled"][image]:
            np.testing.assert_array_equal(outputs["keep"][image], greedy)
        assert set(np.unique(outputs["keep"][image])) <= {0, 1}
        assert set(np.unique(class_ids)) <= set(range(CLASSES))


@pytest.mark.parametrize(
    ("length", "settled"),
    [(0, 1), (1, 1), (2, 1), (NMS_ROUNDS, 1), (NMS_ROUNDS + 1, 0), (NMS_ROUNDS + 2, 0), (50, 0), (60, 0)],
)
def test_a_chain_settles_when_it_is_no_longer_than_the_rounds(engine, length, settled):
    outputs = run(engine, chain(length)[None], LOW)
    assert outputs["settled"].tolist() == [settled]
    assert np.count_nonzero(outputs["scores"]) == length
    if settled:
        assert np.flatnonzero(outputs["keep"][0]).tolist() == list(range(0, length, 2))


@pytest.mark.parametrize("length", [NMS_ROUNDS + 2, 50, 59, 60])
def test_a_chain_deeper_than_the_rounds_is_finished_on_the_host(engine, length):
    detector = detector_with(engine, LOW)
    found = detector.detect(picture(chain(length)), "rgb")
    assert_same(found, textbook_detections(chain(length), table_card(), LOW))
    assert detector.counts.unsettled == 1
    graph_alone = run(engine, chain(length)[None], LOW)["keep"][0]
    assert graph_alone.sum() != (length + 1) // 2, "the graph got there alone: this chain shows nothing"


def test_only_the_unsettled_image_of_a_batch_is_finished_on_the_host(engine):
    rows = np.stack([nothing(), chain(50), chain(10)])
    detector = detector_with(engine, LOW)
    found = detector.detect_batch(picture(rows), "rgb")
    for image, detections in zip(rows, found, strict=True):
        assert_same(detections, textbook_detections(image, table_card(), LOW))
    assert (detector.counts.images, detector.counts.unsettled) == (3, 1)


@settings(max_examples=50)
@given(pictures(batch=3), THRESHOLDS)
def test_images_of_a_batch_do_not_touch_each_other(engine, rows, thresholds):
    detector = detector_with(engine, thresholds)
    images = picture(rows)
    for together, image in zip(detector.detect_batch(images, "rgb"), images, strict=True):
        assert_identical(together, detector.detect(image, "rgb"))


@settings(max_examples=50)
@given(pictures(), THRESHOLDS, THRESHOLDS)
def test_thresholds_change_between_calls(engine, rows, before, after):
    image = picture(rows[0])
    detector = detector_with(engine, before)
    detector.detect(image, "rgb")
    detector.thresholds = after
    assert_identical(detector.detect(image, "rgb"), detector_with(engine, after).detect(image, "rgb"))


# One thing at a time.


def scattered(logits: list[int]) -> np.ndarray:
    """Rows of bytes with a box of class 0 for each of these logits (bytes), none overlapping another."""
    rows = nothing()
    rows[: len(logits), 5] = logits
    return rows


@pytest.mark.parametrize(
    ("logits", "expected"),
    [
        ([], []),
        ([ZERO], [0]),
        ([ZERO, ZERO + 1, ZERO + 2], [2, 1, 0]),
        ([ZERO, ZERO, ZERO], [0, 1, 2]),  # ties: the earlier anchor first
        ([NAN, ZERO, NAN], [1]),
        ([MINUS_INFINITY, MINUS_HUGE, ZERO], [2]),
        ([ZERO, INFINITY, HUGE], [1, 2, 0]),  # both are certain
        ([NAN] * ANCHORS, []),
        ([ZERO] * ANCHORS, list(range(ANCHORS))),
    ],
)
def test_candidates_come_best_first_and_without_nan(engine, logits, expected):
    found = detector_with(engine, LOW).detect(picture(scattered(logits)), "rgb")
    column, row = ((found.boxes[:, :2] + 1e-3) // [1, 8]).T  # a cell is 1 pixel wide and 8 high
    assert (8 * row + column).tolist() == expected
    assert np.isfinite(found.scores).all()


def test_nan_is_no_detection_even_at_threshold_0(engine):
    found = detector_with(engine, replace(LOW, classes=(0,) * CLASSES)).detect(
        picture(scattered([NAN, ZERO, NAN])), "rgb"
    )
    assert len(found) == 1


@pytest.mark.parametrize("column", range(4))
@pytest.mark.parametrize("broken", [NAN, INFINITY, HUGE])
def test_a_box_that_is_not_finite_is_an_empty_slot(engine, column, broken):
    rows = scattered([ZERO + 1, ZERO])
    rows[0, column] = broken
    outputs = run(engine, rows[None], LOW)
    assert np.isfinite(outputs["boxes"]).all()
    assert np.count_nonzero(outputs["scores"]) == 1
    assert outputs["keep"].sum() == 1
    assert_same(
        detector_with(engine, LOW).detect(picture(rows), "rgb"), textbook_detections(rows, table_card(), LOW)
    )


def test_a_broken_box_suppresses_none(engine):
    """Its slot is emptied to a box at the corner; a true box that stands there must not mind."""
    rows = scattered([ZERO + 1, ZERO])
    rows[0, 0] = NAN
    rows[1, :2] = ZERO - 3, ZERO - 8  # onto the image's corner: 0.2 * 3 boxes up, 0.2 * 8 to the left
    assert len(detector_with(engine, replace(LOW, iou=0)).detect(picture(rows), "rgb")) == 1


def test_boxes_without_area_suppress_none(engine):
    rows = scattered([ZERO, ZERO])
    rows[:2, 2:4] = MINUS_INFINITY
    rows[1, 1] = ZERO - 5  # the same place as the first
    assert run(engine, rows[None], replace(LOW, iou=0))["keep"].sum() == 2


def test_what_is_not_in_the_image_is_no_detection(engine):
    rows = scattered([ZERO + 4, ZERO + 3, ZERO + 2, ZERO + 1, ZERO])
    rows[0, 2:4] = MINUS_INFINITY  # without area
    rows[1, 0] = ZERO - 6  # above the image
    rows[2, 0] = ZERO + 99  # below
    rows[3, 0] = ZERO - 4  # its lower third is in the image
    detector = detector_with(engine, replace(LOW, max_detections=2))
    found = detector.detect(picture(rows), "rgb")
    np.testing.assert_allclose(found.boxes, [[3, 0, 4, 1.6], [4, 0, 5, 8]], atol=1e-5)


def duplicates(*class_ids: int) -> np.ndarray:
    """Rows of bytes with one box per class id, all in the same place, each a little less certain."""
    rows = nothing()
    for index, class_id in enumerate(class_ids):
        rows[index, 1] = ZERO - 5 * index
        rows[index, 5 + class_id] = 200 - index
    return rows


@pytest.mark.parametrize(
    ("class_ids", "kept"), [((), []), ((1,), [1]), ((1, 1), [1]), ((1, 2, 1, 0, 2), [1, 2, 0])]
)
def test_of_duplicates_the_best_of_each_class_stays(engine, class_ids, kept):
    found = detector_with(engine, LOW).detect(picture(duplicates(*class_ids)), "rgb")
    assert found.class_ids.tolist() == kept


def test_one_anchor_may_be_of_several_classes(engine):
    rows = nothing()
    rows[3, 5:] = 150, 160, 170
    found = detector_with(engine, LOW).detect(picture(rows), "rgb")
    assert found.class_ids.tolist() == [2, 1, 0]


@pytest.mark.parametrize(
    ("classes", "expected"),
    [
        ((0.01, 0.01, 0.01), [1, 2, 0]),
        ((0.01, 1.1, 0.01), [2, 0]),
        ((1.1, 1.1, 1.1), []),
        ((0.01, np.inf, 0.01), [2, 0]),
        ((1.0, 1.0, 1.0), []),
    ],
)
def test_class_threshold_switches_classes_off(engine, classes, expected):
    thresholds = replace(LOW, classes=classes)
    found = detector_with(engine, thresholds).detect(picture(duplicates(1, 2, 0)), "rgb")
    assert found.class_ids.tolist() == expected


def test_a_certain_detection_passes_threshold_1_but_none_above(engine):
    image = picture(scattered([INFINITY]))
    assert len(detector_with(engine, replace(LOW, classes=(1.0,) * CLASSES)).detect(image, "rgb")) == 1
    assert len(detector_with(engine, replace(LOW, classes=(1.001,) * CLASSES)).detect(image, "rgb")) == 0


def test_a_score_equal_to_its_threshold_is_reported(engine):
    """Logit 0 is 0.5 exactly."""
    image = picture(scattered([ZERO]))
    assert len(detector_with(engine, replace(LOW, classes=(0.5,) * CLASSES)).detect(image, "rgb")) == 1


@pytest.mark.parametrize(
    ("iou", "kept"), [(0.0, [0]), (0.42, [0]), (0.43, [0, 2]), (0.66, [0, 2]), (0.67, [0, 1, 2])]
)
def test_iou_threshold_between_neighbours_of_a_chain(engine, iou, kept):
    """Neighbours have an IoU of 2/3, the next but one of 3/7."""
    assert np.flatnonzero(run(engine, chain(3)[None], replace(LOW, iou=iou))["keep"][0]).tolist() == kept


def saturating_detector(boxes: int) -> Detector:
    """A detector with eight candidate slots that has seen one image with this many boxes apart."""
    card = table_card(candidates=8)
    detector = open_onnxruntime(card, table_network())
    found = detector.detect(picture(scattered([ZERO + 1] * boxes)), "rgb")
    assert len(found) == min(boxes, 8)
    return detector


@pytest.mark.parametrize(("boxes", "saturated"), [(0, 0), (7, 0), (8, 1), (9, 1), (ANCHORS, 1)])
def test_more_candidates_than_slots_count_as_saturated(boxes, saturated):
    detector = saturating_detector(boxes)
    assert (detector.counts.images, detector.counts.saturated) == (1, saturated)


def test_of_too_many_candidates_the_best_enter():
    card = table_card(candidates=8)
    detector = open_onnxruntime(card, table_network())
    rows = scattered([130 + (7 * index) % ANCHORS for index in range(ANCHORS)])
    assert_same(
        detector.detect(picture(rows), "rgb"),
        textbook_detections(rows, card, replace(detector.thresholds, max_detections=8)),
    )


@pytest.mark.parametrize(("candidates", "slots"), [(None, 20), (1, 1), (150, 150), (3840, ANCHORS * CLASSES)])
def test_candidates_are_the_card_s_or_the_caller_s_but_no_more_than_there_can_be(candidates, slots):
    model = compose(table_network(), table_card(candidates=20), candidates)
    scores = next(output for output in model.graph.output if output.name == "scores")
    assert scores.type.tensor_type.shape.dim[1].dim_value == slots
