r"""Compare the tracker with ByteTrack of `trackers`: time per image, and identity on generated sequences.

pip install --no-deps --target .ros/peers trackers==2.6.1 supervision==0.31.2 trackeval==1.3.0 \
    pydeprecate rich markdown-it-py mdurl pygments requests urllib3 idna certifi charset-normalizer tabulate
PYTHONPATH=$PYTHONPATH:.ros/peers python3 -m trt_ssd_ros.bench.tracking --json docs/results/tracking.json

Both trackers get the same detections and thresholds; the baseline is measured with and without the images' stamps.
TrackEval judges. `half` is a random half of the images of each sequence, in order.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np

from trt_ssd_ros.bench.report import this_machine
from trt_ssd_ros.bench.tracking.peers import Follow, Referee, Scores, byte_track, our_tracker
from trt_ssd_ros.bench.tracking.sequences import SCENES, Image, half, moving_grid, new_sequence
from trt_ssd_ros.detection.timing import Timing, time_interleaved
from trt_ssd_ros.files import write_atomically
from trt_ssd_ros.tracking.settings import TrackerSettings
from trt_ssd_ros.version import add_version

SETTINGS = TrackerSettings(thresholds=(0.5,))
OBJECTS = (20, 100)
ALL, HALF = "all images", "half"
TRACKERS: Mapping[str, Callable[[], Follow]] = {
    "ours": partial(our_tracker, SETTINGS),
    "trackers, with stamps": partial(byte_track, SETTINGS, True),
    "trackers, counting images": partial(byte_track, SETTINGS, False),
}


def steps(follow: Follow, images: Sequence[Image]) -> Callable[[], object]:
    """Return a call that gives the tracker the next image of a sequence."""
    waiting = iter(images)

    def step() -> None:
        image = next(waiting)
        follow(image.stamp_ns, image.found)

    return step


def times(objects: int, count: int) -> dict[str, Timing]:
    """Return the milliseconds per image of each tracker; they take turns in rounds, and the first round warms up.

    Args:
        objects: Number of objects in the image.
        count: Number of images.
    """
    images = moving_grid(objects, 2 * count)
    return time_interleaved({name: steps(new(), images) for name, new in TRACKERS.items()}, count)


def identity(seeds: Sequence[int]) -> dict[str, dict[str, dict[str, Scores]]]:
    """Return the scores by scene and over all, by tracker, with all images and with half of them."""
    referees = {name: {ALL: Referee(), HALF: Referee()} for name in TRACKERS}
    for number, (scene, seed) in enumerate(product(SCENES, seeds)):
        images = new_sequence(scene, seed)
        for name, new in TRACKERS.items():
            referees[name][ALL].judge(f"{scene} {seed}", images, new())
            referees[name][HALF].judge(f"{scene} {seed}", half(images, number), new())
    titles = {scene: scene for scene in SCENES} | {"all scenes": ""}
    return {
        title: {name: {kind: r.scores(scene) for kind, r in its.items()} for name, its in referees.items()}
        for title, scene in titles.items()
    }


def time_table(measured: Mapping[int, Mapping[str, Timing]]) -> str:
    """Return the times as text."""
    lines = [f"{'ms per image':<28}{'objects':>8}{'p50':>8}{'p99':>8}{'p50 / ours':>12}"]
    for objects, rows in measured.items():
        ours = rows["ours"].p50
        lines += [f"{name:<28}{objects:8}{t.p50:8.2f}{t.p99:8.2f}{t.p50 / ours:12.1f}" for name, t in rows.items()]
    return "\n".join(lines)


def identity_table(title: str, measured: Mapping[str, Mapping[str, Scores]]) -> str:
    """Return the scores as text."""
    lines = [f"{title:<28}{'images':>12}{'HOTA':>8}{'IDF1':>8}{'MOTA':>8}{'switches':>10}{'IDF1 lost':>11}"]
    for name, rows in measured.items():
        best = rows[ALL].idf1
        for kind, s in rows.items():
            row = f"{name:<28}{kind:>12}{s.hota:8.2f}{s.idf1:8.2f}{s.mota:8.2f}{s.switches:10}"
            lines.append(row if kind == ALL else f"{row}{best - s.idf1:11.2f}")
    return "\n".join(lines)


def main(args: Sequence[str] | None = None) -> int:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(prog="tracking_benchmark", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add_version(parser)
    parser.add_argument("--seeds", type=int, default=10, help="sequences of each scene (default: 10)")
    parser.add_argument("--images", type=int, default=500, help="images of the time measurement (default: 500)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to this file")
    options = parser.parse_args(args)
    speed = {objects: times(objects, options.images) for objects in OBJECTS}
    print(time_table(speed), flush=True)
    scores = identity(range(options.seeds))
    print("\n\n".join(identity_table(title, rows) for title, rows in scores.items()))
    if options.json:
        write_figures(options.json, options.seeds, speed, scores)
    return 0


def write_figures(
    path: Path,
    seeds: int,
    speed: Mapping[int, Mapping[str, Timing]],
    scores: Mapping[str, Mapping[str, Mapping[str, Scores]]],
) -> None:
    """Write the figures, the command and the machine as JSON.

    Raises:
        OSError: The file cannot be written.
    """
    command = shlex.join(["python3", "-m", "trt_ssd_ros.bench.tracking", *sys.argv[1:]])
    figures = {
        "command": command,
        "machine": this_machine() | {"numpy": np.__version__},
        "seeds": list(range(seeds)),
        "milliseconds": {objects: _as_dicts(rows) for objects, rows in speed.items()},
        "identity": {
            title: {name: _as_dicts(row) for name, row in rows.items()} for title, rows in scores.items()
        },
    }
    write_atomically(path, f"{json.dumps(figures, indent=2)}\n".encode())


def _as_dicts(rows: Mapping[str, Timing] | Mapping[str, Scores]) -> dict[str, dict[str, float]]:
    return {name: asdict(row) for name, row in rows.items()}


if __name__ == "__main__":
    sys.exit(main())
