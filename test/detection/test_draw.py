"""Drawings judged by their structure: which pixels change, in which colour, and what is written where."""

from itertools import combinations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trt_ssd_ros.detection.detections import Detections
from trt_ssd_ros.detection.draw import DrawStyle, class_color, draw_detections
from trt_ssd_ros.detection.region import Window

GREY = 90
LABELS = ("person", "traffic light", "Café façade", "猫", "two\nlines", "")


def canvas(height: int = 240, width: int = 320) -> np.ndarray:
    return np.full((height, width, 3), GREY, np.uint8)


def found(*rows: tuple) -> Detections:
    """Return detections from rows of (x1, y1, x2, y2), score, class id."""
    boxes, scores, class_ids = zip(*rows, strict=True) if rows else ([], [], [])
    return Detections(np.reshape(boxes, (-1, 4)), scores, class_ids)


def changed(drawn: np.ndarray) -> np.ndarray:
    return (drawn != GREY).any(axis=-1)


def in_color(drawn: np.ndarray, class_id: int) -> np.ndarray:
    return (drawn == class_color(class_id)[::-1]).all(axis=-1)


def record_writing(monkeypatch: pytest.MonkeyPatch) -> list[tuple]:
    """Return a list that gains (plate, text, origin, colour, text width) of everything that is written."""
    records, put_text = [], cv2.putText

    def record(plate, text, origin, font, scale, color, stroke, line_type):
        (text_width, _), _ = cv2.getTextSize(text, font, scale, stroke)
        put_text(plate, text, origin, font, scale, color, stroke, line_type)
        records.append((plate, text, origin, color, text_width))

    monkeypatch.setattr(cv2, "putText", record)
    return records


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[tuple]:
    return record_writing(monkeypatch)


@pytest.mark.parametrize("box", [None, (321, 10, 500, 50), (10, -90, 50, -20), (np.nan, 10, 50, 50)])
def test_nothing_to_draw_gives_a_fresh_equal_image(box):
    image, rows = canvas(), [(box, 0.9, 0)] if box else []
    drawn = draw_detections(image, found(*rows), LABELS)
    np.testing.assert_array_equal(drawn, image)
    assert not np.shares_memory(drawn, image)


@pytest.mark.parametrize("view", ["plain", "read-only", "cropped", "mirrored", "transposed"])
def test_the_callers_image_is_left_alone(view):
    image = canvas(480, 640)
    image.setflags(write=view != "read-only")
    views = {"cropped": image[100:340, 100:420], "mirrored": image[::-1, ::-1], "transposed": image.swapaxes(0, 1)}
    image = views.get(view, image)
    drawn = draw_detections(image, found(((20, 60, 120, 160), 0.9, 0)), LABELS)
    assert (image == GREY).all()
    assert changed(drawn).any()
    assert drawn.shape == image.shape
    assert drawn.flags.c_contiguous
    assert drawn.flags.writeable


def test_only_the_box_and_the_plate_above_it_are_painted(written):
    drawn = draw_detections(canvas(), found(((100, 80, 200, 180), 0.87, 0)), LABELS)
    plate, mask = written[0][0], changed(drawn)
    assert mask[80 - len(plate) : 80, 100 : 100 + plate.shape[1]].all()
    mask[80 - len(plate) : 80, 100 : 100 + plate.shape[1]] = False
    line_and_outline = np.zeros_like(mask)
    line_and_outline[79:181, 99:201] = True
    line_and_outline[83:177, 103:197] = False
    np.testing.assert_array_equal(mask[80:], line_and_outline[80:])
    assert not mask[:79].any()


@pytest.mark.parametrize(
    ("box", "corner"),
    [
        pytest.param((100, 80, 200, 180), (100, 80), id="above, flush left"),
        pytest.param((100, 5, 200, 180), (100, 5), id="inside, where nothing is above"),
        pytest.param((-50, -50, 200, 180), (0, 0), id="at the corner"),
        pytest.param((290, 80, 310, 180), (320, 80), id="shifted left at the right border"),
        pytest.param((0, 0, 320, 240), (0, 0), id="the whole image"),
    ],
)
def test_where_the_plate_is(written, box, corner):
    image = draw_detections(canvas(), found((box, 0.87, 0)), LABELS)
    plate = written[0][0]
    start = (plate.__array_interface__["data"][0] - image.__array_interface__["data"][0]) // 3
    top, left = divmod(start, image.shape[1])
    bottom, right = top + plate.shape[0], left + plate.shape[1]
    assert (right if corner[0] == 320 else left, bottom if corner[1] == 80 else top) == corner


COORDINATE = st.floats(-0.3, 1.3)
BOX = st.tuples(COORDINATE, COORDINATE, COORDINATE, COORDINATE)


@settings(max_examples=50)
@given(
    st.integers(20, 400),
    st.integers(64, 400),
    st.lists(st.tuples(BOX, st.floats(0, 1), st.integers(-1, 9)), min_size=1, max_size=5),
    st.lists(st.text("ajé猫\n", max_size=30), max_size=8),
)
def test_every_caption_is_whole_inside_its_plate(height, width, rows, labels):
    rows = [(np.multiply(box, (width, height, width, height)), *rest) for box, *rest in rows]
    with pytest.MonkeyPatch.context() as monkeypatch:
        records = record_writing(monkeypatch)
        drawn = draw_detections(canvas(height, width), found(*rows), labels)
    assert drawn.shape == (height, width, 3)
    for plate, text, (left, baseline), _, text_width in records:
        assert text.endswith("%")
        assert text.isascii()
        assert left + text_width + left == plate.shape[1] <= width
        assert baseline < plate.shape[0] <= height


@pytest.mark.parametrize(("height", "width"), [(64, 64), (240, 320), (720, 1280), (2160, 3840)])
def test_no_letter_touches_the_edge_of_its_plate(written, height, width):
    box = (width // 8, height // 2, width, height)
    draw_detections(canvas(height, width), found((box, 0.5, 0)), ["Agjy"])
    ink = ~in_color(written[0][0], 0)
    assert ink.any()
    assert not ink[[0, -1]].any()
    assert not ink[:, [0, -1]].any()


@pytest.mark.parametrize(
    ("class_id", "score", "text"),
    [
        (0, 0.87, "person 87%"),
        (0, 0.004, "person 0%"),
        (0, 0.996, "person 100%"),
        (2, 0.5, "Cafe facade 50%"),
        (3, 0.5, "? 50%"),
        (4, 0.5, "two?lines 50%"),
        (5, 0.5, "50%"),
        (6, 0.5, "6 50%"),
        (-1, 0.5, "-1 50%"),
    ],
)
def test_captions(written, class_id, score, text):
    draw_detections(canvas(), found(((100, 80, 200, 180), score, class_id)), LABELS)
    assert written[0][1] == text


def test_the_caption_of_a_tracked_object_shows_its_number(written):
    rows = found(((100, 80, 200, 180), 0.87, 0), ((10, 80, 50, 180), 0.9, 2))
    ids = np.array(["1f3a.2-12", ""])
    tracked = Detections(rows.boxes, rows.scores, rows.class_ids, ids)
    draw_detections(canvas(), tracked, LABELS)
    assert [record[1] for record in written] == ["person 12 87%", "Cafe facade 90%"]


@pytest.mark.parametrize("width", range(64, 128, 7))
def test_a_name_too_long_for_the_image_is_shortened_as_far_as_needed(written, width):
    draw_detections(
        canvas(64, width), found(((10, 30, 40, 60), 0.5, 0)), ["illiterate lilliputians all in a line"]
    )
    plate, text, (left, _), _, text_width = written[0]
    assert text.startswith("illi")
    assert text.endswith(".. 50%")
    assert width - 10 < left + text_width + left == plate.shape[1]


@pytest.mark.parametrize(
    ("height", "width", "line"), [(64, 64, 1), (240, 320, 2), (720, 1280, 4), (2160, 3840, 9)]
)
def test_lines_and_letters_grow_with_the_image(written, height, width, line):
    x1, y1, x2, y2 = width // 4, height // 2, width // 2, height - height // 8
    drawn = draw_detections(canvas(height, width), found(((x1, y1, x2, y2), 0.9, 0)), LABELS)
    assert in_color(drawn, 0)[:, (x1 + x2) // 2][y1 + 10 :].sum() == line
    assert 0.02 < len(written[0][0]) / height < 0.25


def test_boxes_are_clipped_so_that_all_four_lines_show():
    drawn = draw_detections(canvas(), found(((-50, -50, np.inf, 1e30), 0.9, 0)), LABELS)
    at_border = draw_detections(canvas(), found(((0, 0, 320, 240), 0.9, 0)), LABELS)
    np.testing.assert_array_equal(drawn, at_border)
    lines = in_color(drawn, 0)
    assert lines[:, -1].all()
    assert lines[-1].all()
    assert lines[100:, 0].all()
    assert lines[0, 100:].all()


@pytest.mark.parametrize("scores", [(0.9, 0.4), (0.4, 0.9), (0.5,) * 50])
def test_the_best_is_on_top_and_the_first_of_equals(scores):
    rows = [((100, 80, 200, 180), score, class_id) for class_id, score in enumerate(scores)]
    drawn = draw_detections(canvas(), found(*rows), LABELS)
    assert (drawn[130, 100:102] == class_color(int(np.argmax(scores)))[::-1]).all()


def test_a_label_is_never_crossed_by_a_line(written):
    below = ((100, 100, 200, 200), 0.4, 0)
    across = ((120, 20, 140, 220), 0.9, 1)
    drawn = draw_detections(canvas(), found(across, below), LABELS)
    plate = next(plate for plate, text, *_ in written if text == "person 40%")
    assert not (plate == class_color(1)[::-1]).all(axis=-1).any()
    assert in_color(drawn, 1).any()


def test_a_class_keeps_its_colour_whatever_else_is_there():
    box, others = ((100, 80, 200, 180), 0.9, 7), [((10, 10, 60, 60), 0.95, 3), ((220, 10, 300, 60), 0.1, 0)]
    alone, among = (draw_detections(canvas(), found(*rows), LABELS) for rows in ([box], [*others, box]))
    assert in_color(alone, 7).sum() == in_color(among, 7).sum() > 300


def test_colours_of_neighbouring_classes_are_far_apart():
    colors = np.array([class_color(class_id) for class_id in range(91)], float)
    assert len(np.unique(colors, axis=0)) == 91
    for a, b in combinations(range(91), 2):
        assert np.linalg.norm(colors[a] - colors[b]) > (60 if abs(a - b) < 21 else 10), (a, b)


@pytest.mark.parametrize("channel_order", ["bgr", "rgb"])
def test_text_stands_out_from_its_plate(written, channel_order):
    """WCAG 2.1 asks for a contrast ratio of 4.5."""

    def luminance(color):
        linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in np.divide(color, 255)]
        return np.dot(linear, (0.2126, 0.7152, 0.0722))

    for class_id in range(91):
        draw_detections(canvas(), found(((100, 80, 200, 180), 0.5, class_id)), LABELS, channel_order)
        darker, lighter = sorted([luminance(class_color(class_id)), luminance(written[-1][3])])
        assert (lighter + 0.05) / (darker + 0.05) >= 4.5, class_id


def test_channel_order_changes_nothing_but_the_order():
    bgr = np.random.default_rng(0).integers(0, 256, (240, 320, 3), np.uint8)
    detections = found(((20, 60, 120, 160), 0.9, 0), ((100, 0, 320, 240), 0.4, 7))
    rgb_drawn = draw_detections(bgr[..., ::-1], detections, LABELS, "rgb")
    np.testing.assert_array_equal(rgb_drawn[..., ::-1], draw_detections(bgr, detections, LABELS, "bgr"))
    assert (rgb_drawn == class_color(0)).all(axis=-1).sum() > 300


@pytest.mark.parametrize(
    "pixels", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 3), np.float32)]
)
def test_other_pixels_are_refused(pixels):
    with pytest.raises(
        ValueError, match=rf"{pixels.dtype} \({pixels.shape[0]}, .*expected uint8 \(height, width, 3\)"
    ):
        draw_detections(pixels, Detections.empty(), LABELS)


@pytest.mark.parametrize("line_width", [1, 5, 20, 60])
def test_the_line_is_as_wide_as_asked(line_width):
    box = (60, 20, 280, 230)
    style = DrawStyle(line_width, captions=False)
    drawn = draw_detections(canvas(), found((box, 0.9, 0)), LABELS, style=style)
    assert in_color(drawn, 0)[145].sum() == 2 * line_width


def test_captions_can_be_left_out(written):
    box = ((60, 60, 280, 230), 0.9, 0)
    draw_detections(canvas(), found(box), LABELS, style=DrawStyle(captions=False))
    assert written == []
    draw_detections(canvas(), found(box), LABELS)
    assert [text for _, text, *_ in written] == ["person 90%"]


def test_the_region_is_outlined_under_the_boxes():
    region = Window(40, 30, 300, 220)
    drawn = draw_detections(canvas(), found(((40, 60, 120, 160), 0.9, 0)), LABELS, views=[region])
    white = (drawn == 255).all(axis=-1)
    assert white[30, 40:300].all()
    assert white[219, 40:300].all()
    assert white[165:220, 299].all()
    assert not white[:, :40].any()
    assert not white[34:216, 125:296].any()
    assert in_color(drawn, 0)[100, 40], "a box lies over it"


@pytest.mark.parametrize(("height", "width"), [(64, 64), (240, 320), (720, 1280), (2160, 3840)])
def test_a_note_is_whole_in_the_lower_left_corner(written, height, width):
    drawn = draw_detections(canvas(height, width), Detections.empty(), LABELS, note="12 ms")
    [(plate, text, (left, baseline), color, text_width)] = written
    assert text == "12 ms"
    assert color == (255, 255, 255)
    assert left + text_width < plate.shape[1] <= width
    assert baseline < plate.shape[0] <= height
    rows, columns = np.nonzero(changed(drawn))
    assert (rows.min(), rows.max()) == (height - plate.shape[0], height - 1)
    assert (columns.min(), columns.max()) == (0, plate.shape[1] - 1)


def test_a_note_is_cut_where_the_image_ends(written):
    draw_detections(canvas(64, 64), Detections.empty(), LABELS, note="a long note that does not fit")
    [(plate, text, _, _, text_width)] = written
    assert "a long note that does not fit".startswith(text)
    assert 0 < text_width < plate.shape[1] <= 64


def test_no_region_and_no_note_change_nothing():
    detections = found(((20, 60, 120, 160), 0.9, 0))
    plain = draw_detections(canvas(), detections, LABELS)
    np.testing.assert_array_equal(draw_detections(canvas(), detections, LABELS, views=(), note=""), plain)
