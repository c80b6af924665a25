"""What the tests on a GPU share: when they are skipped, and what they look at."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.util import find_spec

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from trt_ssd_ros.detection.agreement import TOLERANCES, disagreements
from trt_ssd_ros.detection.detector import Detector
from trt_ssd_ros.engines.cuda import Gpu
from trt_ssd_ros.engines.tensorrt_library import FLAVOURS

PHOTOS = ("astronaut", "chelsea", "coffee")
SIZES = ((64, 64), (33, 2000), (641, 479), (1280, 720), (3840, 2160))


def missing() -> str:
    """Say what a test on a GPU lacks here; nothing if it lacks nothing."""
    if not any(map(find_spec, FLAVOURS)):
        return "TensorRT is not installed"
    try:
        Gpu.find()
    except RuntimeError as error:
        return str(error)
    return ""


NEEDS_GPU = [pytest.mark.gpu, pytest.mark.skipif(bool(missing()), reason=f"needs a GPU: {missing()}")]


def synthetic_images(photo: Callable[..., NDArray[np.uint8]], count: int) -> Iterator[NDArray[np.uint8]]:
    """Make pictures of 640x480: photos of random sizes at random places before random backgrounds, and noise."""
    rng = np.random.default_rng(2020)
    for number in range(count):
        image = rng.integers(0, 256, (480, 640, 3), np.uint8)
        if number % 8:
            image = cv2.GaussianBlur(image, (0, 0), rng.uniform(1, 20))
            for name in rng.choice(PHOTOS, rng.integers(1, 4)):
                side = int(rng.integers(80, 400))
                x, y = int(rng.integers(0, 640 - side)), int(rng.integers(0, 480 - side))
                image[y : y + side, x : x + side] = photo(name, side, side)
        yield image


def compare(found: Detector, expected: Detector, image: NDArray[np.uint8], precision: str) -> list[str]:
    """Return what two detectors find differently in an image."""
    threshold = min(expected.thresholds.classes)
    side = max(image.shape[:2])
    return disagreements(found.detect(image), expected.detect(image), TOLERANCES[precision], threshold, side)


def assert_agree(found: Detector, expected: Detector, image: NDArray[np.uint8], precision: str) -> int:
    """Check that two detectors find the same in an image, and return how many things they find."""
    problems = compare(found, expected, image, precision)
    assert not problems, f"in an image of {image.shape}: {'; '.join(problems[:4])}"
    return len(expected.detect(image))
