"""Class names: read from label files, and matched with the score columns and their background."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from trt_ssd_ros.files import share_folder
from trt_ssd_ros.tools.import_model.analysis import NetworkAnalysis
from trt_ssd_ros.tools.import_model.evidence import as_rows
from trt_ssd_ros.tools.import_model.families import SsdFamily
from trt_ssd_ros.tools.import_model.heads import conversion_after, roots
from trt_ssd_ros.tools.import_model.input_draft import UserOptions

BACKGROUND = ("background", "__background__", "bg")
COCO = "coco_90"
"""Label set of COCO's ids, which count from 1."""
KNOWN_BY_COLUMNS = {91: COCO, 81: "coco_80", 21: "voc_20"}
"""Label sets of the package, by the number of classes with the background."""
KNOWN_BY_CLASSES = {90: COCO}
"""Label sets of the package, by a number of classes without the background that tells the set."""


def read_labels(source: str) -> list[str]:
    """Return the class names in a file, or in a label set of the package.

    All names are made different: a repeated name gets its number appended. A placeholder such as "???" becomes an
    empty name, for a column without a class.

    Args:
        source: Path of a text file or label map (.pbtxt), or name of a label set, such as coco_90.

    Raises:
        ValueError: The file cannot be read, or holds no names.
    """
    known = share_folder() / "config" / "labels"
    path = known / f"{source}.txt"
    if not path.is_file():
        path = Path(source).expanduser()
    try:
        text = path.read_text(encoding="utf-8-sig")  # Windows editors put a byte order mark in front
    except (OSError, UnicodeDecodeError) as error:
        sets = ", ".join(sorted(file.stem for file in known.glob("*.txt")))
        raise ValueError(f"labels: {path} cannot be read ({error}): give a text file or one of {sets}") from error
    names = _label_map(text) if "{" in text else [line.strip() for line in text.splitlines() if line.strip()]
    if not names:
        raise ValueError(f"labels: found no names in {path}, expected one name a line")
    return _all_different(names)


def _label_map(text: str) -> list[str]:
    """Return the names of a label map in order of their ids, from 1, or 0 if used; "?" for ids it leaves out."""
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
        unique = "" if unnamed else name
        while unique and unique in seen:
            unique = f"{unique} {number}"
        seen.add(unique)
        result.append(unique)
    return result


def class_labels(found: NetworkAnalysis, family: SsdFamily, user: UserOptions) -> tuple[list[str], str]:
    """Return the class names, and the position of the background column: first, last or none.

    Raises:
        ValueError: Names and columns differ in number, or a detection's label has no name.
    """
    columns, facts = found.network.columns or found.heads.columns, found.heads.facts
    known = user.options.get("background") or facts.get("background")
    if not known and facts.get("classes"):  # TFLite: one column more than classes is the background
        known = "none" if facts["classes"] == columns else "first"
    names, source = _names(found, family, known, user)
    if "background" not in user.options and _begins_with_none(names, columns):
        names = names[1:]
        known = known or ("none" if len(names) == columns else "first")
    if not found.network.scores:
        return names, _background_of_detections(found, family, names, known, user)
    if columns and len(names) == columns and not known:
        _check_no_background(found, source)
        user.assume(f"no column is background, as there are as many labels as columns: {columns}")
        known = "none"
    background = str(known or "first")
    expected = columns - (background != "none")
    if columns and len(names) != expected:
        raise ValueError(
            f"labels: found {len(names)} in {source}, "
            f"expected {expected} for {columns} score columns with background {background}"
        )
    return names, background


def _names(
    found: NetworkAnalysis, family: SsdFamily, background: str | None, user: UserOptions
) -> tuple[list[str], str]:
    """Return the names and their source."""
    source, columns = user.options.get("labels"), found.network.columns or found.heads.columns
    if source is None and columns in KNOWN_BY_COLUMNS and background != "none":
        source = KNOWN_BY_COLUMNS[columns]
        user.assume(f"labels are {source}, as there are {columns} columns with the background")
    if source is None and columns in KNOWN_BY_CLASSES and _may_lack_background(found, family, background, user):
        source = KNOWN_BY_CLASSES[columns]
        user.assume(f"labels are {source}, as there are {columns} columns, one for each id")
    if source is None:
        columns_text = f" for {columns} score columns" if columns else ""
        question = f"class names are missing{columns_text} (a file with one name a line)"
        source = user.prompt("labels", question, ())
    return read_labels(str(source)), str(source)


def _begins_with_none(names: list[str], columns: int) -> bool:
    """Return whether the first name is no class: background, or ??? as in TFLite's label files."""
    return names[0].lower() in BACKGROUND or (not names[0] and len(names) in (columns, columns + 1))


def _check_no_background(found: NetworkAnalysis, source: str) -> None:
    """Check that the scores are not a complete softmax, which needs a background column.

    Raises:
        ValueError: The scores are a complete softmax.
    """
    columns = found.network.columns
    if _is_complete_softmax(found):
        raise ValueError(
            f"labels: found {columns} in {source} for {columns} score columns, expected {columns - 1}, as "
            "a softmax needs one for the background: remove the background's name, or give --background none"
        )


def _is_complete_softmax(found: NetworkAnalysis) -> bool:
    """Return whether the graph computes, or has computed, a softmax over all columns of the scores."""
    scores = found.heads.scores
    sums = as_rows(found.values[scores], found.network.columns).sum(axis=1)
    is_whole = "Softmax" in roots(found.graph, scores) and np.allclose(sums, 1, atol=1e-2)
    return is_whole or conversion_after(found.graph, scores) == "softmax"


def _may_lack_background(
    found: NetworkAnalysis, family: SsdFamily, background: str | None, user: UserOptions
) -> bool:
    """Return whether scores may have no background column, which a softmax over all columns needs."""
    scores = found.heads.scores
    if background not in (None, "none") or not found.network.scores or _is_complete_softmax(found):
        return False
    if roots(found.graph, scores) & {"Sigmoid", "Softmax"} or conversion_after(found.graph, scores):
        return True
    stated = user.options.get("score_conversion") or found.heads.facts.get("score_conversion")
    return (stated or family.score_conversion) != "softmax"


def _background_of_detections(
    found: NetworkAnalysis, family: SsdFamily, names: list[str], known: str | None, user: UserOptions
) -> str:
    """Return the background of final detections: first if label 0 is the background, none if it is a class."""
    seen = found.detections()[:, 0]
    least, most = int(seen.min(initial=1)), int(seen.max(initial=0))
    if known is None and (most == len(names) or least < 1):
        known = "first" if most == len(names) else "none"
        user.assume(f"labels count from {0 if known == 'none' else 1}, as the detections in the photo show")
    if known is None and not family.is_unknown:
        known = "first"
        user.assume("labels count from 1 and 0 is the background, as in its family")
    question = "the graph does not state whether label 0 is the background (first) or a class (none)"
    background = str(known or user.prompt("background", question, ("first", "none")))
    if most >= len(names) + (background == "first"):
        raise ValueError(
            f"labels: found {len(names)}, expected more: the network detects label {most} in the photo"
        )
    return background
