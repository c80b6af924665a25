"""An evaluation as a page of HTML that needs no other file: tables, plots, and the images that changed most."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from math import ceil
from pathlib import Path
from string import Template
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from trt_ssd_ros.detection.detections import Detections
from trt_ssd_ros.detection.draw import draw_detections
from trt_ssd_ros.errors import load_library
from trt_ssd_ros.files import whole_file
from trt_ssd_ros.images.files import read_image_file
from trt_ssd_ros.images.source import Image
from trt_ssd_ros.tools.evaluate.average_precision import RECALLS, Precision, Truth
from trt_ssd_ros.tools.evaluate.confusion import Confusion, ImageChange
from trt_ssd_ros.tools.evaluate.report import Comparison, EvaluationReport, difference, figure

PICTURES = 12
PICTURE_WIDTH = 480
MOST_LINES = 8
PAGE = Template("""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Evaluation</title><style>
body{font:15px/1.45 system-ui,sans-serif;max-width:1200px;margin:2em auto;padding:0 1em;color:#222}
table{border-collapse:collapse;margin:1em 0}
td,th{padding:.25em .8em;border-bottom:1px solid #ddd;text-align:right}
td:first-child,th:first-child{text-align:left}
.warning{background:#fff3cd;border-left:4px solid #e0a800;padding:.5em 1em}
.worse{color:#b00020}.better{color:#1b7f37}img{max-width:100%;display:block}
.row{display:flex;flex-wrap:wrap;gap:1em}
figure{margin:1em 0;border-top:1px solid #ddd;padding-top:.5em}
figure div{display:flex;gap:.5em}figure div p{flex:1;margin:0;font-size:13px;color:#555}
</style></head><body>
$body
</body></html>
""")


def write_page(report: EvaluationReport, path: Path) -> None:
    """Write the page.

    Raises:
        RuntimeError: matplotlib is not installed.
        OSError: It cannot be written.
    """
    with whole_file(path) as unfinished:
        unfinished.write_text(
            PAGE.substitute(body="\n".join(_Page(report).parts())), encoding="utf-8", errors="replace"
        )


class _Page:
    def __init__(self, report: EvaluationReport) -> None:
        self._report, self._evaluation = report, report.evaluation
        self._names = [run.name for run in report.evaluation.runs]
        numbers = range(len(self._names))
        labels = (label for run in numbers for label in report.evaluation.labels(run))
        self._palette = list(dict.fromkeys((*report.evaluation.annotated.labels, *labels)))

    def parts(self) -> Iterator[str]:
        report = self._report
        objects = sum(item.objects for item in report.precisions[0].classes.values())
        yield f"<h1>Evaluation: {escape(', '.join(self._names))}</h1>"
        kind = escape(self._evaluation.annotated.kind)
        yield f"<p>{len(self._evaluation.images)} images, {objects} objects, annotations in {kind}.</p>"
        yield from (f'<p class="warning">{escape(text)}</p>' for text in report.warnings())
        yield self._summary()
        if not report.labels:
            return
        yield "<h2>Classes</h2>"
        yield self._classes()
        yield "<h2>Precision and recall</h2>"
        yield _png(plot_precision_recall(dict(zip(self._names, report.precisions, strict=True))))
        yield f"<h2>What is taken for what</h2><p>From a score of {report.show} on, at IoU .5.</p>"
        yield '<div class="row">'
        for name, confusion in zip(self._names, report.confusions, strict=True):
            yield f"<div><h3>{escape(name)}</h3>{_png(plot_confusion(confusion))}</div>"
        yield "</div>"
        for comparison in report.comparisons:
            yield from self._comparison(comparison)
        yield from self._against_truth()

    def _summary(self) -> str:
        rows = [["", "detector", "mAP@[.5:.95]", "mAP@.5", "difference to the first"]]
        first = self._report.precisions[0].map
        for run, precision in zip(self._evaluation.runs, self._report.precisions, strict=True):
            apart = _signed(difference(first, precision.map))
            figures = [figure(precision.map), figure(precision.map50), apart]
            rows.append([escape(run.name), escape(run.described()), *figures])
        return _table(rows)

    def _classes(self) -> str:
        heads = [f"AP@[.5:.95] {escape(n)}</th><th>AP@.5</th><th>recall@.5" for n in self._names]
        rows = [["class", "objects", *heads]]
        for label in self._report.labels:
            items = [precision.classes[label] for precision in self._report.precisions]
            cells = [str(items[0].objects)]
            for number, item in enumerate(items):
                apart = f" {_signed(item.ap - items[0].ap)}" if number else ""
                cells.append(f"{item.ap:.4f}{apart}</td><td>{item.ap50:.4f}</td><td>{item.recall50:.3f}")
            rows.append([escape(label), *cells])
        return _table(rows)

    def _comparison(self, item: Comparison) -> Iterator[str]:
        before, after = self._names[item.before], self._names[item.after]
        yield f"<h2>What changed most from {escape(before)} to {escape(after)}</h2>"
        yield f"<p>{len(item.changes)} of {len(self._evaluation.images)} images changed.</p>"
        for changed in item.changes[:PICTURES]:
            yield self._figure(changed, (item.before, item.after))

    def _against_truth(self) -> Iterator[str]:
        yield f"<h2>Where {escape(self._names[0])} is furthest from the truth</h2>"
        for item in self._report.mistakes[:PICTURES]:
            yield self._figure(item, (0,))

    def _figure(self, item: ImageChange, runs: Sequence[int]) -> str:
        """Show an image with what is true and what runs found, a class in the same colour in all of them."""
        image, truth = self._evaluation.images[item.image], self._evaluation.truths[item.image]
        pixels = read_image_file(image.path)
        pictures = [("truth", self._true(truth))]
        pictures += [(self._names[run], self._seen(run, item.image)) for run in runs]
        drawn = "".join(f"<p>{escape(name)}{_jpeg(pixels, found, self._palette)}</p>" for name, found in pictures)
        more = "" if len(item.lines) <= MOST_LINES else f"; and {len(item.lines) - MOST_LINES} more"
        lines = escape("; ".join(item.lines[:MOST_LINES])) + more
        return f"<figure><figcaption><b>{escape(image.name)}</b>: {lines}</figcaption><div>{drawn}</div></figure>"

    def _true(self, truth: Truth) -> Detections:
        objects = [number for number, item in enumerate(truth.annotations) if not item.ignored]
        names = [truth.annotations[number].label for number in objects]
        return Detections(truth.boxes[objects], np.ones(len(objects), np.float32), self._numbers(names))

    def _seen(self, run: int, image: int) -> Detections:
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
    return f'<img alt="" src="data:image/jpeg;base64,{base64.b64encode(data.tobytes()).decode()}">'


def _png(data: bytes) -> str:
    return f'<img alt="" src="data:image/png;base64,{base64.b64encode(data).decode()}">'


def _signed(number: float | None) -> str:
    if number is None or abs(number) < 5e-5:
        return "±0"
    return f'<span class="{"better" if number > 0 else "worse"}">{number:+.4f}</span>'


def _table(rows: list[list[str]]) -> str:
    head, *body = rows
    lines = ["<tr>" + "".join(f"<th>{cell}</th>" for cell in head) + "</tr>"]
    lines += ["<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in body]
    return f"<table>{''.join(lines)}</table>"


MOST_CLASSES = 15
"""Classes that get a plot of their own, those with most objects."""
COLUMNS = 4
MOST_LABELS = 25
"""Rows and columns of a confusion matrix."""


def load_pyplot() -> Any:
    """Return matplotlib's pyplot, drawing into memory.

    Raises:
        RuntimeError: It is not installed.
    """
    load_library("matplotlib", "matplotlib", "plotting").use("Agg")
    return load_library("matplotlib.pyplot", "matplotlib", "plotting")


def plot_precision_recall(precisions: Mapping[str, Precision]) -> bytes:
    """Draw precision over recall at IoU .5: the mean of all classes, and each of the most frequent ones.

    Args:
        precisions: Of each run, by name; all of the same classes.
    """
    classes = next(iter(precisions.values())).classes
    chosen = sorted(classes, key=lambda label: -classes[label].objects)[:MOST_CLASSES]
    pyplot = load_pyplot()
    rows = ceil((len(chosen) + 1) / COLUMNS)
    figure, grid = pyplot.subplots(
        rows, COLUMNS, figsize=(14, 3 * rows), layout="constrained", sharex=True, sharey=True, squeeze=False
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


def plot_confusion(confusion: Confusion) -> bytes:
    """Draw what is taken for what, of the most confused labels: rows true, columns found, coloured by row."""
    occurring = confusion.labels()
    labels = occurring[:MOST_LABELS]
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
    axes.set_xticks(range(len(counts)), [*named, "missed"], rotation=90)
    axes.set_yticks(range(len(counts)), [*named, "nothing there"])
    title = f"the {len(labels)} most confused of {len(occurring)} labels; report.json has all" if rest else ""
    axes.set(xlabel="found", ylabel="true", title=title)
    return _rendered(pyplot, figure)


def _ink(share: float) -> str:
    return "white" if share > 0.5 else "black"


def _rendered(pyplot: Any, figure: Any) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=90)
    pyplot.close(figure)
    return buffer.getvalue()
