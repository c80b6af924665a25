"""Generated sequences: objects with known identities, and the detections that a detector would report."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trt_ssd_ros.detection.detections import Detections

Random = np.random.Generator
Array = NDArray[np.float64]

WIDTH, HEIGHT = 1280, 720
RATE = 30.0
FRAMES = 300
LEAST_INSIDE = 0.25
"""Objects that are inside the image with a smaller part of their area are not in the ground truth."""


@dataclass(frozen=True, eq=False)
class Truth:
    """Objects in one image.

    Attributes:
        boxes: (N, 4) float64, x1 y1 x2 y2 in pixels, clipped to the image.
        objects: (N,) int64, number of each object in its sequence.
        visible: (N,) float64, part of each box that no nearer object covers.
    """

    boxes: Array
    objects: NDArray[np.int64]
    visible: Array


@dataclass(frozen=True, eq=False)
class Image:
    """One image of a sequence: its stamp in nanoseconds, the objects in it, and what a detector finds."""

    stamp_ns: int
    truth: Truth
    found: Detections


@dataclass(frozen=True, eq=False)
class Paths:
    """Boxes of all objects at all times.

    Attributes:
        centres: (T, N, 2) in pixels.
        sizes: (T, N, 2) width and height in pixels; 0 while the object does not exist.
    """

    centres: Array
    sizes: Array

    @property
    def boxes(self) -> Array:
        """(T, N, 4), x1 y1 x2 y2 in pixels."""
        return np.concatenate([self.centres - self.sizes / 2, self.centres + self.sizes / 2], axis=-1)


def walk(random: Random, start: Array, velocity: Array, unrest: float, frames: int = FRAMES) -> Array:
    """Return centres (T, N, 2) that begin at `start` (N, 2) and change their velocity smoothly.

    Args:
        random: Source of the accelerations.
        start: First centres in pixels.
        velocity: Mean velocities (N, 2) in pixels per second, around which the velocities vary.
        unrest: Standard deviation of the velocity in pixels per second.
        frames: Number of images T.
    """
    deviation = np.zeros((frames, *start.shape))
    memory = np.exp(-1 / RATE)  # velocities forget within a second (Ornstein-Uhlenbeck)
    for now, before in zip(deviation[1:], deviation[:-1], strict=True):
        now[:] = memory * before + np.sqrt(1 - memory**2) * random.normal(0, unrest, start.shape)
    return np.asarray(start + np.cumsum((velocity + deviation) / RATE, axis=0))


def _sizes(random: Random, count: int, frames: int = FRAMES) -> Array:
    """Return sizes (T, N, 2) of upright objects that slowly come nearer or go away."""
    height = random.uniform(60, 180, count)
    growth = np.exp(random.normal(0, 0.03, count) * np.arange(frames)[:, None] / RATE)
    sides = np.stack([height * random.uniform(0.35, 0.8, count), height], axis=-1)
    return np.asarray(sides * growth[..., None])


def crossings(random: Random, count: int = 8) -> Paths:
    """Objects that cross the image from both sides at about one height, and each other."""
    side = np.where(np.arange(count) % 2, 1.0, -1.0)
    start = np.stack(
        [WIDTH / 2 - side * random.uniform(200, 600, count), random.uniform(300, 420, count)], axis=-1
    )
    velocity = np.stack([side * random.uniform(60, 160, count), random.normal(0, 8, count)], axis=-1)
    return Paths(walk(random, start, velocity, 15), _sizes(random, count))


def entering_and_leaving(random: Random, count: int = 24) -> Paths:
    """Objects that begin outside of the image at different times, pass through it and leave it."""
    side = random.choice([-1.0, 1.0], count)
    speed = random.uniform(120, 350, count)
    wait = random.uniform(0, 0.7 * FRAMES / RATE, count)
    start = np.stack(
        [WIDTH / 2 - side * (WIDTH / 2 + 150 + speed * wait), random.uniform(80, 640, count)], axis=-1
    )
    velocity = np.stack([side * speed, random.normal(0, 20, count)], axis=-1)
    return Paths(walk(random, start, velocity, 20), _sizes(random, count))


def crowd(random: Random, count: int = 30) -> Paths:
    """Many objects that stroll in all directions, often behind each other."""
    start = np.stack([random.uniform(50, WIDTH - 50, count), random.uniform(120, HEIGHT - 120, count)], axis=-1)
    return Paths(walk(random, start, random.normal(0, 25, (count, 2)), 40), _sizes(random, count))


def pillars(random: Random, count: int = 8) -> Paths:
    """Objects that pass behind four standing ones and are hidden for up to a second."""
    moving = entering_and_leaving(random, count)
    x = np.linspace(200, WIDTH - 200, 4)
    standing = np.broadcast_to(np.stack([x, np.full(4, 470.0)], axis=-1), (FRAMES, 4, 2))
    sizes = np.broadcast_to(np.array([110.0, 480.0]), (FRAMES, 4, 2))
    return Paths(np.concatenate([moving.centres, standing], axis=1), np.concatenate([moving.sizes, sizes], axis=1))


def sudden_turns(random: Random, count: int = 10) -> Paths:
    """Objects that stop, turn and start again."""
    start = np.stack([random.uniform(200, WIDTH - 200, count), random.uniform(150, HEIGHT - 150, count)], axis=-1)
    legs = [random.normal(0, 110, (count, 2)) * (random.random((count, 1)) > 0.3) for _ in range(6)]
    velocity = np.repeat(legs, FRAMES // len(legs), axis=0)
    return Paths(start + np.cumsum(velocity / RATE, axis=0), _sizes(random, count))


SCENES: Mapping[str, Callable[[Random], Paths]] = {
    "crossings": crossings,
    "entering and leaving": entering_and_leaving,
    "crowd": crowd,
    "pillars": pillars,
    "sudden turns": sudden_turns,
}


def new_sequence(scene: str, seed: int) -> list[Image]:
    """Return a sequence of a scene; equal seeds give equal sequences."""
    random = np.random.default_rng([seed, list(SCENES).index(scene)])
    boxes = SCENES[scene](random).boxes
    truths = [_truth(image) for image in boxes]
    return [Image(round(1e9 * index / RATE), truth, detect(random, truth)) for index, truth in enumerate(truths)]


def moving_grid(objects: int, count: int) -> list[Image]:
    """Return images with a number of objects that move side by side, always visible, a fifth with low scores."""
    random = np.random.default_rng(objects)
    columns = int(np.ceil(np.sqrt(objects)))
    places = np.stack(np.divmod(np.arange(objects), columns), axis=-1) * 70.0
    sizes = np.broadcast_to(np.array([40.0, 60.0]), (count, objects, 2))
    centres = places + walk(random, np.zeros((objects, 2)), np.full((objects, 2), 20.0), 5, count)
    images = []
    for index, boxes in enumerate(Paths(centres, sizes).boxes):
        scores = np.where(random.random(objects) < 0.2, 0.3, 0.8) + random.uniform(0, 0.1, objects)
        truth = Truth(boxes, np.arange(objects), np.ones(objects))
        images.append(Image(_stamp(index), truth, by_score(boxes + random.normal(0, 1, boxes.shape), scores)))
    return images


def _stamp(index: int) -> int:
    return round(1e9 * index / RATE)


def half(images: Sequence[Image], seed: int) -> list[Image]:
    """Return a random half of a sequence's images, in order."""
    kept = np.random.default_rng(seed).permutation(len(images))[: len(images) // 2]
    return [images[index] for index in np.sort(kept)]


def _truth(boxes: Array) -> Truth:
    """Return the objects that are inside the image; of two boxes, the one with the lower edge is nearer."""
    corners = np.array([WIDTH, HEIGHT, WIDTH, HEIGHT], np.float64)
    clipped = np.clip(boxes, 0, corners)
    inside = _areas(clipped) >= LEAST_INSIDE * np.maximum(_areas(boxes), 1)
    return Truth(clipped[inside], np.flatnonzero(inside), _visible(clipped[inside]))


def _areas(boxes: Array) -> Array:
    return np.asarray(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1))


def _visible(boxes: Array, raster: int = 12) -> Array:
    """Return the part of each box (N, 4) that no nearer box covers, on a raster of points."""
    steps = (np.arange(raster) + 0.5) / raster
    x = boxes[:, None, None, 0] + steps[:, None] * (boxes[:, 2] - boxes[:, 0])[:, None, None]
    y = boxes[:, None, None, 1] + steps * (boxes[:, 3] - boxes[:, 1])[:, None, None]
    visible = np.ones((len(boxes), raster, raster), np.bool_)
    for cover in boxes:
        behind = (boxes[:, 3] < cover[3])[:, None, None]
        visible &= ~(behind & (x > cover[0]) & (x < cover[2]) & (y > cover[1]) & (y < cover[3]))
    return np.asarray(visible.mean(axis=(1, 2)))


def detect(random: Random, truth: Truth) -> Detections:
    """Return what a detector finds: noisy boxes, lower scores of covered objects, missed and false ones."""
    count = len(truth.objects)
    sizes = truth.boxes[:, 2:] - truth.boxes[:, :2]
    noise = random.normal(0, 0.03, (count, 4)) * np.concatenate([sizes, sizes], axis=1)
    scores = np.clip(random.normal(0.25 + 0.55 * truth.visible, 0.1), 0.02, 0.99)
    seen = (scores >= 0.1) & (truth.visible > 0.2) & (random.random(count) > 0.05)
    real = by_score((truth.boxes + noise)[seen], scores[seen])
    return real if random.random() > 0.4 else _with_false(random, real)


def _with_false(random: Random, real: Detections) -> Detections:
    corner, size = random.uniform(0, 600, 2), random.uniform(40, 160, 2)
    box, score = np.concatenate([corner, corner + size]), random.uniform(0.1, 0.65)
    return by_score(np.vstack([real.boxes, box]), np.append(real.scores, score))


def by_score(boxes: Array, scores: Array) -> Detections:
    """Return boxes of one class as detections, highest score first."""
    order = np.argsort(-scores, kind="stable")
    class_ids = np.zeros(len(order), np.int32)
    return Detections(boxes[order].astype(np.float32), scores[order].astype(np.float32), class_ids)
