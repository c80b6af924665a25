"""Figures of an evaluation, as JSON and as text."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from trt_ssd_ros.errors import counted
from trt_ssd_ros.files import write_atomically
from trt_ssd_ros.tools.evaluate.average_precision import SIZES, ClassPrecision, Precision
from trt_ssd_ros.tools.evaluate.confusion import ConfusionMatrix, ImageChange
from trt_ssd_ros.tools.evaluate.evaluation import Evaluation

MAX_CHANGES = 100
"""Number of images whose changes are listed."""


@dataclass(frozen=True, eq=False)
class Comparison:
    """Differences between two runs.

    Attributes:
        before: Number of the first run.
        after: Number of the second run.
        changes: Differences by image, largest first.
    """

    before: int
    after: int
    changes: Sequence[ImageChange]


class EvaluationReport:
    """Figures of an evaluation: precision, confusion matrices, mistakes and comparisons.

    Args:
        evaluation: Detections of every run.
        show: Lowest score that counts in confusion matrices, comparisons and pictures.
        interrupted: Whether the evaluation was stopped before the last image.

    Raises:
        RuntimeError: pycocotools is not installed.
    """

    def __init__(self, evaluation: Evaluation, show: float, interrupted: bool) -> None:
        numbers = range(len(evaluation.runs))
        self.evaluation, self.show, self.interrupted = evaluation, show, interrupted
        self.precisions: list[Precision] = [evaluation.precision(run) for run in numbers]
        self.confusions: list[ConfusionMatrix] = [evaluation.confusion(run, show) for run in numbers]
        self.mistakes = evaluation.mistakes(0, show)
        self.comparisons = [Comparison(0, after, evaluation.changes(0, after, show)) for after in numbers[1:]]

    @cached_property
    def labels(self) -> list[str]:
        """Labels with at least one object, in the order of the annotations."""
        return list(self.precisions[0].classes)

    def warnings(self) -> Iterator[str]:
        """Yield the warnings about the figures."""
        evaluation = self.evaluation
        if self.interrupted:
            done = f"{len(evaluation.images)} of {counted(len(evaluation.annotated.images), 'image')}"
            yield f"interrupted: only {done} were evaluated"
        if evaluation.unreadable:
            unreadable = counted(len(evaluation.unreadable), "image")
            yield f"{unreadable} could not be read, e.g. {evaluation.unreadable[0]}"
        if evaluation.size_mismatches:
            wrong = counted(len(evaluation.size_mismatches), "image")
            text = f"the annotations of {wrong} state another size, so that boxes are misplaced"
            yield f"{text}, e.g. {evaluation.size_mismatches[0]}"
        if evaluation.excluded:
            yield f"excluded labels, which not every run knows: {', '.join(evaluation.excluded)}"
        for run in evaluation.runs:
            yield from (f"{run.name}: {text}" for text in run.warnings())

    def as_json(self) -> Mapping[str, Any]:
        """Return all figures for JSON."""
        evaluation = self.evaluation
        return {
            "annotations": evaluation.annotated.kind,
            "images": len(evaluation.images),
            "objects": sum(item.objects for item in self.precisions[0].classes.values()),
            "interrupted": self.interrupted,
            "unreadable": evaluation.unreadable,
            "show_threshold": self.show,
            "warnings": list(self.warnings()),
            "runs": [self._run(number) for number in range(len(evaluation.runs))],
            "comparisons": [self._comparison(item) for item in self.comparisons],
        }

    def _run(self, number: int) -> Mapping[str, Any]:
        run, precision = self.evaluation.runs[number], self.precisions[number]
        counts = self.confusions[number].counts
        return {
            "name": run.name,
            "detector": run.described(),
            "map": precision.map,
            "map50": precision.map50,
            "map75": precision.map75,
            **{f"map_{size}": precision.map_of(size) for size in SIZES},
            "classes": {label: _class(item) for label, item in precision.classes.items()},
            "confusion": [{"true": true, "found": found, "count": n} for (true, found), n in counts.most_common()],
        }

    def _comparison(self, item: Comparison) -> Mapping[str, Any]:
        names = [run.name for run in self.evaluation.runs]
        before, after = self.precisions[item.before], self.precisions[item.after]
        return {
            "from": names[item.before],
            "to": names[item.after],
            "map": difference(before.map, after.map),
            "map50": difference(before.map50, after.map50),
            "map75": difference(before.map75, after.map75),
            "classes": {label: after.classes[label].ap - before.classes[label].ap for label in self.labels},
            "changed_images": len(item.changes),
            "changes": [
                {"image": self.evaluation.images[c.image].name, "size": round(c.size, 4), "changes": list(c.lines)}
                for c in item.changes[:MAX_CHANGES]
            ],
        }

    def table(self) -> str:
        """Return the runs as a table of text."""
        width = max(len(run.name) for run in self.evaluation.runs)
        compares = len(self.precisions) > 1
        title = "   difference to the baseline" if compares else ""
        sizes = "".join(f"{size:>9}" for size in SIZES)
        lines = [f"{'':<{width}}  mAP@[.5:.95]   mAP@.5  mAP@.75{sizes}{title}"]
        for run, precision in zip(self.evaluation.runs, self.precisions, strict=True):
            numbers = (precision.map50, precision.map75, *map(precision.map_of, SIZES))
            figures = " ".join(f"{figure(number):>8}" for number in numbers)
            apart = f"   {difference(self.precisions[0].map, precision.map) or 0.0:+.4f}" if compares else ""
            lines.append(f"{run.name:<{width}}  {figure(precision.map):>12} {figures}{apart}")
        return "\n".join(lines)

    def write_json(self, path: Path) -> None:
        """Write all figures as JSON."""
        write_atomically(path, (json.dumps(self.as_json(), indent=1, allow_nan=False) + "\n").encode())


def difference(before: float | None, after: float | None) -> float | None:
    """Return `after` minus `before`; None if either is unknown."""
    return None if before is None or after is None else after - before


def figure(number: float | None) -> str:
    """Return a figure as text."""
    return "unknown" if number is None else f"{number:.4f}"


def _class(item: ClassPrecision) -> Mapping[str, Any]:
    curve = [round(float(precision), 4) for precision in item.precisions50]
    return {
        "objects": item.objects,
        "ap": item.ap,
        "ap50": item.ap50,
        "ap75": item.ap75,
        "recall50": item.recall50,
        "precision_over_recall50": curve,
    }
