"""Class names from files: one a line, or a label map of the TF Object Detection API."""

from __future__ import annotations

import re
from pathlib import Path

from trt_ssd_ros.models.shipped import share_folder

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
