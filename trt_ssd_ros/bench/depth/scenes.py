"""Rendered scenes: an object with a known place, what is around it, and the box that a detector reports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from trt_ssd_ros.bench.depth.rendering import (
    Array,
    Cuboid,
    Cylinder,
    Plane,
    Random,
    Solid,
    measured,
    render,
    turned,
)
from trt_ssd_ros.depth.camera_model import PinholeCamera
from trt_ssd_ros.depth.depth_samples import DepthImage

CAMERA = PinholeCamera(640, 480, 525.0, 525.0, 319.5, 239.5)
BOX_NOISE = 0.03
"""Standard deviation of each edge of a detector's box, in widths or heights."""
LEAST_PIXELS = 300
"""Least size of an object in the image."""
COVERED = 0.15, 0.45
"""Part of an object that an occluder covers."""
STRESS = "all of these"
"""The class that no aim is set for: of most boxes, less than a fifth shows the object."""
GAP = 0.2
"""Distance in metres between an object and the wall in the scenes beside a wall."""


@dataclass(frozen=True)
class Recipe:
    """What makes a class of scenes hard.

    Attributes:
        leaning: Whether the object leans, so that it fills at most half of its box.
        loose: Largest growth of each edge of the box, in widths or heights.
        holes: Part of the pixels without a measurement.
        occluder: Whether something nearer covers 15 to 45 % of the object.
        wall: Whether a wall stands 0.2 m behind or beside the object, else 1 to 3 m behind.
    """

    leaning: bool = False
    loose: float = 0.0
    holes: float = 0.03
    occluder: bool = False
    wall: bool = False


RECIPES: Mapping[str, Recipe] = MappingProxyType(
    {
        "alone": Recipe(),
        "half background, leaning": Recipe(leaning=True),
        "half background, loose box": Recipe(loose=0.5),
        "20 % holes": Recipe(holes=0.2),
        "occluder": Recipe(occluder=True),
        "0.2 m from a wall": Recipe(wall=True, loose=0.25),
        STRESS: Recipe(leaning=True, loose=0.1, holes=0.2, occluder=True, wall=True),
    }
)


@dataclass(frozen=True, eq=False)
class Scene:
    """One object in a depth image.

    Attributes:
        depth: Depth image with noise.
        box: (4,) x1 y1 x2 y2 in pixels, as a detector reports it.
        centre: (3,) in metres, true place: the ray through the middle of the outline, at the median depth of the
            surface that faces the camera; of the whole object, also where something covers it.
        size: (2,) in metres, true width and height of the outline at that depth.
        solid: The object.
        filled: Part of the box that the object fills, as far as it is visible.
    """

    depth: DepthImage
    box: NDArray[np.float64]
    centre: Array
    size: Array
    solid: Cuboid | Cylinder
    filled: float


def new_scene(name: str, seed: int) -> Scene:
    """Return a scene of a class in RECIPES; equal seeds give equal scenes."""
    random = np.random.default_rng([seed, list(RECIPES).index(name)])
    while True:  # until the object is inside of the image, and visible as the recipe says
        scene = _try(random, RECIPES[name])
        if scene is not None:
            return scene


def _try(random: Random, recipe: Recipe) -> Scene | None:
    solid = _object(random, recipe.leaning)
    alone = render([solid], CAMERA)
    mask = np.isfinite(alone)
    if mask.sum() < LEAST_PIXELS or mask[[0, -1]].any() or mask[:, [0, -1]].any():
        return None
    outline = _outline(mask)
    around = _surroundings(random, recipe, alone, outline)
    cover = [_occluder(random, alone, outline)] if recipe.occluder else []
    full = render([solid, *around, *cover], CAMERA)
    visible = mask & (full == alone)
    hidden = 1 - visible.sum() / mask.sum()
    least, most = COVERED if recipe.occluder else (0.0, 0.02)
    if not least <= hidden <= most:
        return None
    box = _reported(random, outline, recipe)
    filled = float(_inside(visible, box).mean())
    if (recipe.leaning or recipe.loose >= 0.5) and filled > 0.5:
        return None
    z = float(np.median(alone[mask]))
    corners = CAMERA.rays(outline.reshape(2, 2) - 0.5)
    depth = DepthImage(measured(random, full, recipe.holes), 0.001)
    centre, size = np.append(corners.mean(axis=0), 1) * z, (corners[1] - corners[0]) * z
    return Scene(depth, box, centre, size, solid, filled)


def _object(random: Random, leaning: bool) -> Cuboid | Cylinder:
    """Return a box or an upright cylinder 1 to 5 m away, from the size of a bottle to that of a person."""
    z, height = random.uniform(1, 5), np.exp(random.uniform(np.log(0.2), np.log(1.8)))
    width = height * random.uniform(0.15 if leaning else 0.25, 0.3 if leaning else 1.0)
    x, y = random.uniform(-0.5, 0.5) * z, random.uniform(-0.35, 0.35) * z
    roll = random.choice([-1, 1]) * random.uniform(0.5, 1.0) if leaning else random.normal(0, 0.03)
    rotation, centre = turned(random.uniform(-np.pi, np.pi), roll), np.array([x, y, z])
    if random.random() < 0.5:
        return Cylinder(centre, width / 2, height, rotation)
    return Cuboid(centre, np.array([width, height, width * random.uniform(0.4, 1.0)]), rotation)


def _surroundings(random: Random, recipe: Recipe, alone: Array, outline: Array) -> list[Solid]:
    """Return the floor below the object, and a wall."""
    furthest = float(alone[np.isfinite(alone)].max())
    (left, _), (right, bottom) = CAMERA.rays(outline.reshape(2, 2) - 0.5) * furthest
    floor = Plane(np.array([0.0, 1.0, 0.0]), max(bottom, 0.15) + 0.005)
    if not recipe.wall:
        turn = turned(random.normal(0, 0.2))
        normal = turn @ [0, 0, 1]
        return [floor, Plane(normal, float(normal @ [(left + right) / 2, 0, furthest + random.uniform(1, 3)]))]
    side = int(random.integers(3))
    if side == 0:
        return [floor, Plane(np.array([0.0, 0.0, 1.0]), furthest + GAP)]
    end = Plane(np.array([0.0, 0.0, 1.0]), furthest + random.uniform(1, 3))
    if side == 1:
        return [floor, end, Plane(np.array([-1.0, 0.0, 0.0]), max(GAP - left, 0.05))]
    return [floor, end, Plane(np.array([1.0, 0.0, 0.0]), max(right + GAP, 0.05))]


def _occluder(random: Random, alone: Array, outline: Array) -> Solid:
    """Return a box or a pole 0.3 to 1 m in front of the object, that covers a side, the bottom, or a stripe."""
    z = float(alone.min()) - random.uniform(0.3, min(1.0, 0.6 * alone.min()))
    (left, top), (right, bottom) = CAMERA.rays(outline.reshape(2, 2) - 0.5) * z
    width, height, part = right - left, bottom - top, random.uniform(0.15, 0.45)
    kind = int(random.integers(4))
    if kind == 0:  # a pole
        x = random.uniform(left, right)
        return Cylinder(np.array([x, top, z]), part * width / 2, 10 * height, turned(0, random.normal(0, 0.2)))
    if kind == 1:  # a low box
        centre = np.array([(left + right) / 2, bottom + height * (0.5 - part), z + 0.1])
        return Cuboid(centre, np.array([3 * width, height, 0.2]), turned(0.0))
    side = 1 if kind == 2 else -1
    edge = right if side > 0 else left
    centre = np.array([edge + side * width * (0.5 - part), (top + bottom) / 2, z + 0.1])
    return Cuboid(centre, np.array([width, 3 * height, 0.2]), turned(0.0))


def _outline(mask: NDArray[np.bool_]) -> Array:
    """Return the box (4,) around the pixels of a mask."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], np.float64)


def _reported(random: Random, outline: Array, recipe: Recipe) -> Array:
    """Return the box of a detector: noisy edges, moved outwards if the box is loose."""
    sides = np.tile(outline[2:] - outline[:2], 2)
    outwards = np.array([-1, -1, 1, 1]) * random.uniform(0, recipe.loose, 4)
    return np.asarray(outline + sides * (random.normal(0, BOX_NOISE, 4) + outwards))


def _inside(mask: NDArray[np.bool_], box: Array) -> NDArray[np.bool_]:
    x1, y1, x2, y2 = np.rint(np.clip(box, 0, [CAMERA.width, CAMERA.height] * 2)).astype(int)
    return mask[y1:y2, x1:x2]
