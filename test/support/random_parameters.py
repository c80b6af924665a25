"""Random parameters of a detector node: values that are right, values that are wrong, and what they mean.

What they mean is said here once more, in another way than in the package, to compare with.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from trt_ssd_ros.detection.detections import Detections
from trt_ssd_ros.detection.detector import Detector
from trt_ssd_ros.detection.thresholds import Thresholds
from trt_ssd_ros.models.card import ModelCard

WIDTH, HEIGHT = 320, 240
NUMBERS = st.floats(allow_nan=True, allow_infinity=True)
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
OF_ANY_TYPE = st.one_of(
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    NUMBERS,
    TEXTS,
    st.lists(TEXTS, max_size=4),
    st.lists(NUMBERS, max_size=6),
    st.lists(st.integers(-(2**31), 2**31), min_size=1, max_size=6),
    st.lists(st.booleans(), min_size=1, max_size=3),
)
SHARES = st.one_of(st.floats(0, 1), st.sampled_from([0, 1]))
SCORES = st.sampled_from([0.0, 0.01, 0.05, 0.1, 0.3, 0.5, 0.75, 1.0])


def right_values(labels: tuple[str, ...]) -> dict[str, st.SearchStrategy[Any]]:
    """Values that each parameter takes, by name."""
    names = st.lists(st.sampled_from(labels), max_size=6)
    scores = st.dictionaries(st.sampled_from(labels), SCORES, max_size=5)
    return {
        "score_threshold": SHARES,
        "class_thresholds": st.tuples(scores, st.sampled_from(["=", ": "])).map(_as_texts),
        "include_classes": names,
        "exclude_classes": names,
        "iou_threshold": SHARES,
        "max_detections": st.integers(1, 400),
        "roi": st.one_of(_pixels(), _fractions()),
        "max_rate": st.one_of(st.just(0), st.floats(900, 1000)),
        "max_input_age": st.one_of(st.just(0.0), st.floats(600, 3600)),
        "class_id_format": st.sampled_from(["name", "id"]),
        "debug_image": st.booleans(),
        "debug_line_width": st.integers(0, 100),
        "debug_labels": st.booleans(),
        "debug_timing": st.booleans(),
    }


def wrong_values() -> dict[str, st.SearchStrategy[Any]]:
    """Values that each parameter refuses, by name; also of parameters that are read-only or not there."""
    no_share = OF_ANY_TYPE.filter(lambda v: isinstance(v, bool | str | list) or not 0 <= v <= 1)
    no_names = st.one_of(
        st.booleans(), st.floats(0, 1), st.lists(st.integers(0, 9), min_size=1), st.just(["Cat", "cat"])
    )
    shape = [
        [0.0],
        [0.5, 0.5, 0.6, 0.1],
        [0, 0, 0, 5],
        [-1, 0, 10, 10],
        [0.5, 0, 20.0, 20.0],
        ["Cat"],
        [True] * 4,
        7,
    ]
    return {
        "score_threshold": no_share,
        "iou_threshold": no_share,
        "class_thresholds": st.one_of(
            no_names, st.sampled_from([["Cat=2"], ["Cat"], ["Cat=nan"], ["Cat=0", "Cat=0"]])
        ),
        "include_classes": no_names,
        "exclude_classes": st.one_of(no_names, st.just(["Kat"])),
        "max_detections": OF_ANY_TYPE.filter(lambda v: type(v) is not int or not 1 <= v <= 400),
        "roi": st.sampled_from(shape).map(_of_one_type),
        "max_rate": no_share.filter(lambda v: isinstance(v, bool | str | list) or not 0 <= v <= 1000),
        "class_id_format": OF_ANY_TYPE.filter(lambda v: v not in ("name", "id")),
        "debug_image": OF_ANY_TYPE.filter(lambda v: not isinstance(v, bool)),
        "debug_line_width": OF_ANY_TYPE.filter(lambda v: type(v) is not int or not 0 <= v <= 100),
        "model": OF_ANY_TYPE,
        "dla_core": OF_ANY_TYPE,
        "no_such_parameter": OF_ANY_TYPE,
    }


def reported_classes(values: Mapping[str, Any], card: ModelCard) -> list[str]:
    """Return the classes that include_classes and exclude_classes leave."""
    included = values["include_classes"] or card.labels
    return [name for name in card.classes.values() if name in included and name not in values["exclude_classes"]]


def lowest_scores(values: Mapping[str, Any], card: ModelCard) -> dict[str, float]:
    """Return the threshold of every class that is reported."""
    own = dict(text.replace("=", ": ").split(": ") for text in values["class_thresholds"])
    return {name: float(own.get(name, values["score_threshold"])) for name in reported_classes(values, card)}


def expected_detections(values: Mapping[str, Any], detector: Detector, pixels: NDArray[np.uint8]) -> Detections:
    """Detect as a node with these parameters ought to."""
    scores = lowest_scores(values, detector.card)
    classes = tuple(scores.get(name, 9.0) for name in detector.card.labels)
    detector.thresholds = Thresholds(classes, values["iou_threshold"], values["max_detections"])
    scale = np.array([WIDTH, HEIGHT] * 2) if max(values["roi"]) <= 1 else np.ones(4)
    x, y, width, height = np.array(values["roi"]) * scale
    left, top = min(round(x), WIDTH - 1), min(round(y), HEIGHT - 1)
    right, bottom = max(round(x + width), left + 1), max(round(y + height), top + 1)
    found = detector.detect(np.ascontiguousarray(pixels[top:bottom, left:right]))
    return Detections(found.boxes + np.float32([left, top, left, top]), found.scores, found.class_ids)


def _as_texts(drawn: tuple[dict[str, float], str]) -> list[str]:
    scores, separator = drawn
    return [f"{name}{separator}{score}" for name, score in scores.items()]


def _pixels() -> st.SearchStrategy[list[Any]]:
    corner = (st.integers(0, WIDTH - 1), st.integers(0, HEIGHT - 1))
    return st.tuples(*corner, st.integers(2, 2 * WIDTH), st.integers(2, 2 * HEIGHT)).map(list)


def _fractions() -> st.SearchStrategy[list[float]]:
    eighths = st.tuples(st.integers(0, 7), st.integers(1, 8)).filter(lambda pair: sum(pair) <= 8)
    return st.tuples(eighths, eighths).map(lambda xy: [xy[0][0] / 8, xy[1][0] / 8, xy[0][1] / 8, xy[1][1] / 8])


def _of_one_type(value: Any) -> Any:
    """Return a list of numbers as ROS has to have it."""
    mixed = isinstance(value, list) and any(isinstance(number, float) for number in value)
    return [float(number) for number in value] if mixed else value
