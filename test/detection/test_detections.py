from __future__ import annotations

import copy
import pickle
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest

from trt_ssd_ros.detection.detections import Detections


def detections(count: int) -> Detections:
    """Detections numbered 0, 1, 2, ... in every field."""
    numbers = np.arange(count)
    return Detections(np.tile(numbers[:, None], 4), numbers / 10, numbers)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_arrays_have_the_documented_types_and_shapes(count):
    found = detections(count)
    assert len(found) == count
    assert (found.boxes.shape, found.boxes.dtype) == ((count, 4), np.float32)
    assert (found.scores.shape, found.scores.dtype) == ((count,), np.float32)
    assert (found.class_ids.shape, found.class_ids.dtype) == ((count,), np.int32)


def test_empty_is_empty_and_has_the_same_types():
    empty = Detections.empty()
    assert len(empty) == 0
    assert [a.dtype for a in (empty.boxes, empty.scores, empty.class_ids)] == [np.float32, np.float32, np.int32]
    assert empty.boxes.shape == (0, 4)


@pytest.mark.parametrize(
    ("boxes", "scores", "class_ids", "wrong"),
    [
        ((0,), (0,), (0,), "boxes"),
        ((0, 5), (0,), (0,), "boxes"),
        ((2, 4), (3,), (3,), "boxes"),
        ((3, 3), (3,), (3,), "boxes"),
        ((4,), (1,), (1,), "boxes"),
        ((1, 3, 4), (3,), (3,), "boxes"),
        ((3, 4), (3, 1), (3,), "scores"),
        ((3, 4), (3,), (2,), "class_ids"),
        ((3, 4), (3,), (3, 1), "class_ids"),
    ],
)
def test_a_wrong_shape_is_named_with_what_was_found_and_expected(boxes, scores, class_ids, wrong):
    with pytest.raises(ValueError, match=rf"^{wrong} has shape \(.*\), expected \(.*\)$"):
        Detections(np.zeros(boxes, np.float32), np.zeros(scores, np.float32), np.zeros(class_ids, np.int32))


@pytest.mark.parametrize("name", ["boxes", "scores", "class_ids"])
def test_arrays_are_read_only(name):
    with pytest.raises(ValueError, match="read-only"):
        getattr(detections(2), name)[0] = 1


@pytest.mark.parametrize("name", ["boxes", "scores", "class_ids"])
def test_fields_cannot_be_replaced(name):
    found = detections(2)
    with pytest.raises(FrozenInstanceError):
        setattr(found, name, getattr(found, name))


def test_the_callers_arrays_stay_writeable():
    boxes = np.zeros((1, 4), np.float32)
    Detections(boxes, np.ones(1, np.float32), np.zeros(1, np.int32))
    boxes[0] = 1
    assert boxes.flags.writeable


@pytest.mark.parametrize(
    ("index", "expected"),
    [
        (np.zeros(4, np.bool_), []),
        (np.ones(4, np.bool_), [0, 1, 2, 3]),
        (np.array([False, True, False, True]), [1, 3]),
        (np.array([], np.intp), []),
        (np.array([3, 0]), [3, 0]),
        (slice(0), []),
        (slice(2), [0, 1]),
        (slice(None, None, -1), [3, 2, 1, 0]),
    ],
)
def test_masks_index_arrays_and_slices_select_from_every_field(index, expected):
    selected = detections(4)[index]
    assert isinstance(selected, Detections)
    assert selected.boxes.tolist() == [[number] * 4 for number in expected]
    np.testing.assert_allclose(selected.scores, np.array(expected) / 10, rtol=1e-6)
    assert selected.class_ids.tolist() == expected


@pytest.mark.parametrize("names", [[], ["", "s-1", "s-12"]])
def test_ids_are_selected_with_the_boxes(names):
    found = replace(detections(len(names)), ids=np.array(names, np.str_))
    assert found[slice(None, None, -1)].ids.tolist() == names[::-1]
    assert detections(len(names))[slice(None)].ids is None


def test_ids_of_another_number_are_refused():
    with pytest.raises(ValueError, match=r"^ids has shape \(1,\), expected \(2,\)$"):
        replace(detections(2), ids=np.array(["s-1"]))


def test_a_mask_of_an_empty_result_is_empty():
    assert len(Detections.empty()[np.zeros(0, np.bool_)]) == 0


def test_a_mask_of_another_length_is_an_error():
    with pytest.raises(IndexError):
        detections(4)[np.ones(3, np.bool_)]


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda found: pickle.loads(pickle.dumps(found))])  # noqa: S301
def test_copies_hold_the_same(duplicate):
    found = duplicate(detections(3))
    assert found.boxes.tolist() == detections(3).boxes.tolist()
    assert found.class_ids.tolist() == [0, 1, 2]
