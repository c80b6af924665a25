"""Draw what an evaluation found, as PNG."""

from __future__ import annotations

import io
from collections.abc import Mapping
from math import ceil
from typing import Any

import numpy as np

from trt_ssd_ros.errors import load_library
from trt_ssd_ros.tools.evaluate.average_precision import RECALLS, Precision
from trt_ssd_ros.tools.evaluate.confusion import Confusion

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
