"""HTML page of an evaluation: plots and pictures for the template page.html, all embedded."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Mapping, Sequence
from math import ceil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from trt_ssd_ros.detection.detections import Detections
from trt_ssd_ros.detection.draw import draw_detections
from trt_ssd_ros.errors import counted, load_library, load_pyplot
from trt_ssd_ros.files import write_atomically
from trt_ssd_ros.images.files import read_image_file
from trt_ssd_ros.images.source import Image
from trt_ssd_ros.tools.evaluate.average_precision import RECALLS, GroundTruth, Precision
from trt_ssd_ros.tools.evaluate.confusion import ConfusionMatrix, ImageChange
from trt_ssd_ros.tools.evaluate.report import EvaluationReport, difference, figure

MAX_PICTURES = 12
PICTURE_WIDTH = 480
MAX_LINES = 8


def load_template() -> Any:
    """Return the template of the page, which escapes its variables.

    Raises:
        RuntimeError: Jinja is not installed.
    """
    jinja2 = load_library("jinja2", "jinja2", "evaluate")
    folder = Path(__file__).parent
    loader = jinja2.FileSystemLoader([folder, folder.parents[1]])  # page.html, and common.css, which it includes
    strict = jinja2.StrictUndefined
    environment = jinja2.Environment(autoescape=True, loader=loader, undefined=strict, trim_blocks=True)
    return environment.get_template("page.html")


def write_page(report: EvaluationReport, path: Path) -> None:
    """Write the page.

    Raises:
        RuntimeError: Jinja or matplotlib is not installed.
        OSError: The page cannot be written.
    """
    page, evaluation = _Page(report), report.evaluation
    text = load_template().render(
        page=page,
        report=report,
        kind=evaluation.annotated.kind,
        images=evaluation.images,
        runs=evaluation.runs,
        names=page.names,
        first=report.precisions[0],
        figure=figure,
        counted=counted,
        difference=difference,
        max_lines=MAX_LINES,
        max_pictures=MAX_PICTURES,
    )
    write_atomically(path, text.encode(errors="replace"))


class _Page:
    """Plots and pictures of the page, in base64."""

    def __init__(self, report: EvaluationReport) -> None:
        self._report, self._evaluation = report, report.evaluation
        self.names = [run.name for run in report.evaluation.runs]
        numbers = range(len(self.names))
        labels = (label for run in numbers for label in report.evaluation.labels(run))
        self._palette = list(dict.fromkeys((*report.evaluation.annotated.labels, *labels)))

    def curves(self) -> str:
        """Return the precision-recall curves as PNG."""
        return _base64(plot_precision_recall(dict(zip(self.names, self._report.precisions, strict=True))))

    def confusion(self, run: int) -> str:
        """Return a run's confusion matrix as PNG."""
        return _base64(plot_confusion(self._report.confusions[run]))

    def name(self, change: ImageChange) -> str:
        """Return an image's name."""
        return self._evaluation.images[change.image].name

    def pictures(self, change: ImageChange, runs: Sequence[int]) -> Iterator[tuple[str, str]]:
        """Yield name and JPEG of the ground truth and of each run; a class has one colour in all of them."""
        image, truth = self._evaluation.images[change.image], self._evaluation.truths[change.image]
        pixels = read_image_file(image.path)
        yield "ground truth", _jpeg(pixels, self._true(truth), self._palette)
        for run in runs:
            yield self.names[run], _jpeg(pixels, self._detected(run, change.image), self._palette)

    def _true(self, truth: GroundTruth) -> Detections:
        objects = [number for number, item in enumerate(truth.annotations) if not item.ignored]
        names = [truth.annotations[number].label for number in objects]
        return Detections(truth.boxes[objects], np.ones(len(objects), np.float32), self._numbers(names))

    def _detected(self, run: int, image: int) -> Detections:
        found = self._evaluation.found[run][image]
        found = found[found.scores >= self._report.show]
        labels = self._evaluation.labels(run)
        names = [labels[class_id] for class_id in found.class_ids]
        return Detections(found.boxes, found.scores, self._numbers(names))

    def _numbers(self, names: Sequence[str]) -> NDArray[np.int32]:
        return np.array([self._palette.index(name) for name in names], np.int32)


def _jpeg(pixels: Image, found: Detections, labels: list[str]) -> str:
    scale = min(1.0, PICTURE_WIDTH / pixels.shape[1])
    small = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    boxes = Detections(found.boxes * np.float32(scale), found.scores, found.class_ids)
    picture = draw_detections(np.asarray(small, np.uint8), boxes, labels)
    _, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 80])
    return _base64(data.tobytes())


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


MAX_CLASS_PLOTS = 15
"""Number of classes with a separate plot; those with the most objects."""
PLOT_COLUMNS = 4
MAX_LABELS = 25
"""Rows and columns of a confusion matrix."""


def plot_precision_recall(precisions: Mapping[str, Precision]) -> bytes:
    """Draw precision over recall at IoU .5: the mean of all classes, and each of the most frequent ones.

    Args:
        precisions: Precision and recall by run name, with equal classes.
    """
    classes = next(iter(precisions.values())).classes
    chosen = sorted(classes, key=lambda label: -classes[label].objects)[:MAX_CLASS_PLOTS]
    pyplot = load_pyplot()
    rows = ceil((len(chosen) + 1) / PLOT_COLUMNS)
    figure, grid = pyplot.subplots(
        rows, PLOT_COLUMNS, figsize=(14, 3 * rows), layout="constrained", sharex=True, sharey=True, squeeze=False
    )
    for axes in grid.flat[len(chosen) + 1 :]:
        axes.set_axis_off()
    for name, precision in precisions.items():
        curves = [item.precisions50 for item in precision.classes.values()]
        grid.flat[0].plot(RECALLS, np.mean(curves, axis=0), label=name)
        for axes, label in zip(grid.flat[1:], chosen, strict=False):
            axes.plot(RECALLS, precision.classes[label].precisions50)
    grid.flat[0].set(xlim=(0, 1), ylim=(0, 1.02), title="mean of all classes")
    for axes, label in zip(grid.flat[1:], chosen, strict=False):
        axes.set(title=f"{label} ({classes[label].objects})")
    figure.supxlabel("recall at IoU .5")
    figure.supylabel("precision")
    grid.flat[0].legend()
    return _rendered(pyplot, figure)


def plot_confusion(confusion: ConfusionMatrix) -> bytes:
    """Draw the confusion matrix of the most confused labels: rows true, columns detected, coloured by row."""
    occurring = confusion.labels()
    labels = occurring[:MAX_LABELS]
    counts, rest = confusion.table(labels), len(occurring) - len(labels)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    pyplot = load_pyplot()
    side = 2.5 + 0.45 * len(counts)
    figure, axes = pyplot.subplots(figsize=(side, side), layout="constrained")
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(counts):
        if count:
            axes.text(column, row, str(count), ha="center", va="center", color=_ink(shares[row, column]))
    named = [*labels, f"({rest} others)"] if rest else labels
    axes.set_xticks(range(len(counts)), [*named, "background (missed)"], rotation=90)
    axes.set_yticks(range(len(counts)), [*named, "background (false positive)"])
    title = f"the {len(labels)} most confused of {len(occurring)} labels; report.json has all" if rest else ""
    axes.set(xlabel="detected label", ylabel="true label", title=title)
    return _rendered(pyplot, figure)


def _ink(share: float) -> str:
    return "white" if share > 0.5 else "black"


def _rendered(pyplot: Any, figure: Any) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=90)
    pyplot.close(figure)
    return buffer.getvalue()
