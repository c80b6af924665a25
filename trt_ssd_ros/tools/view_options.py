"""Options for the parts of an image that the detector sees: region of interest, tiles and named regions."""

from __future__ import annotations

import argparse

from trt_ssd_ros.detection.region import EXPECTED, WHOLE_IMAGE, Region
from trt_ssd_ros.detection.views import Views, named_region

OPTIONS = {"tiles": "--tiles", "tile_overlap": "--tile-overlap", "regions": "--region"}
"""Options by the names that the errors of `Views` begin with, those of the node's parameters."""


def _roi(text: str) -> Region:
    """Parse x,y,width,height."""
    try:
        numbers = [float(number) for number in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected {EXPECTED}") from None
    try:
        return Region.of(numbers, "--roi")
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error).removeprefix("--roi: ")) from error


def _tiles(text: str) -> tuple[int, int]:
    """Parse COLUMNSxROWS."""
    columns, _, rows = text.partition("x")
    if not (columns.isdecimal() and rows.isdecimal()):
        raise argparse.ArgumentTypeError(f"found {text!r}, expected columns and rows, as in 3x2")
    return int(columns), int(rows)


def _region(text: str) -> tuple[str, Region]:
    """Parse NAME=x,y,width,height."""
    try:
        return named_region(text, "--region")
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error).removeprefix("--region: ")) from error


def add_view_options(parser: argparse.ArgumentParser) -> None:
    """Add the options to a command line; see `views_of`."""
    parser.add_argument(
        "--roi",
        type=_roi,
        default=WHOLE_IMAGE,
        metavar="X,Y,W,H",
        help="region of interest, in fractions of the image or in pixels; default: the whole image",
    )
    parser.add_argument(
        "--tiles",
        type=_tiles,
        default=(1, 1),
        metavar="CxR",
        help="detect in C columns and R rows of tiles, too, for small objects in large images",
    )
    parser.add_argument(
        "--tile-overlap",
        type=float,
        default=Views.overlap,
        metavar="SHARE",
        help=f"overlap of neighbouring tiles, as a share of a tile; default: {Views.overlap}",
    )
    parser.add_argument(
        "--region",
        type=_region,
        action="append",
        default=[],
        metavar="NAME=X,Y,W,H",
        help="detect in this region, too; give it again for several regions",
    )
    parser.add_argument(
        "--no-whole-view",
        dest="whole_view",
        action="store_false",
        help="detect in the tiles or regions only, not also in the whole image",
    )


def views_of(options: argparse.Namespace) -> Views:
    """Return the views that the options ask for.

    Raises:
        ValueError: The options contradict each other, or a number is out of range.
    """
    try:
        return Views(options.roi, options.tiles, options.tile_overlap, tuple(options.region), options.whole_view)
    except ValueError as error:
        parameter, _, problem = str(error).partition(": ")
        raise ValueError(f"{OPTIONS.get(parameter, parameter)}: {problem}") from error  # regions name their option
