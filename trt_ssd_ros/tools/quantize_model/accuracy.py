"""Accuracy of the float and the int8 detector on annotated images."""

from __future__ import annotations

import argparse
from collections.abc import Collection, Iterator
from pathlib import Path
from threading import Event

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from trt_ssd_ros.detection.detections import Detections
from trt_ssd_ros.engines.backend import EngineChoice
from trt_ssd_ros.images.source import Image
from trt_ssd_ros.models.card import ModelCard
from trt_ssd_ros.tools.evaluate.annotation_options import read_annotated
from trt_ssd_ros.tools.evaluate.annotations import AnnotatedImage
from trt_ssd_ros.tools.evaluate.average_precision import load_pycocotools
from trt_ssd_ros.tools.evaluate.evaluation import Evaluation
from trt_ssd_ros.tools.evaluate.report import figure
from trt_ssd_ros.tools.evaluate.runs import LOWEST_SCORE, DetectorRun
from trt_ssd_ros.tools.quantize_model.calibration import pixel_digest


class AccuracyComparison:
    """Comparison of the mAP of a float and an int8 detector, both on ONNX Runtime.

    Args:
        options: Parsed command line.
        card: Model card of the float detector.
        stop: Event that ends the comparison.

    Raises:
        AnnotationError: The annotations are damaged, or do not match the images or the labels of the card.
        ValueError: The folder of the annotated images is unknown.
        RuntimeError: pycocotools is not installed.
        OSError: A file cannot be read.
    """

    def __init__(self, options: argparse.Namespace, card: ModelCard, stop: Event) -> None:
        load_pycocotools()
        self._annotated = read_annotated(options, annotated_folder(options))
        self._known_only = options.known_only
        self._float = _Run("fp32", card, stop)
        self._stop = stop
        Evaluation(self._annotated, [self._float]).check(self._known_only)

    def lines(self, int8_card: ModelCard, calibrated: Collection[bytes]) -> Iterator[str]:
        """Evaluate both detectors, and yield the figures, line by line.

        Args:
            int8_card: Model card of the int8 detector.
            calibrated: Digests of the calibration images.

        Raises:
            ValueError: No image is readable.
            KeyboardInterrupt: The comparison was stopped.
        """
        evaluation = Evaluation(self._annotated, [self._float, _Run("int8", int8_card, self._stop)])
        evaluation.check(self._known_only)
        bar = tqdm(total=len(self._annotated.images), desc="evaluating", unit=" images", disable=None)
        with logging_redirect_tqdm(), bar:
            evaluation.run(self._stop, bar.update)
        if self._stop.is_set():
            raise KeyboardInterrupt
        if not evaluation.images:
            raise ValueError(f"no annotated image could be read, e.g. {evaluation.unreadable[0]}")
        before, after = evaluation.precision(0), evaluation.precision(1)
        yield f"accuracy    {_compared('mAP@[.5:.95]', before.map, after.map)}, images: {len(evaluation.images)}"
        yield f"            {_compared('mAP@.5      ', before.map50, after.map50)}"
        yield "            loss: fp32 minus int8, above 0 if int8 is worse; 1 is a perfect mAP"
        known = sum(digest in calibrated for digest in self._float.digests)
        if known:
            text = f"calibration images among the {len(evaluation.images)} evaluated ones: {known}"
            yield f"            {text}; the loss on new images may be larger"
        for text in (*evaluation.unreadable, *(f"excluded label: {label}" for label in evaluation.excluded)):
            yield f"            {text}"


def annotated_folder(options: argparse.Namespace) -> Path:
    """Return the folder of the annotated images: --images, or the only input.

    Raises:
        ValueError: There is no --images, and the input is not one folder.
    """
    if options.images:
        return Path(options.images)
    inputs = [Path(name).expanduser() for name in options.inputs]
    if len(inputs) == 1 and inputs[0].is_dir():
        return inputs[0]
    raise ValueError(
        "--annotations: found inputs other than one folder, expected --images with the folder of annotated images"
    )


def _compared(name: str, before: float | None, after: float | None) -> str:
    loss = "unknown" if before is None or after is None else f"{before - after:.4f}"
    return f"{name} fp32 {figure(before)}, int8 {figure(after)}, loss {loss}"


class _Run(DetectorRun):
    """Detector on ONNX Runtime that records the digests of its images."""

    def __init__(self, name: str, card: ModelCard, stop: Event) -> None:
        super().__init__(name, card, EngineChoice("onnxruntime"), LOWEST_SCORE, stop)
        self.digests: list[bytes] = []

    def detect(self, image: AnnotatedImage, pixels: Image) -> Detections:
        """Detect; see `EvaluatedRun.detect`."""
        self.digests.append(pixel_digest(pixels))
        return super().detect(image, pixels)
