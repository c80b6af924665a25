"""Command-line options for annotations, and the annotated images that they name."""

from __future__ import annotations

import argparse
from pathlib import Path

from trt_ssd_ros.tools.evaluate.annotation_files import FORMATS, read_annotations
from trt_ssd_ros.tools.evaluate.annotations import AnnotatedSet


def add_annotation_options(parser: argparse.ArgumentParser, *, required: bool) -> None:
    """Add the options for annotations to a command line.

    Args:
        parser: Parser to extend.
        required: Whether the command needs annotations.
    """
    parser.add_argument(
        "--annotations", type=Path, required=required, metavar="PATH", help="annotation file or folder"
    )
    parser.add_argument(
        "--format", choices=FORMATS, default="auto", help="annotation format; default: auto, from the files"
    )
    parser.add_argument("--names", type=Path, metavar="FILE", help="YOLO class names: data.yaml, or one per line")
    parser.add_argument(
        "--map",
        type=_renaming,
        action="append",
        default=[],
        metavar="OLD=NEW",
        help="rename an annotated label to the detector's; repeatable",
    )
    parser.add_argument("--known-only", action="store_true", help="exclude labels that a detector does not know")


def read_annotated(options: argparse.Namespace, images: Path) -> AnnotatedSet:
    """Return the annotated images of a command line, with renamed labels.

    Args:
        options: Parsed options of `add_annotation_options`.
        images: Folder of the images.

    Raises:
        AnnotationError: The annotations are damaged, or do not match the images.
        OSError: A file cannot be read.
    """
    annotated = read_annotations(options.annotations, images, options.format, options.names)
    return annotated.renamed(dict(options.map))


def _renaming(text: str) -> tuple[str, str]:
    old, separator, new = text.partition("=")
    if not (old and separator and new):
        raise argparse.ArgumentTypeError(f"found {text!r}, expected OLD=NEW")
    return old, new
