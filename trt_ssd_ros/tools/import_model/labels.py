"""Class names: read from label files, and matched with the columns of scores and their background."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from trt_ssd_ros.files import share_folder
from trt_ssd_ros.tools.import_model.evidence import as_rows
from trt_ssd_ros.tools.import_model.families import SsdFamily
from trt_ssd_ros.tools.import_model.heads import conversion_after, roots
from trt_ssd_ros.tools.import_model.input_draft import Interview
from trt_ssd_ros.tools.import_model.understanding import Understood

BACKGROUND = ("background", "__background__", "bg")
KNOWN_BY_COLUMNS = {91: "coco_90", 81: "coco_80", 21: "voc_20"}
"""Sets of labels that come with the package, by the number of classes with the background."""


def read_labels(source: str) -> list[str]:
    """Return the class names in a file, or in a set that comes with the package.

    Names that are used twice, or are only dots or question marks, get their number so that all are different.

    Args:
        source: The path of a text file or of a label map (.pbtxt), or the name of a set, as coco_90.

    Raises:
        ValueError: There is no such file, or it holds no names.
    """
    known = share_folder() / "config" / "labels"
    path = known / f"{source}.txt"
    if not path.is_file():
        path = Path(source).expanduser()
    try:
        text = path.read_text(encoding="utf-8-sig")  # Windows puts a mark in front
    except (OSError, UnicodeDecodeError) as error:
        sets = ", ".join(sorted(file.stem for file in known.glob("*.txt")))
        raise ValueError(f"labels: {path} cannot be read ({error}): give a text file or one of {sets}") from error
    names = _label_map(text) if "{" in text else [line.strip() for line in text.splitlines() if line.strip()]
    if not names:
        raise ValueError(f"labels: found no names in {path}, expected one a line")
    return _all_different(names)


def _label_map(text: str) -> list[str]:
    """Return the names of a label map by id from 1 on; ids that it leaves out have no name."""
    names = {}
    for item in re.findall(r"item\s*\{(.*?)\}", text, re.DOTALL):
        number = re.search(r"\bid\s*:\s*(\d+)", item)
        name = re.search(r"display_name\s*:\s*(['\"])(.*?)\1", item) or re.search(
            r"name\s*:\s*(['\"])(.*?)\1", item
        )
        if number and name:
            names[int(number[1])] = name[2]
    first = 0 if 0 in names else 1
    return [names.get(number, "?") for number in range(first, max(names, default=-1) + 1)]


def _all_different(names: list[str]) -> list[str]:
    seen: set[str] = set()
    result = []
    for number, name in enumerate(names, 1):
        unnamed = not re.search(r"\w", name) or name.lower() in ("n/a", "unlabeled", "unused")
        unique = f"unused {number}" if unnamed else name
        while unique in seen:
            unique = f"{unique} {number}"
        seen.add(unique)
        result.append(unique)
    return result


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
