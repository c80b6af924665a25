#!/usr/bin/env python3
"""Make the data set home_robot: 85 annotated photos from a domestic robot's camera, with COCO's classes.

Examples:
  python3 scripts/home_robot.py                               # download, and write home_robot/
  python3 scripts/home_robot.py --checkout mAP --output data  # read a checkout of github.com/Cartucho/mAP
  python3 scripts/home_robot.py --halves                     # also home_robot/even and home_robot/odd
  evaluate --images home_robot/images --annotations home_robot/instances.json

Needs Python and OpenCV. The source is github.com/Cartucho/mAP (Apache-2.0) at commit COMMIT: photos in
input/images-optional, and in input/ground-truth a text file per photo, with a line per object:
CLASS LEFT TOP RIGHT BOTTOM [difficult], in pixels.

The script writes images/ and instances.json in COCO's format. It renames classes to COCO's, and leaves out the
classes that COCO does not have. Objects of IGNORED, and difficult ones, become ignored regions (iscrowd), where
detections count neither for nor against a detector. The data set has 85 photos, 378 boxes, 86 ignored regions.

The download was never run, for lack of a network. The conversion was run on made-up files, and on five text files
of the repository, for which it gave the boxes of our copy of the data set.
"""

from __future__ import annotations

import argparse
import http.client
import io
import json
import shutil
import sys
import tarfile
import tempfile
import urllib.request
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import cv2

COMMIT = "3605865a350859e60c7b711838d09c4e0012c774"
ARCHIVE = f"https://codeload.github.com/Cartucho/mAP/tar.gz/{COMMIT}"
PHOTOS, TEXTS = "input/images-optional", "input/ground-truth"

CATEGORIES = {
    "person": 1, "backpack": 27, "bottle": 44, "cup": 47, "bowl": 51, "chair": 62, "couch": 63, "potted plant": 64,
    "bed": 65, "dining table": 67, "tv": 72, "remote": 75, "sink": 81, "book": 84, "vase": 86, "teddy bear": 88,
}  # fmt: skip
"""Ids of COCO's classes."""
RENAMED = {"diningtable": "dining table", "pottedplant": "potted plant", "sofa": "couch", "tvmonitor": "tv"}
IGNORED = {"coffeetable": ["dining table"], "doll": ["teddy bear"], "tincan": ["cup", "bottle"]}
"""COCO classes that a detector may find in an object, by the object's class."""


def download(folder: Path) -> Path:
    """Download the repository, and return the folder with its photos and texts."""
    print(f"downloading {ARCHIVE}", file=sys.stderr)
    with urllib.request.urlopen(ARCHIVE, timeout=60) as response:
        content = response.read()
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        for member in archive:
            path = PurePosixPath(*PurePosixPath(member.name).parts[1:])
            if member.isfile() and str(path.parent) in (PHOTOS, TEXTS):
                target = folder / path.parent / path.name
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(archive.extractfile(member).read())
    return folder


def read_objects(path: Path) -> Iterator[tuple[str, list[int], bool]]:
    """Yield class, [left, top, width, height] in pixels, and whether it is difficult, of each object of a photo.

    Raises:
        ValueError: A line is damaged.
    """
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        name, *words = line.split() or [""]
        if not name:
            continue
        try:
            left, top, right, bottom = map(int, words[:4])
        except ValueError:
            left = right = top = bottom = 0
        if left >= right or top >= bottom or words[4:] not in ([], ["difficult"]):
            expected = "CLASS LEFT TOP RIGHT BOTTOM [difficult]"
            raise ValueError(f"{path}, line {number}: found {line!r}, expected {expected}")
        yield name, [left, top, right - left, bottom - top], bool(words[4:])


def annotations(path: Path, left_out: Counter[str]) -> Iterator[dict[str, Any]]:
    """Yield the COCO annotations of a photo, without ids; count the classes that COCO does not have."""
    for name, box, difficult in read_objects(path):
        own = RENAMED.get(name, name)
        labels = IGNORED.get(name, [own] if own in CATEGORIES else [])
        left_out.update([] if labels else [name])
        for label in labels:
            yield {
                "category_id": CATEGORIES[label],
                "bbox": box,
                "area": box[2] * box[3],
                "iscrowd": int(difficult or name in IGNORED),
            }


def convert(checkout: Path) -> tuple[dict[str, Any], Counter[str]]:
    """Return the data set in COCO's format, and the number of objects left out, by class.

    Raises:
        ValueError: The checkout has no photos, or a photo or a text is missing or damaged.
        OSError: A file cannot be read.
    """
    texts = {path.stem: path for path in (checkout / TEXTS).glob("*.txt")}
    photos = sorted((checkout / PHOTOS).glob("*.jpg"))
    if not photos or texts.keys() != {photo.stem for photo in photos}:
        found = f"found {len(photos)} photos in {PHOTOS} and {len(texts)} texts in {TEXTS}"
        raise ValueError(f"{checkout}: {found}, expected one text per photo: check out commit {COMMIT}")
    left_out: Counter[str] = Counter()
    images, objects = [], []
    for number, photo in enumerate(photos, 1):
        pixels = cv2.imread(str(photo))
        if pixels is None:
            raise ValueError(f"{photo} is no readable image: download it again")
        height, width = pixels.shape[:2]
        images.append({"id": number, "file_name": photo.name, "width": width, "height": height})
        for item in annotations(texts[photo.stem], left_out):
            objects.append({"id": len(objects) + 1, "image_id": number, **item})
    used = {item["category_id"] for item in objects}
    data = {
        "info": {"description": f"home robot photos: github.com/Cartucho/mAP, commit {COMMIT}"},
        "licenses": [{"id": 1, "name": "Apache-2.0"}],
        "images": images,
        "annotations": objects,
        "categories": [{"id": number, "name": name} for name, number in CATEGORIES.items() if number in used],
    }
    return data, left_out


def every_second(data: dict[str, Any], first: int) -> dict[str, Any]:
    """Return the half of a data set that starts with the first (0) or second (1) photo."""
    images = data["images"][first::2]
    numbers = {image["id"] for image in images}
    return data | {"images": images, "annotations": [a for a in data["annotations"] if a["image_id"] in numbers]}


def write(data: dict[str, Any], photos: Path, output: Path) -> None:
    """Write images/ and instances.json.

    Raises:
        OSError: A file cannot be read or written.
    """
    (output / "images").mkdir(parents=True, exist_ok=True)
    for image in data["images"]:
        shutil.copyfile(photos / image["file_name"], output / "images" / image["file_name"])
    (output / "instances.json").write_text(json.dumps(data) + "\n", encoding="utf-8")


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkout", type=Path, metavar="DIR", help="checkout of Cartucho/mAP; default: download")
    parser.add_argument(
        "--output", type=Path, default=Path("home_robot"), metavar="DIR", help="output folder; default: home_robot"
    )
    parser.add_argument("--halves", action="store_true", help="also write every second photo to even/ and odd/")
    options = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory() as place:
            checkout = options.checkout or download(Path(place))
            data, left_out = convert(checkout)
            write(data, checkout / PHOTOS, options.output)
            for first, name in enumerate(("even", "odd") if options.halves else ()):
                write(every_second(data, first), checkout / PHOTOS, options.output / name)
    except (OSError, ValueError, EOFError, tarfile.TarError, http.client.HTTPException, zlib.error) as error:
        sys.exit(f"home_robot: {error}")
    ignored = sum(item["iscrowd"] for item in data["annotations"])
    boxes = len(data["annotations"]) - ignored
    print(f"{options.output}: {len(data['images'])} images, {boxes} boxes, {ignored} ignored regions")
    print("left out: " + (", ".join(f"{name} {count}" for name, count in sorted(left_out.items())) or "nothing"))


if __name__ == "__main__":
    main()
