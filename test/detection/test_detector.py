"""Detector with an engine that answers what the test says."""

from __future__ import annotations

import threading
from dataclasses import replace
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from trt_ssd_ros.detection.detector import Detector
from trt_ssd_ros.detection.engine import TensorSpec
from trt_ssd_ros.detection.engine_sizes import UNUSED, EngineSizes
from trt_ssd_ros.detection.region import Region
from trt_ssd_ros.detection.thresholds import OFF, Thresholds, class_thresholds
from trt_ssd_ros.detection.views import WHOLE, Views
from trt_ssd_ros.images.frame import Frame, frame_from_message
from trt_ssd_ros.models.card import Defaults, ModelCard

WIDTH, HEIGHT = 200, 100

# Five candidates of one image, best first: box normalised to the image, score, class id, survives NMS.
CANDIDATES = [
    ((0.1, 0.1, 0.2, 0.2), 0.9, 3, 1),
    ((0.1, 0.1, 0.2, 0.2), 0.8, 3, 0),
    ((0.5, 0.5, 1.5, 1.5), 0.7, 7, 1),
    ((-1.0, 0.5, 0.25, 0.75), 0.6, 0, 1),
    ((0.0, 0.0, 0.0, 0.0), 0.0, 0, 0),
]


def outputs_of(candidates: list[tuple], settled: int = 1) -> dict[str, np.ndarray]:
    """Put one image's candidates into the graph's outputs."""
    boxes, scores, class_ids, keep = zip(*candidates, strict=True)
    return {
        "boxes": np.array([boxes], np.float32),
        "scores": np.array([scores], np.float32),
        "class_ids": np.array([class_ids], np.int32),
        "keep": np.array([keep], np.int32),
        "settled": np.array([settled], np.int32),
    }


class FakeEngine:
    """Answers every call with the same outputs and remembers what it was asked."""

    name = "fake"

    def __init__(self, *images: dict[str, np.ndarray]) -> None:
        self.inputs = {"image": TensorSpec(np.dtype(np.uint8), ("N", "H", "W", 3))}
        self.asked: list[dict[str, np.ndarray]] = []
        self.closed = 0
        self.outputs = {name: np.concatenate([image[name] for image in images]) for name in images[0]}

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        self.asked.append(inputs)
        return self.outputs

    def close(self) -> None:
        self.closed += 1


def image(count: int | None = None) -> np.ndarray:
    shape = (HEIGHT, WIDTH, 3)
    return np.zeros(shape if count is None else (count, *shape), np.uint8)


def detector_on(card: ModelCard, *images: dict[str, np.ndarray]) -> tuple[Detector, FakeEngine]:
    engine = FakeEngine(*images)
    return Detector(engine, card), engine


def test_nothing_found_is_empty(card):
    nothing = [((0, 0, 0, 0), 0, 0, 0)] * 3
    detector, _ = detector_on(card, outputs_of(nothing))
    assert len(detector.detect(image())) == 0


def test_kept_candidates_become_detections_in_pixels_of_the_image(card):
    detector, _ = detector_on(card, outputs_of(CANDIDATES))
    found = detector.detect(image())
    np.testing.assert_allclose(found.boxes, [(20, 10, 40, 20), (100, 50, 200, 100), (0, 50, 50, 75)], rtol=1e-6)
    np.testing.assert_allclose(found.scores, [0.9, 0.7, 0.6], rtol=1e-6)
    assert found.class_ids.tolist() == [3, 7, 0]


@pytest.mark.parametrize(
    ("most", "scores"), [(1, [0.9]), (2, [0.9, 0.7]), (3, [0.9, 0.7, 0.6]), (99, [0.9, 0.7, 0.6])]
)
def test_max_detections_cuts_the_weakest(card, most, scores):
    detector, _ = detector_on(card, outputs_of(CANDIDATES))
    detector.thresholds = replace(detector.thresholds, max_detections=most)
    np.testing.assert_allclose(detector.detect(image()).scores, scores, rtol=1e-6)


def test_an_unsettled_image_gets_greedy_nms_whatever_the_graph_kept(card):
    wrong = [(box, score, class_id, 1 - keep) for box, score, class_id, keep in CANDIDATES]
    detector, _ = detector_on(card, outputs_of(wrong, settled=0))
    assert detector.detect(image()).class_ids.tolist() == [3, 7, 0]
    assert detector.counts.unsettled == 1


@pytest.mark.parametrize(("iou", "class_ids"), [(1.0, [3, 3, 7, 0]), (0.5, [3, 7, 0])])
def test_the_host_s_nms_uses_the_live_iou_threshold(card, iou, class_ids):
    detector, _ = detector_on(card, outputs_of(CANDIDATES, settled=0))
    detector.thresholds = replace(detector.thresholds, iou=iou)
    assert detector.detect(image()).class_ids.tolist() == class_ids


def test_every_image_of_a_batch_has_its_own_detections(card):
    nothing = outputs_of([((0, 0, 0, 0), 0, 0, 0)] * len(CANDIDATES))
    detector, _ = detector_on(card, nothing, outputs_of(CANDIDATES), outputs_of(CANDIDATES, settled=0))
    found = detector.detect_batch(image(3))
    assert [len(detections) for detections in found] == [0, 3, 3]
    assert (detector.counts.images, detector.counts.unsettled, detector.counts.saturated) == (3, 1, 0)


def test_counts_add_up_over_calls(card):
    full = outputs_of(CANDIDATES[:4])
    detector, _ = detector_on(card, full, outputs_of(CANDIDATES[:4], settled=0))
    detector.detect_batch(image(2))
    detector.detect_batch(image(2))
    assert (detector.counts.images, detector.counts.unsettled, detector.counts.saturated) == (4, 2, 4)


def test_the_engine_is_asked_in_the_graph_s_terms(card):
    detector, engine = detector_on(card, outputs_of(CANDIDATES))
    detector.thresholds = Thresholds((0.1,) * 22 + (2.0,), 0.25, 10)
    detector.detect(image())
    (asked,) = engine.asked
    assert {name: (array.dtype, array.shape) for name, array in asked.items()} == {
        "image": (np.uint8, (1, HEIGHT, WIDTH, 3)),
        "channel_order": (np.int32, (3,)),
        "class_threshold": (np.float32, (23,)),
        "iou_threshold": (np.float32, (1,)),
    }
    np.testing.assert_allclose(asked["class_threshold"], [0.1] * 22 + [2], rtol=1e-6)
    assert asked["iou_threshold"] == [0.25]


def test_the_image_is_not_copied_on_its_way_to_the_engine(card):
    detector, engine = detector_on(card, outputs_of(CANDIDATES))
    pixels = image()
    detector.detect(pixels)
    assert np.shares_memory(engine.asked[0]["image"], pixels)


@pytest.mark.parametrize(("arguments", "order"), [((), [2, 1, 0]), (("bgr",), [2, 1, 0]), (("rgb",), [0, 1, 2])])
def test_channel_order_says_where_red_green_and_blue_stand(card, arguments, order):
    detector, engine = detector_on(card, outputs_of(CANDIDATES))
    detector.detect(image(), *arguments)
    assert engine.asked[0]["channel_order"].tolist() == order


def test_detections_stay_when_the_engine_overwrites_its_outputs(card):
    """An engine's outputs are valid until the next call only."""
    detector, engine = detector_on(card, outputs_of(CANDIDATES))
    found = detector.detect(image())
    for output in engine.outputs.values():
        output[:] = 0
    assert found.scores.all()
    assert found.boxes.any()
    assert found.class_ids.any()


def test_close_closes_the_engine(card):
    detector, engine = detector_on(card, outputs_of(CANDIDATES))
    detector.close()
    assert engine.closed == 1


def test_a_detector_starts_with_the_card_s_thresholds(card):
    detector, _ = detector_on(card, outputs_of(CANDIDATES))
    assert detector.thresholds == Thresholds(class_thresholds(card.labels, 0.3), 0.6, 100)


def test_uniform_thresholds_are_the_same_for_every_class_that_has_a_name(card):
    three = replace(card, labels=("cat", "", "dog"), defaults=Defaults(0.25, 0.5, 50, 20))
    assert Thresholds.uniform(three) == Thresholds((0.25, OFF, 0.25), 0.5, 20)
    assert Thresholds.uniform(three, 0.0) == Thresholds((0.0, OFF, 0.0), 0.5, 20)


@pytest.mark.parametrize(
    "changes", [{}, {"classes": ()}, {"classes": (0, 1, 1.5, np.inf)}, {"iou": 0}, {"iou": 1}]
)
def test_thresholds_in_range(changes):
    replace(Thresholds((0.5,), 0.5, 1), **changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classes": (0.5, -0.1)}, r"class thresholds: found \(0.5, -0.1\), expected numbers of 0 or more"),
        ({"classes": (np.nan,)}, "class thresholds: found .*nan"),
        ({"iou": -0.1}, "IoU threshold: found -0.1, expected 0 to 1"),
        ({"iou": 1.1}, "IoU threshold: found 1.1"),
        ({"iou": np.nan}, "IoU threshold: found nan"),
        ({"max_detections": 0}, "max_detections: found 0, expected 1 or more"),
    ],
)
def test_thresholds_out_of_range_are_named(changes, message):
    with pytest.raises(ValueError, match=message):
        replace(Thresholds((0.5,), 0.5, 1), **changes)


@pytest.mark.parametrize("numbers", [(0.25, 0.5, 0.5, 0.5), (50, 50, 100, 999)])
def test_a_region_is_all_that_the_engine_sees_and_boxes_are_of_the_whole_image(card, numbers):
    detector, engine = detector_on(card, outputs_of(CANDIDATES))
    pixels = np.arange(HEIGHT * WIDTH * 3, dtype=np.uint8).reshape(HEIGHT, WIDTH, 3)
    found = detector.detect_frame(Frame(pixels, "bgr"), Views(Region.of(numbers)))
    seen = engine.asked[0]["image"]
    assert np.shares_memory(seen, pixels)
    np.testing.assert_array_equal(seen, pixels[None, 50:100, 50:150])
    np.testing.assert_allclose(found.boxes, [(60, 55, 70, 60), (100, 75, 150, 100), (50, 75, 75, 87.5)], rtol=1e-6)


def test_a_region_outside_of_the_image_is_refused_before_the_engine_is_asked(card):
    detector, engine = detector_on(card, outputs_of(CANDIDATES))
    with pytest.raises(ValueError, match=f"roi.*inside the image of {WIDTH}x{HEIGHT}"):
        detector.detect_frame(Frame(image(), "bgr"), Views(Region(WIDTH, 0, 10, 10)))
    assert engine.asked == []


def test_the_lowest_threshold_is_that_of_the_keenest_class():
    assert Thresholds((0.5, 0.2, 2.0), 0.5, 10).lowest == 0.2


class SlowEngine(FakeEngine):
    """Device with memory for some runs: each answers when fetched, its score the first value of its image."""

    def __init__(self, slots: int = 2, refused: tuple[int, ...] = ()) -> None:
        super().__init__(outputs_of(CANDIDATES))
        self.calls: list[str] = []
        self._slots, self._refused, self._flying = slots, refused, 0

    def start(self, inputs):
        number = int(inputs["image"].flat[0])
        self.calls.append(f"start {number}")
        if self._flying == self._slots:
            raise RuntimeError("out of memory")
        if number in self._refused:
            raise ValueError(f"image {number} is refused")
        self._flying += 1
        count = len(inputs["image"])
        shape = inputs["image"].shape
        assert self._flying == 1 or shape == self._shape, "runs in flight are of one shape"
        self._shape = shape

        def fetch():
            self.calls.append(f"fetch {number}")
            self._flying -= 1
            if number == 13:
                raise RuntimeError("run 13 failed")
            outputs = {name: np.repeat(values, count, axis=0) for name, values in self.outputs.items()}
            return {**outputs, "scores": outputs["scores"] * (number / 100)}

        return fetch

    def run(self, inputs):
        return self.start(inputs)()


def pictures(number: int, count: int = 1) -> list[np.ndarray]:
    return [image() + np.uint8(number)] * count


def best(found: list) -> list[float]:
    return [round(float(detections.scores[0] / 0.9) * 100) for detections in found]


@pytest.mark.parametrize("resize_on", ["engine", "host"])
def test_a_batch_is_started_while_the_one_before_is_running(card, resize_on):
    engine = SlowEngine()
    detector = Detector(engine, card)
    detector.resize_on = resize_on
    waits = [detector.start_batch(pictures(number, 3)) for number in (1, 2, 3)]
    assert engine.calls == ["start 1", "start 2", "fetch 1", "start 3"]
    assert [best(wait()) for wait in waits] == [[1] * 3, [2] * 3, [3] * 3]
    assert best(waits[0]()) == [1] * 3, "asked again"
    assert engine.calls[4:] == ["fetch 2", "fetch 3"]
    assert detector.counts.images == 9


def test_results_may_be_asked_for_in_any_order(card):
    detector = Detector(SlowEngine(), card)
    waits = [detector.start_batch(pictures(number)) for number in (1, 2)]
    assert [best(wait()) for wait in reversed(waits)] == [[2], [1]]


def test_images_of_another_shape_wait_for_those_in_flight(card):
    engine = SlowEngine()
    detector = Detector(engine, card)
    first, second = (
        detector.start_batch(pictures(1)),
        detector.start_batch([*pictures(2, 2), image()[:50] + np.uint8(3)]),
    )
    assert engine.calls == ["start 1", "fetch 1", "start 2", "fetch 2", "start 3"]
    assert (best(first()), best(second())) == ([1], [2, 2, 3])
    assert best(detector.detect_batch(pictures(4))) == [4]
    last = detector.start_batch(pictures(5))
    assert best(detector.detect_batch(pictures(6))) == [6], "a call that waits comes after those in flight"
    assert best(last()) == [5]


def test_each_batch_has_its_own_error(card):
    detector = Detector(SlowEngine(refused=(66,)), card)
    waits = {number: detector.start_batch(pictures(number)) for number in (1, 13, 66, 4)}
    for number in (1, 4):
        assert best(waits[number]()) == [number]
    for _ in range(2):
        with pytest.raises(RuntimeError, match="run 13 failed"):
            waits[13]()
        with pytest.raises(ValueError, match="image 66 is refused"):
            waits[66]()
    with pytest.raises(ValueError, match="found float64"):
        detector.start_batch([np.zeros((4, 4, 3))])


def test_a_device_with_memory_for_one_batch_runs_one_after_the_other(card):
    engine = SlowEngine(slots=1)
    detector = Detector(engine, card)
    waits = [detector.start_batch(pictures(number)) for number in (1, 2, 3)]
    assert engine.calls == ["start 1", "start 2", "fetch 1", "start 2", "fetch 2", "start 3"]
    assert [best(wait()) for wait in waits] == [[1], [2], [3]]


def test_closing_completes_what_is_in_flight(card):
    engine = SlowEngine()
    detector = Detector(engine, card)
    waits = [detector.start_batch(pictures(number)) for number in (1, 13)]
    detector.close()
    detector.close()
    assert engine.calls == ["start 1", "start 13", "fetch 1", "fetch 13"]
    assert best(waits[0]()) == [1]
    with pytest.raises(RuntimeError, match="run 13 failed"):
        waits[1]()


def test_thresholds_are_those_at_the_start(card):
    detector = Detector(SlowEngine(), card)
    wait = detector.start_batch(pictures(50))
    detector.thresholds = replace(detector.thresholds, max_detections=1)
    assert len(wait()[0]) == 3


def test_other_engines_are_done_when_they_have_started(card):
    detector, engine = detector_on(card, outputs_of(CANDIDATES))
    assert (detector.in_flight, Detector(SlowEngine(), card).in_flight) == (1, 2)
    wait = detector.start_batch([image()])
    assert len(engine.asked) == 1
    assert len(wait()[0]) == len(wait()[0]) == 3


@pytest.mark.parametrize("resize_on", ["engine", "host"])
def test_boxes_are_in_pixels_of_the_images_that_these_are_reduced_from(card, resize_on):
    detector = Detector(SlowEngine(), card)
    detector.resize_on = resize_on
    sizes = [(HEIGHT * 4, WIDTH * 4), (HEIGHT * 8, WIDTH * 8)]
    for found in (
        detector.detect_batch(pictures(1, 2), "bgr", sizes),
        detector.start_batch(pictures(1, 2), "bgr", sizes)(),
    ):
        for factor, detections in zip((4, 8), found, strict=True):
            np.testing.assert_allclose(detections.boxes[0], np.array([20, 10, 40, 20]) * factor, rtol=1e-6)


@pytest.mark.parametrize("resize_on", ["engine", "host"])
@pytest.mark.parametrize("numbers", [(0.25, 0.5, 0.5, 0.5), (51, 33, 99, 60)])
def test_a_region_of_a_frame_is_the_only_part_that_is_converted(card, resize_on, numbers):
    samples = np.random.default_rng(0).integers(16, 235, (HEIGHT * 3 // 2, WIDTH), np.uint8)
    frame = frame_from_message(
        SimpleNamespace(
            height=HEIGHT, width=WIDTH, encoding="nv12", is_bigendian=0, step=WIDTH, data=samples.tobytes()
        )
    )
    detector, engine = detector_on(card, outputs_of(CANDIDATES))
    detector.resize_on, views = resize_on, Views(Region(*numbers))
    found = detector.detect_frame(frame, views)
    assert "pixels" not in vars(frame)
    expected = detector.detect_frame(Frame(frame.pixels, "bgr"), views)
    np.testing.assert_array_equal(found.boxes, expected.boxes)
    seen, wanted = (asked["image"].astype(int) for asked in engine.asked)
    assert seen.shape == wanted.shape
    if resize_on == "engine":
        np.testing.assert_array_equal(seen, wanted)
    with pytest.raises(ValueError, match="expected it inside the image"):
        detector.detect_frame(frame, Views(Region(WIDTH, 0, 5, 5)))


def test_the_engine_takes_the_next_frame_while_one_is_running(card):
    engine = SlowEngine()
    numbered = [*(pictures(number)[0] for number in (1, 2, 3)), image()[:50] + np.uint8(4)]
    found = Detector(engine, card).detect_frames([(Frame(pixels, "bgr"), WHOLE) for pixels in numbered])
    assert best(found) == [1, 2, 3, 4]
    assert engine.calls == [
        *("start 1", "start 2", "fetch 1", "start 3"),
        *("fetch 2", "fetch 3", "start 4", "fetch 4"),
    ]


def test_a_frame_that_the_engine_refuses_does_not_affect_the_others(card):
    engine = SlowEngine(refused=(2,))
    frames = [(Frame(pictures(number)[0], "bgr"), WHOLE) for number in (1, 2, 3)]
    first, refused, last = Detector(engine, card).start_frames(frames)
    assert best([last(), first()]) == [3, 1]
    with pytest.raises(ValueError, match="image 2 is refused"):
        refused()
    assert [call for call in engine.calls if "start" in call] == ["start 1", "start 2", "start 3"]


def test_a_frame_of_several_views_does_not_change_how_the_others_are_resized(card):
    detector, engine = detector_on(card, outputs_of(CANDIDATES))
    detector.batch_sizes = (1,)
    frame = Frame(image(), "bgr")
    alone, tiled, _ = detector.detect_frames(
        [(frame, WHOLE), (frame, Views(tiles=(2, 1), whole=False)), (frame, WHOLE)]
    )
    network = (card.input.height, card.input.width)
    assert [asked["image"].shape[1:3] for asked in engine.asked] == [
        (HEIGHT, WIDTH),
        network,
        network,
        (HEIGHT, WIDTH),
    ]
    assert len(alone) == 3
    assert len(tiled) > 3


def test_sizes_beyond_those_that_the_engine_keeps_are_resized_on_the_host(card):
    detector, engine = detector_on(card, outputs_of(CANDIDATES))
    detector.batch_sizes, detector.engine_sizes = (1,), EngineSizes(2)
    frames = [(Frame(image()[: HEIGHT - cut], "bgr"), WHOLE) for cut in (0, 1, 2)]
    for _ in range(2):
        for frame, found in zip(frames, detector.detect_frames(frames), strict=True):
            assert found.boxes[1].tolist() == [WIDTH / 2, frame[0].size[0] / 2, WIDTH, frame[0].size[0]]
    network = (card.input.height, card.input.width)
    sizes = [(HEIGHT, WIDTH), (HEIGHT - 1, WIDTH), network]
    assert [asked["image"].shape[1:3] for asked in engine.asked] == sizes * 2


def test_a_size_that_no_longer_comes_makes_room_for_another_one():
    sizes = EngineSizes(2)
    assert [sizes.admits(size) for size in ((1, 1), (2, 2), (3, 3))] == [True, True, False]
    assert all(sizes.admits((2, 2)) for _ in range(UNUSED))
    assert [sizes.admits(size) for size in ((3, 3), (2, 2), (1, 1))] == [True, True, False]


@pytest.mark.parametrize("orders", [("bgr", "rgb"), ("rgb", "bgr"), ("rgb", "rgb")])
def test_frames_of_different_channel_orders_run_in_one_batch(card, orders):
    detector, engine = detector_on(card, outputs_of(CANDIDATES), outputs_of(CANDIDATES))
    detector.resize_on = "host"
    blue = {"bgr": (255, 0, 0), "rgb": (0, 0, 255)}
    frames = [Frame(np.full((HEIGHT, WIDTH, 3), blue[order], np.uint8), order) for order in orders]
    assert len(detector.detect_frames([(frame, WHOLE) for frame in frames])) == 2
    [asked] = engine.asked
    red_green_blue = asked["image"][..., asked["channel_order"]]
    assert (red_green_blue == (0, 0, 255)).all()


def test_a_bayer_pattern_is_converted_once_for_all_bands(card, monkeypatch):
    converted = []
    samples = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH), np.uint8)
    message = SimpleNamespace(
        height=HEIGHT, width=WIDTH, encoding="bayer_rggb8", is_bigendian=0, step=WIDTH, data=samples.tobytes()
    )

    def convert(pattern, code, convert=cv2.cvtColor):
        converted.append(threading.get_ident())
        return convert(pattern, code)

    monkeypatch.setattr(cv2, "cvtColor", convert)
    monkeypatch.setattr("trt_ssd_ros.images.resize.BAND_PIXELS", 100)
    detector, engine = detector_on(card, outputs_of(CANDIDATES))
    detector.resize_on = "host"
    for threads in (1, 3):
        detector.batch_resize.threads = detector.batch_resize.bands = threads
        detector.detect_frame(frame_from_message(message))
    detector.close()
    assert converted == [threading.get_ident()] * 2
    whole, divided = (asked["image"] for asked in engine.asked)
    np.testing.assert_array_equal(divided, whole)
