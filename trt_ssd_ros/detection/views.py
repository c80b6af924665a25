"""Views: the parts of an image that the detector sees one by one, and the merge of their detections.

Each view fills a place of the batch, so that small objects keep more pixels than in the whole image. An object
across the edge of a view is cut there; its fragments are recognised and replaced by the complete box. Slicing an
image for small objects is described by Akyon et al., Slicing Aided Hyper Inference (arXiv:2202.06934).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trt_ssd_ros.detection.detections import Boxes, Detections, areas, overlaps
from trt_ssd_ros.detection.region import WHOLE_IMAGE, Region, Window

MAX_VIEWS = 64
"""Most views of an image."""
MAX_OVERLAP = 0.9
"""Largest overlap of neighbouring tiles."""
EDGE = 0.02
"""Distance between a box and an edge of its view, in sides of the view, up to which the edge cuts the object."""
SAME = 0.4
"""Overlap above which a fragment belongs to a complete box (overlap over the smaller area) or to another fragment
(intersection over union where both views see)."""
NESTED = 0.8
"""Overlap over the smaller area above which boxes of two views are of one object."""
MAX_MERGED = 1000
"""Most detections of all views that are merged, those with the highest scores: time grows with the square."""


@dataclass(frozen=True)
class Views:
    """Parts of every image, of any size: the region of interest as a whole, its tiles, or regions named by hand.

    Attributes:
        region: Region of interest; the image outside of it has no influence.
        tiles: Columns and rows of equal tiles of the region; (1, 1): no tiles.
        overlap: Overlap of neighbouring tiles, in sides of a tile, from 0 to MAX_OVERLAP.
        regions: Named regions, cut off at the region of interest.
        whole: Whether the region of interest as a whole is one more view beside tiles or named regions.

    Raises:
        ValueError: Tiles and named regions are both given, a named region is outside of the region of interest in
            all images, or a number is out of range.
    """

    region: Region = WHOLE_IMAGE
    tiles: tuple[int, int] = (1, 1)
    overlap: float = 0.2
    regions: tuple[tuple[str, Region], ...] = ()
    whole: bool = True

    def __post_init__(self) -> None:
        if min(self.tiles) < 1:
            raise ValueError(f"tiles: found {list(self.tiles)}, expected columns and rows from 1")
        if self.count > MAX_VIEWS:
            found = f"regions: found {len(self.regions)}" if self.regions else f"tiles: found {list(self.tiles)}"
            raise ValueError(f"{found}, expected at most {MAX_VIEWS} views of an image, with the whole")
        if not 0 <= self.overlap <= MAX_OVERLAP:
            raise ValueError(f"tile_overlap: found {self.overlap}, expected 0 to {MAX_OVERLAP}")
        if self.regions and self.tiles != (1, 1):
            raise ValueError(f"regions: found them beside tiles {list(self.tiles)}, expected only one of the two")
        names = [name for name, _ in self.regions]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"regions: found {name} twice, expected different names")
        for _, region in self.regions:
            if region.is_apart_from(self.region):
                raise self._apart(region)

    def __str__(self) -> str:
        """Return the views as text, for the settings of a run."""
        texts = [f"roi {self.region}"] if self.region != WHOLE_IMAGE else []
        if self.tiles != (1, 1):
            texts.append(f"{self.tiles[0]}x{self.tiles[1]} tiles with overlap {self.overlap:g}")
        texts += [f"{name} {region}" for name, region in self.regions]
        if not self.whole and (self.regions or self.tiles != (1, 1)):
            texts.append("without the whole")
        return ", ".join(texts) or "whole image"

    @cached_property
    def is_whole_image(self) -> bool:
        """Whether the only view is the whole image."""
        return self.count == 1 and not self.regions and self.region == WHOLE_IMAGE

    @cached_property
    def count(self) -> int:
        """Number of views."""
        columns, rows = self.tiles
        parts = len(self.regions) or columns * rows
        return parts + (self.whole and (parts > 1 or bool(self.regions)))

    def windows(self, width: int, height: int) -> list[Window]:
        """Return the views in a width x height image.

        Raises:
            ValueError: A region lies outside the image or the region of interest.
        """
        if self.is_whole_image:
            return [Window(0, 0, width, height)]
        area = self.region.window(width, height)
        if self.count == 1 and not self.regions:
            return [area]
        parts = [self._inside(area, region.window(width, height), name, region) for name, region in self.regions]
        parts = parts or _tiles(area, self.tiles, self.overlap)
        return [area, *parts] if self.whole else parts

    def _inside(self, area: Window, window: Window, name: str, region: Region) -> Window:
        """Return the part of a named region in the region of interest."""
        left, top = max(window.left, area.left), max(window.top, area.top)
        right, bottom = min(window.right, area.right), min(window.bottom, area.bottom)
        if left >= right or top >= bottom:
            raise self._apart(region)
        return Window(left, top, right, bottom, name)

    def _apart(self, region: Region) -> ValueError:
        expected = f"found it outside of {self.region.parameter}, expected an overlap with it"
        return ValueError(f"{region.parameter}: {expected}")


WHOLE = Views()
"""The whole image as the only view."""


def named_region(text: str, parameter: str = "regions") -> tuple[str, Region]:
    """Parse a region like `gate=0.1,0.2,0.3,0.4`: x, y, width, height, as in `Region`.

    Args:
        text: Name and numbers.
        parameter: Name of the parameter, for errors.

    Raises:
        ValueError: The text is no region; the message begins with `parameter`.
    """
    name, _, numbers = text.partition("=")
    name = name.strip()
    try:
        values = [float(number) for number in numbers.split(",")]
    except ValueError:
        values = []
    if not name or not values:
        expected = "a name and four numbers, as in gate=0.1,0.2,0.3,0.4"
        raise ValueError(f"{parameter}: found {text!r}, expected {expected}")
    return name, Region.of(values, f"{parameter}: {name}")


def _tiles(area: Window, tiles: tuple[int, int], overlap: float) -> list[Window]:
    """Return equal tiles of the region of interest, row by row."""
    columns = _spans(area.left, area.right, tiles[0], overlap)
    rows = _spans(area.top, area.bottom, tiles[1], overlap)
    return [Window(left, top, right, bottom) for top, bottom in rows for left, right in columns]


def _spans(start: int, stop: int, count: int, overlap: float) -> list[tuple[int, int]]:
    """Divide an axis into equal spans of whole pixels; neighbours overlap, and each has at least one pixel."""
    length = (stop - start) / (count - (count - 1) * overlap)
    edges = [start + index * length * (1 - overlap) for index in range(count)]
    firsts = [min(round(edge), stop - 1) for edge in edges]
    return [(first, max(round(edge + length), first + 1)) for first, edge in zip(firsts, edges, strict=True)]


@dataclass(frozen=True, eq=False)
class _Found:
    """Detections of all views.

    Attributes:
        boxes: (N, 4) float32, x1 y1 x2 y2 in pixels of the image.
        scores: (N,) float32.
        class_ids: (N,) int32.
        views: (N, 4) float32, view in which each box was found, x1 y1 x2 y2 in pixels of the image.
    """

    boxes: Boxes
    scores: NDArray[np.float32]
    class_ids: NDArray[np.int32]
    views: Boxes

    def __getitem__(self, index: NDArray[Any]) -> _Found:
        return _Found(*(column[index] for column in self._columns))

    def __add__(self, other: _Found) -> _Found:
        return _Found(*map(np.concatenate, zip(self._columns, other._columns, strict=True)))

    @property
    def _columns(self) -> tuple[NDArray[Any], ...]:
        return self.boxes, self.scores, self.class_ids, self.views


def merge_views(windows: Sequence[Window], found: Sequence[Detections], iou_threshold: float) -> Detections:
    """Merge the detections of the views of an image, so that each object has one box.

    A box at an edge of its view that is no edge of the area of all views is a fragment: the object may go on
    behind the edge. A fragment that a complete box of its class covers is dropped. Fragments of two views, of one
    class, that coincide where both views see are parts of one object, and become the box around them. NMS then
    drops boxes that overlap too much, and those of another view that a better box of their class covers. Of more
    than MAX_MERGED detections, those with the lowest scores are dropped first.

    Args:
        windows: Views in pixels of the image.
        found: Detections of each view, in pixels of the image.
        iou_threshold: Intersection over union above which the lower-scoring of two boxes of a class is dropped.

    Returns:
        Detections, highest score first.
    """
    everything = _collect(windows, found)
    cut = _are_cut(everything, windows)
    complete, fragments = everything[~cut], everything[cut]
    fragments = fragments[~(_covers(complete, fragments) > SAME).any(axis=0)]
    merged = complete + _joined(fragments)
    merged = merged[np.argsort(-merged.scores, kind="stable")]
    kept = merged[_best(merged, iou_threshold)]
    return Detections(kept.boxes, kept.scores, kept.class_ids)


def _collect(windows: Sequence[Window], found: Sequence[Detections]) -> _Found:
    """Return the detections of all views, at most MAX_MERGED, highest score first."""
    views = _corners(windows).repeat([len(part) for part in found], axis=0)
    columns = [(part.boxes, part.scores, part.class_ids) for part in found]
    boxes, scores, class_ids = map(np.concatenate, zip(*columns, strict=True))
    return _Found(boxes, scores, class_ids, views)[np.argsort(-scores, kind="stable")[:MAX_MERGED]]


def _corners(windows: Sequence[Window]) -> Boxes:
    return np.array([(w.left, w.top, w.right, w.bottom) for w in windows], np.float32)


def _are_cut(found: _Found, windows: Sequence[Window]) -> NDArray[np.bool_]:
    """Return (N,) bool, true for boxes that end at an edge of their view inside the area of all views."""
    corners, views = _corners(windows), found.views
    ends = np.concatenate([corners[:, :2].min(axis=0), corners[:, 2:].max(axis=0)])
    margin = EDGE * np.tile(views[:, 2:] - views[:, :2], 2)
    return np.asarray(((np.abs(found.boxes - views) <= margin) & (views != ends)).any(axis=1))


def _shared(some: Boxes, others: Boxes) -> Boxes:
    """Return the intersections (..., 4) of boxes, by NumPy's broadcasting; without area if two do not meet."""
    first = np.maximum(some[..., :2], others[..., :2])
    return np.concatenate([first, np.maximum(first, np.minimum(some[..., 2:], others[..., 2:]))], axis=-1)


def _same_class(some: _Found, others: _Found) -> NDArray[np.bool_]:
    return np.asarray(some.class_ids[:, None] == others.class_ids)


def _elsewhere(found: _Found) -> NDArray[np.bool_]:
    """Return (N, N) bool, true for boxes of two views; within a view, NMS has told objects apart."""
    return np.asarray((found.views[:, None] != found.views).any(axis=2))


def _covers(some: _Found, others: _Found) -> NDArray[np.float32]:
    """Return the overlap (N, M) of boxes, over the smaller area; 0 for two classes, or if a box has no area."""
    shared = areas(_shared(some.boxes[:, None], others.boxes))
    smaller = np.minimum(areas(some.boxes)[:, None], areas(others.boxes))
    # A thin box may lose its area when float32 rounds its sum with the corner of its view.
    comparable = _same_class(some, others) & (smaller > 0)
    return np.divide(shared, smaller, out=np.zeros_like(shared), where=comparable)


def _coincide(fragments: _Found) -> NDArray[np.bool_]:
    """Return (N, N) bool, true for fragments of a class, of two views, that coincide where both views see."""
    seen = _shared(fragments.views[:, None], fragments.views)
    own = _shared(fragments.boxes[:, None], seen)
    shared = areas(_shared(own, own.transpose(1, 0, 2)))
    union = areas(own) + areas(own).T - shared
    return np.asarray(_same_class(fragments, fragments) & _elsewhere(fragments) & (shared > SAME * union))


def _joined(fragments: _Found) -> _Found:
    """Return one box around the fragments of each object, with score and view of its best fragment."""
    linked = _coincide(fragments) | np.eye(len(fragments.boxes), dtype=np.bool_)
    groups = np.arange(len(linked))
    while True:  # each fragment takes the lowest number among those that it is linked to
        lowest = np.where(linked, groups, len(linked)).min(axis=1, initial=len(linked))
        if (lowest == groups).all():
            break
        groups = lowest
    best = np.array([np.where(groups == n, fragments.scores, -1).argmax() for n in np.unique(groups)], np.intp)
    around = [
        np.concatenate([boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)])
        for boxes in (fragments.boxes[groups == groups[index]] for index in best)
    ]
    return replace(fragments[best], boxes=np.reshape(around, (-1, 4)).astype(np.float32))


def _best(found: _Found, iou_threshold: float) -> NDArray[np.intp]:
    """Run NMS on boxes in order of their scores, and return the indices of those that are kept."""
    covered = _covers(found, found) > NESTED
    elsewhere = _elsewhere(found)
    rest, kept = np.arange(len(found.boxes)), []
    while rest.size:
        first, rest = rest[0], rest[1:]
        kept.append(first)
        alike = found.class_ids[rest] == found.class_ids[first]
        again = alike & overlaps(found.boxes[first], found.boxes[rest], iou_threshold)
        rest = rest[~(again | (covered[first] & elsewhere[first])[rest])]
    return np.array(kept, np.intp)
