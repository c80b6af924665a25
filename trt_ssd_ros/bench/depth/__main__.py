r"""Measure the places of objects on rendered scenes: their errors, their covariances, and the time.

python3 -m trt_ssd_ros.bench.depth --json docs/results/place.json

An error counts in units of the aim: 3 cm or 2 % of the distance, the larger one. The baselines get the same boxes:
the median depth of a box, and the depth at its centre. `beyond` is the part of our errors above the aim, `inside`
the part inside the ellipsoid that the covariance gives for 95 %. The time for the scenes omits the last class.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import cycle
from math import ceil
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np

from trt_ssd_ros.bench.depth.baselines import centre_pixel, median_depth, median_of_box, pixels_of
from trt_ssd_ros.bench.depth.rendering import Array
from trt_ssd_ros.bench.depth.scenes import CAMERA, RECIPES, STRESS, Scene, new_scene
from trt_ssd_ros.bench.report import this_machine
from trt_ssd_ros.depth.depth_samples import DepthImage
from trt_ssd_ros.depth.placement import Placement, PlacementSettings, Reason, place_objects
from trt_ssd_ros.detection.timing import ROUNDS, Timing, time_interleaved, time_rounds
from trt_ssd_ros.files import write_atomically
from trt_ssd_ros.version import add_version

T = TypeVar("T")

SETTINGS = PlacementSettings()
LEAST_AIM, RELATIVE_AIM = 0.03, 0.02
BOUND = 7.8147
"""95 % quantile of the chi-squared distribution with three degrees of freedom."""
BASELINES = {"median of the box": median_of_box, "centre pixel": centre_pixel}
BOXES = (1, 5, 20)
IMAGES = 8
"""Images of the time measurement, in turn: if there is one, the processor learns the branches of its median."""
OURS = "ours"
ALL = "all but the last"


@dataclass(frozen=True)
class Outcome:
    """Errors in one scene.

    Attributes:
        errors: Distance from the true place by estimator, in units of the aim; infinite: no place.
        deviation: Squared distance of our place from the true one in units of its covariance (Mahalanobis).
        behind: Distance in metres from our place to the centre of the solid.
    """

    errors: Mapping[str, float]
    deviation: float
    behind: float


@dataclass(frozen=True)
class Errors:
    """Errors over the scenes of a class; the percentiles are in units of the aim, and None if places are missing.

    Attributes:
        p50: Median error.
        p95: 95th percentile of the error.
        beyond: Part of the scenes with an error above the aim.
        missing: Number of scenes without a place.
    """

    p50: float | None
    p95: float | None
    beyond: float
    missing: int


@dataclass(frozen=True)
class Result:
    """Result for one class of scenes.

    Attributes:
        scenes: Number of scenes.
        errors: Errors by estimator.
        inside: Part of the scenes whose error is inside the stated 95 % bound.
        behind: Median distance in metres from our place to the centre of the solid, whose rear no camera sees.
    """

    scenes: int
    errors: Mapping[str, Errors]
    inside: float
    behind: float


def outcome(scene: Scene) -> Outcome:
    """Return the errors of all estimators in a scene."""
    aim = max(LEAST_AIM, RELATIVE_AIM * float(np.linalg.norm(scene.centre)))

    def error(place: Array) -> float:
        return float(np.linalg.norm(place - scene.centre)) / aim

    baselines = {name: error(place(scene.depth, scene.box, CAMERA)) for name, place in BASELINES.items()}
    (found,) = place_objects(scene.depth, [scene.box], CAMERA, SETTINGS)
    if not isinstance(found, Placement):
        return Outcome({OURS: np.inf} | baselines, np.inf, np.nan)
    off = found.centre - scene.centre
    deviation = float(off @ np.linalg.solve(found.covariance, off))
    behind = float(np.linalg.norm(scene.solid.centre - found.centre))
    return Outcome({OURS: error(found.centre)} | baselines, deviation, behind)


def summary(outcomes: Sequence[Outcome]) -> Result:
    """Return the result over scenes."""
    errors = {name: _errors([o.errors[name] for o in outcomes]) for name in outcomes[0].errors}
    inside = float(np.mean([o.deviation <= BOUND for o in outcomes]))
    return Result(len(outcomes), errors, inside, float(np.nanmedian([o.behind for o in outcomes])))


def _errors(errors: Sequence[float]) -> Errors:
    ordered = sorted(errors)
    p50, p95 = (
        ordered[ceil(part * (len(ordered) - 1))] for part in (0.5, 0.95)
    )  # no interpolation: some are infinite
    known = [p if np.isfinite(p) else None for p in (p50, p95)]
    return Errors(known[0], known[1], float(np.mean(np.array(errors) > 1)), int(np.isinf(errors).sum()))


def accuracy(scenes: Mapping[str, Sequence[Scene]]) -> dict[str, Result]:
    """Return the results by class of scenes, and over all classes but the one that no aim is set for."""
    outcomes = {name: [outcome(scene) for scene in of_class] for name, of_class in scenes.items()}
    together = [o for name in RECIPES if name != STRESS for o in outcomes[name]]
    return {name: summary(of_class) for name, of_class in outcomes.items()} | {ALL: summary(together)}


def times(repeats: int) -> dict[int, dict[str, Timing]]:
    """Return the milliseconds per image by number of boxes, for 16UC1 images of 640x480 pixels."""
    depths = [new_scene("20 % holes", seed).depth for seed in range(IMAGES)]
    boxes = {count: _random_boxes(count) for count in BOXES}
    return {n: time_interleaved(_calls([(d, own) for d in depths]), repeats) for n, own in boxes.items()}


def times_over(scenes: Sequence[Scene]) -> dict[str, Timing]:
    """Return the sum of the milliseconds of all scenes, with one box each; each call takes another image."""
    rounds = time_rounds(_calls([(scene.depth, scene.box[None]) for scene in scenes]), ROUNDS + 1, len(scenes))
    return {name: Timing.of(milliseconds[1:].sum(axis=1)) for name, milliseconds in rounds.items()}


def _calls(images: Sequence[tuple[DepthImage, Array]]) -> dict[str, Callable[[], object]]:
    parts = [[depth.metres(*pixels_of(box, depth.size)) for box in boxes] for depth, boxes in images]

    def place(image: tuple[DepthImage, Array]) -> list[Placement | Reason]:
        return place_objects(*image, CAMERA, SETTINGS)

    return {
        OURS: _of_each(place, images),
        "ours and points": _of_each(lambda i: [p.points for p in place(i) if isinstance(p, Placement)], images),
        "median of the box": _of_each(lambda image: [median_depth(image[0], box) for box in image[1]], images),
        "np.median alone": _of_each(lambda of_image: [np.median(part) for part in of_image], parts),
    }


def _of_each(call: Callable[[T], object], images: Sequence[T]) -> Callable[[], object]:
    """Return a call that takes the next image each time."""
    following = cycle(images)
    return lambda: call(next(following))


def _random_boxes(count: int) -> Array:
    """Return boxes (N, 4) of 60x80 to 160x240 pixels."""
    random = np.random.default_rng(0)
    half = np.exp(random.uniform(np.log([60, 80]), np.log([160, 240]), (count, 2))) / 2
    centres = random.uniform(half, np.array([CAMERA.width, CAMERA.height]) - half)
    return np.concatenate([centres - half, centres + half], axis=1)


def error_table(results: Mapping[str, Result]) -> str:
    """Return the errors as text."""
    names = [OURS, *BASELINES]
    head = "".join(f"{name + ': p50':>24}{'p95':>8}" for name in names)
    lines = [f"{'errors in units of the aim':<30}{head}{'beyond':>9}{'inside':>9}{'missing':>9}"]
    for title, result in results.items():
        cells = "".join(f"{_number(result.errors[n].p50):>24}{_number(result.errors[n].p95):>8}" for n in names)
        ours = result.errors[OURS]
        lines.append(f"{title:<30}{cells}{ours.beyond:>9.1%}{result.inside:>9.1%}{ours.missing:>9}")
    return "\n".join(lines)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def time_table(title: str, measured: Mapping[int, Mapping[str, Timing]]) -> str:
    """Return the times as text."""
    lines = [f"{title:<24}{'boxes':>7}{'p50':>9}{'p99':>9}{'ours / this':>13}"]
    for count, rows in measured.items():
        ours = rows[OURS].p50
        lines += [f"{name:<24}{count:7}{t.p50:9.3f}{t.p99:9.3f}{ours / t.p50:13.2f}" for name, t in rows.items()]
    return "\n".join(lines)


def main(args: Sequence[str] | None = None) -> int:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(prog="place_benchmark", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add_version(parser)
    parser.add_argument("--seeds", type=int, default=200, help="scenes of each class (default: 200)")
    parser.add_argument("--repeats", type=int, default=200, help="runs of the time measurement (default: 200)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to this file")
    options = parser.parse_args(args)
    cv2.setNumThreads(1)  # as the locator
    speed = times(options.repeats)
    print(time_table("ms per image", speed), flush=True)
    scenes = {name: [new_scene(name, seed) for seed in range(options.seeds)] for name in RECIPES}
    results = accuracy(scenes)
    with_aim = [scene for name in RECIPES if name != STRESS for scene in scenes[name]]
    total = times_over(with_aim)
    print(f"\n{error_table(results)}\n\n{time_table(f'ms for {len(with_aim)} scenes', {1: total})}")
    if options.json:
        _write(options.json, options.seeds, speed, total, results)
    return 0


def _write(
    path: Path,
    seeds: int,
    speed: Mapping[int, Mapping[str, Timing]],
    total: Mapping[str, Timing],
    results: Mapping[str, Result],
) -> None:
    figures = {
        "command": shlex.join(["python3", "-m", "trt_ssd_ros.bench.depth", *sys.argv[1:]]),
        "machine": this_machine() | {"numpy": np.__version__},
        "seeds": seeds,
        "milliseconds": {count: {name: asdict(t) for name, t in rows.items()} for count, rows in speed.items()},
        "milliseconds for the scenes": {name: asdict(t) for name, t in total.items()},
        "places": {title: asdict(result) for title, result in results.items()},
    }
    write_atomically(path, f"{json.dumps(figures, indent=2)}\n".encode())


if __name__ == "__main__":
    sys.exit(main())
