"""What the model card of a network must say of its classes."""

from __future__ import annotations

import numpy as np

from trt_ssd_ros.tools.import_model.evidence import as_rows
from trt_ssd_ros.tools.import_model.families import SsdFamily
from trt_ssd_ros.tools.import_model.labels import BACKGROUND, KNOWN_BY_COLUMNS, read_labels
from trt_ssd_ros.tools.import_model.understanding import Understood
from trt_ssd_ros.tools.model_import.interview import Interview
from trt_ssd_ros.tools.model_import.tensor_history import conversion_after, roots


def class_labels(found: Understood, family: SsdFamily, interview: Interview) -> tuple[list[str], str]:
    """Return the class names, and which column of the scores is no class: first, last or none.

    Raises:
        ValueError: There are more or fewer of them than columns, or a detection's label has no name.
    """
    columns, facts = found.network.columns or found.heads.columns, found.heads.facts
    told = interview.stated.get("background") or facts.get("background")
    if not told and facts.get("classes"):  # as TFLite counts them: one column more is the background
        told = "none" if facts["classes"] == columns else "first"
    names, source = _names(columns, told, interview)
    if "background" not in interview.stated and _begins_with_none(names, columns):
        names = names[1:]
        told = told or ("none" if len(names) == columns else "first")
    if not found.network.scores:
        return names, _background_of_detections(found, family, names, told, interview)
    if columns and len(names) == columns and not told:
        _check_no_background(found, source)
        interview.note(f"no column is background: there are as many labels as columns, {columns}")
        told = "none"
    background = str(told or "first")
    expected = columns - (background != "none")
    if columns and len(names) != expected:
        raise ValueError(
            f"labels: found {len(names)} in {source}, "
            f"expected {expected} for {columns} columns of scores with background {background}"
        )
    return names, background


def _names(columns: int, background: str | None, interview: Interview) -> tuple[list[str], str]:
    """Return the names and where they are from."""
    source = interview.stated.get("labels")
    if source is None and columns in KNOWN_BY_COLUMNS and background != "none":
        source = KNOWN_BY_COLUMNS[columns]
        interview.note(f"labels are {source}, as there are {columns} columns with the background")
    if source is None:
        question = f"the names of the classes, a file with one a line, for {columns or 'all'} columns"
        source = interview.ask("labels", question, ())
    return read_labels(str(source)), str(source)


def _begins_with_none(names: list[str], columns: int) -> bool:
    """Tell whether the first line names no class: background, or ??? as in TFLite's label files."""
    return names[0].lower() in BACKGROUND or (names[0] == "unused 1" and len(names) in (columns, columns + 1))


def _check_no_background(found: Understood, source: str) -> None:
    """Check that the scores are no whole softmax, of which one column is the background.

    Raises:
        ValueError: They are.
    """
    heads, columns = found.heads, found.network.columns
    scores = as_rows(found.values[heads.scores], columns)
    is_whole = "Softmax" in roots(found.graph, heads.scores) and np.allclose(scores.sum(axis=1), 1, atol=1e-2)
    if is_whole or conversion_after(found.graph, heads.scores) == "softmax":
        raise ValueError(
            f"labels: found {columns} in {source}, as many as columns of scores; a softmax needs one for the "
            "background: take its name off, or give --background none"
        )


def _background_of_detections(
    found: Understood, family: SsdFamily, names: list[str], told: str | None, interview: Interview
) -> str:
    """Return whether label 0 of final detections is no class, first, or the first class, none."""
    seen = found.detections()[:, 0]
    least, most = int(seen.min(initial=1)), int(seen.max(initial=0))
    if told is None and (most == len(names) or least < 1):
        told = "first" if most == len(names) else "none"
        interview.note(f"labels count from {0 if told == 'none' else 1}, as those in the photo tell")
    if told is None and not family.is_any:
        told = "first"
        interview.note("labels count from 1, 0 being the background, as in its family")
    question = "is label 0 of the network's detections the background (first), or the first class (none)"
    background = str(told or interview.ask("background", question, ("first", "none")))
    if most >= len(names) + (background == "first"):
        raise ValueError(f"labels: found {len(names)}, expected more: the network finds label {most} in the photo")
    return background
