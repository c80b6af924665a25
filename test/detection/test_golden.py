"""The shipped models against an independent decode of their raw outputs, written here in plain NumPy and float64.

Nothing of the composed graph is used in the reference: it resizes by itself, runs the network as it is on disk,
and has priors, sigmoid, box decoding and NMS of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import cv2
import numpy as np
import onnxruntime
import pytest

from trt_ssd_ros.detection.agreement import HALF, disagreements
from trt_ssd_ros.detection.detections import Detections
from trt_ssd_ros.detection.detector import Detector
from trt_ssd_ros.detection.thresholds import Thresholds
from trt_ssd_ros.engines.onnxruntime_engine import OnnxRuntimeEngine
from trt_ssd_ros.images.frame import frame_from_message
from trt_ssd_ros.models.card import ModelCard
from trt_ssd_ros.models.graph import compose
from trt_ssd_ros.models.network import load_network
from trt_ssd_ros.models.shipped import model_card_path

SCORE_TOLERANCE = 1e-4
IOU_THRESHOLD = 0.6

PHOTOS = ("chelsea", "astronaut", "coffee")
SHOWN = {
    "ssd_mobilenet_v2_oidv4": ("Cat", "Person", "Coffee cup"),
    "ssdlite_mobilenet_v2_coco": ("cat", "person", "cup"),
}
"""Best detection in each photograph, by model."""
BOX_TOLERANCES = {"ssd_mobilenet_v2_oidv4": 2e-3, "ssdlite_mobilenet_v2_coco": 1e-4}
"""In image sides: OpenCV, which stands for half_pixel in the reference, rounds weights to 1/2048."""
TENSORFLOW = {
    "chelsea": [("cat", 0.936, (1, 2, 407, 298))],
    "astronaut": [("person", 0.624, (23, 11, 369, 489))],
    "coffee": [("cup", 0.963, (174, 21, 413, 243)), ("dining table", 0.736, (0, 3, 600, 395))],
}
"""Detections above 0.4 by the original ssdlite_mobilenet_v2_coco in TensorFlow 2.15.1; boxes in whole pixels."""
SIZES = [(), (641, 479), (33, 2000), (2000, 33)]
"""Width and height that the photographs are resized to; () for their own."""

Decoded = tuple[np.ndarray, np.ndarray]
"""Scores (1917, classes), and boxes (1917, 4) as x1 y1 x2 y2 in pixels of the image."""


def reference_priors() -> np.ndarray:
    """ssd_mobilenet's 1917 boxes (centre y, centre x, height, width), SSD paper section 2.2."""
    scales = [0.2, 0.35, 0.5, 0.65, 0.8, 0.95, 1.0]
    rows = []
    for layer, cells in enumerate([19, 10, 5, 3, 2, 1]):
        scale, between = scales[layer], np.sqrt(scales[layer] * scales[layer + 1])
        shapes = [(scale, ratio) for ratio in (1, 2, 0.5, 3, 0.3333)] + [(between, 1)]
        for row in range(cells):
            for column in range(cells):
                for size, ratio in [(0.1, 1), (scale, 2), (scale, 0.5)] if layer == 0 else shapes:
                    centre = (row + 0.5) / cells, (column + 0.5) / cells
                    rows.append((*centre, size / np.sqrt(ratio), size * np.sqrt(ratio)))
    return np.array(rows)


def reference_decode(encodings: np.ndarray, logits: np.ndarray, width: int, height: int) -> Decoded:
    """Decode one image's raw outputs."""
    priors = reference_priors()
    dy, dx, dh, dw = (encodings.astype(np.float64) / [10, 10, 5, 5]).T
    y, x = priors[:, 0] + dy * priors[:, 2], priors[:, 1] + dx * priors[:, 3]
    half_height, half_width = priors[:, 2] * np.exp(dh) / 2, priors[:, 3] * np.exp(dw) / 2
    corners = np.stack([x - half_width, y - half_height, x + half_width, y + half_height], axis=1)
    scores = 1 / (1 + np.exp(-logits[:, 1:].astype(np.float64)))  # column 0 is the background
    return scores, corners * [width, height, width, height]


def reference_iou(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of two boxes x1 y1 x2 y2."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    both = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
    return width * height / (both - width * height)


def reference_nms(decoded: Decoded, score_threshold: float, width: int, height: int) -> Detections:
    """Keep the boxes of each class that overlap no better one, best first, clipped to the image."""
    scores, boxes = decoded
    kept: list[tuple[int, int]] = []
    for anchor, class_id in sorted(np.argwhere(scores >= score_threshold), key=lambda at: -scores[tuple(at)]):
        rivals = [other for other, same in kept if same == class_id]
        overlaps = np.array([reference_iou(boxes[other], boxes[anchor]) for other in rivals])
        leads = scores[rivals, class_id] - scores[anchor, class_id]
        assert np.all(np.abs(overlaps - IOU_THRESHOLD) > 1e-4), "an overlap that rounding could decide"
        assert np.all(leads[overlaps > IOU_THRESHOLD] > 1e-5), "a tie that rounding could decide"
        if np.all(overlaps <= IOU_THRESHOLD):
            kept.append((anchor, class_id))
    anchors, class_ids = np.array(kept).T
    return Detections(
        np.clip(boxes[anchors], 0, [width, height, width, height]), scores[anchors, class_ids], class_ids
    )


def clear_threshold(scores: np.ndarray, lowest: float, highest: float) -> float:
    """Return the score threshold that is furthest from every score, so that rounding cannot decide."""
    near = np.sort([lowest, *scores[(scores > lowest) & (scores < highest)], highest])
    gap = np.argmax(np.diff(near))
    assert near[gap + 1] - near[gap] > 4 * SCORE_TOLERANCE
    return (near[gap] + near[gap + 1]) / 2


@pytest.fixture(scope="module", params=SHOWN)
def card(request: pytest.FixtureRequest) -> ModelCard:
    """The card of each shipped model."""
    return ModelCard.load(model_card_path(request.param))


@pytest.fixture(scope="module")
def shipped_engine(card: ModelCard) -> OnnxRuntimeEngine:
    """The graph of each shipped model, under ONNX Runtime."""
    return OnnxRuntimeEngine(compose(load_network(card), card))


def resized_asymmetrically(image: np.ndarray, side: int) -> np.ndarray:
    """Bilinear resize (H, W, 3) to (side, side, 3) as TensorFlow 1 does: output i lies at i * H / side."""
    for axis in (0, 1):
        at = np.arange(side) * (image.shape[axis] / side)
        before = np.floor(at).astype(int)
        after = np.minimum(before + 1, image.shape[axis] - 1)
        weight = (at - before).reshape([side if number == axis else 1 for number in range(3)])
        image = image.take(before, axis) * (1 - weight) + image.take(after, axis) * weight
    return image


@pytest.fixture(scope="module")
def reference(card: ModelCard) -> Callable[[np.ndarray], Decoded]:
    """Run the network as it is on disk on a bgr image and decode what it says."""
    session = onnxruntime.InferenceSession(card.onnx.path.read_bytes(), providers=["CPUExecutionProvider"])

    def run(image: np.ndarray) -> Decoded:
        rgb = np.ascontiguousarray(image[..., ::-1], np.float32)
        if card.input.resize == "asymmetric":
            resized = resized_asymmetrically(rgb.astype(np.float64), 300).astype(np.float32)
        else:
            resized = cv2.resize(rgb, (300, 300), interpolation=cv2.INTER_LINEAR)
        encodings, logits = session.run(
            ["raw_outputs/box_encodings", "raw_outputs/class_predictions"],
            {"normalized_input_image_tensor": (resized / np.float32(127.5) - 1)[None]},
        )
        height, width = image.shape[:2]
        scores, boxes = reference_decode(encodings[0], logits[0], width, height)
        scores[:, [not label for label in card.labels]] = 0
        return scores, boxes

    return run


def assert_same(found: Detections, expected: Detections, tolerance: float) -> None:
    """Compare class by class: of two classes with almost the same score, either may come first.

    Args:
        tolerance: Of the boxes, in pixels.
    """
    assert np.all(np.diff(found.scores) <= 0)
    found = found[np.lexsort((-found.scores, found.class_ids))]
    expected = expected[np.lexsort((-expected.scores, expected.class_ids))]
    np.testing.assert_array_equal(found.class_ids, expected.class_ids)
    np.testing.assert_allclose(found.scores, expected.scores, rtol=0, atol=SCORE_TOLERANCE)
    np.testing.assert_allclose(found.boxes, expected.boxes, rtol=0, atol=tolerance)


def assert_identical(found: Detections, expected: Detections) -> None:
    np.testing.assert_array_equal(found.class_ids, expected.class_ids)
    np.testing.assert_array_equal(found.scores, expected.scores)
    np.testing.assert_array_equal(found.boxes, expected.boxes)


def set_score_threshold(detector: Detector, score: float) -> None:
    assert detector.thresholds.iou == IOU_THRESHOLD
    detector.thresholds = Thresholds.uniform(detector.card, score)


@pytest.mark.parametrize("number", range(3))
def test_the_best_detection_is_what_the_photograph_shows(detector, card, photo, number):
    best = detector.detect(photo(PHOTOS[number]))[:1]
    assert [card.labels[class_id] for class_id in best.class_ids] == [SHOWN[card.name][number]]
    assert best.scores[0] > 0.5


@pytest.mark.parametrize("name", PHOTOS)
def test_coco_detections_are_those_of_the_original_in_tensorflow(detector, card, photo, name):
    if card.name != "ssdlite_mobilenet_v2_coco":
        pytest.skip("the original's detections were recorded for ssdlite_mobilenet_v2_coco")
    set_score_threshold(detector, 0.4)
    found = detector.detect(photo(name))
    labels, scores, boxes = zip(*TENSORFLOW[name], strict=True)
    assert [card.labels[class_id] for class_id in found.class_ids] == list(labels)
    np.testing.assert_allclose(found.scores, scores, rtol=0, atol=1e-3)
    np.testing.assert_allclose(found.boxes, boxes, rtol=0, atol=1.0)


@pytest.mark.parametrize("name", PHOTOS)
def test_detections_at_the_card_s_thresholds_are_those_of_an_independent_decode(
    detector, card, reference, photo, name
):
    image = photo(name)
    height, width = image.shape[:2]
    expected = reference_nms(reference(image), 0.3, width, height)
    assert_same(detector.detect(image), expected, BOX_TOLERANCES[card.name] * max(width, height))


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("name", PHOTOS)
def test_weak_detections_at_any_image_size_are_those_of_an_independent_decode(
    detector, card, reference, photo, name, size
):
    image = photo(name, *size)
    height, width = image.shape[:2]
    decoded = reference(image)
    highest = min(0.15, 0.9 * decoded[0].max())  # some distorted photographs show almost nothing
    threshold = clear_threshold(decoded[0], highest * 2 / 3, highest)
    set_score_threshold(detector, threshold)
    found = detector.detect(image)
    assert len(found) > 0
    expected = reference_nms(decoded, threshold, width, height)
    assert_same(found, expected, BOX_TOLERANCES[card.name] * max(width, height))


def message_of(image: np.ndarray, encoding: str) -> SimpleNamespace:
    """A stand-in for a sensor_msgs/Image that holds a bgr image in another encoding, its rows padded."""
    colours = {
        "bgr8": image,
        "rgb8": image[..., ::-1],
        "bgra8": cv2.cvtColor(image, cv2.COLOR_BGR2BGRA),
        "rgba8": cv2.cvtColor(image, cv2.COLOR_BGR2RGBA),
    }
    rows = colours[encoding].reshape(len(image), -1)
    padded = np.pad(rows, ((0, 0), (0, 7)), constant_values=255)
    return SimpleNamespace(
        height=image.shape[0],
        width=image.shape[1],
        encoding=encoding,
        is_bigendian=0,
        step=padded.shape[1],
        data=padded.tobytes(),
    )


@pytest.mark.parametrize("size", SIZES[:2], ids=str)
@pytest.mark.parametrize("encoding", ["bgr8", "rgb8", "bgra8", "rgba8"])
def test_every_encoding_of_an_image_gives_identical_detections(detector, photo, encoding, size):
    image = photo("astronaut", *size)
    set_score_threshold(detector, 0.03)
    frame = frame_from_message(message_of(image, encoding))
    found = detector.detect(frame.pixels, frame.channel_order)
    assert len(found) > 10
    assert_identical(found, detector.detect(image))


@pytest.mark.parametrize("size", [(), (1280, 720)], ids=str)
@pytest.mark.parametrize("name", PHOTOS)
def test_host_and_engine_resize_alike(detector, photo, name, size):
    image = photo(name, *size)
    expected = detector.detect(image)
    detector.resize_on = "host"
    frames = [frame_from_message(message_of(image, encoding)) for encoding in ("bgr8", "rgba8")]
    for found in (detector.detect(image), *map(detector.detect_frame, frames)):
        assert disagreements(found, expected, HALF, detector.thresholds.lowest, max(image.shape[:2])) == []
    assert max(expected.scores) > 0.5


def test_the_host_batches_images_of_any_size(detector, photo):
    images = [photo(PHOTOS[0]), photo(PHOTOS[1], 641, 479), photo(PHOTOS[2], 33, 2000)]
    one_by_one = [detector.detect(image) for image in images]
    assert [len(found) for found in detector.detect_batch(images)] == [len(found) for found in one_by_one]
    detector.resize_on = "host"
    for found, image in zip(detector.detect_batch(images), images, strict=True):
        assert_same(found, detector.detect(image), 0.03)


def test_channel_order_matters(detector, photo):
    """Guards the test above: were the colours ignored, it would pass as well."""
    image = photo("astronaut")
    assert not np.array_equal(detector.detect(image, "rgb").scores, detector.detect(image, "bgr").scores)


@pytest.mark.parametrize("count", [1, 3, 8])
def test_a_batch_finds_what_its_images_find_one_by_one(detector, photo, count):
    images = np.stack([photo(PHOTOS[number % 3], 320, 240) for number in range(count)])
    set_score_threshold(detector, 0.1)
    batch = detector.detect_batch(images)
    assert [len(found) > 0 for found in batch] == [True] * len(images)
    for found, image in zip(batch, images, strict=True):
        assert_same(found, detector.detect(image), 0.03)
