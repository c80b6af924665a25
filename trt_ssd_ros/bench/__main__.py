"""Measure the speed of a detector on this machine, by image size, batch, precision and backend.

ros2 run trt_ssd_ros benchmark                                 the default model, three sizes
ros2 run trt_ssd_ros benchmark --backend onnxruntime tensorrt --precision fp32 fp16 --batch 1 8
ros2 run trt_ssd_ros benchmark --json now.json --plot now.png
ros2 run trt_ssd_ros benchmark --compare before.json now.json  compare two earlier reports
ros2 run trt_ssd_ros benchmark --video drive.mp4               `detect` as a whole and each stage alone
ros2 run trt_ssd_ros benchmark --video demo                    `detect` on a video of the sample photos
ros2 run trt_ssd_ros benchmark --ros                           the node over DDS; see --ros --help

Without ROS: python3 -m trt_ssd_ros.bench. Each row is timed in rounds, after a warm-up; `spread` is the range
of the rounds' medians. Images are in memory, and pass all stages of the node except ROS.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from functools import partial
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event

import cv2

from trt_ssd_ros.bench.offline import DEMO, DetectMeasurement, report, write_demo_video
from trt_ssd_ros.bench.report import SpeedReport, comparison, this_machine
from trt_ssd_ros.bench.speed import ROUNDS, Speed, measure_speed, resized
from trt_ssd_ros.engines.backend import EngineChoice, open_detector
from trt_ssd_ros.engines.build_progress import LoggedProgress
from trt_ssd_ros.engines.plan_builder import BuildOptions
from trt_ssd_ros.errors import load_library, load_pyplot
from trt_ssd_ros.images.files import read_image_file
from trt_ssd_ros.images.open_source import open_sources
from trt_ssd_ros.models.card import ModelCard
from trt_ssd_ros.models.shipped import model_card_path, sample_photos
from trt_ssd_ros.tools.command_line import (
    REMOTE,
    add_options,
    count,
    given,
    progress,
    remote_options,
    run_command,
)
from trt_ssd_ros.tools.detect.run import opened_detectors
from trt_ssd_ros.version import add_version

SIZES = ["640x480", "1280x720", "1920x1080"]


def choices(options: argparse.Namespace) -> Iterator[EngineChoice]:
    """Yield every engine of a command line."""
    for backend, precision, batch in product(options.backend, options.precision, options.batch):
        build = BuildOptions(batch=batch)
        yield EngineChoice(
            backend,
            precision,
            build,
            options.cpu_threads,
            options.resize_on,
            options.gpu,
            options.gpu_wait,
            remote_options(options, options.backend),
        )


def speeds(
    options: argparse.Namespace, card: ModelCard, stop: Event, done: Callable[[], object]
) -> Iterator[Speed]:
    """Measure each configuration of a command line once; call `done` after each round."""
    seen = set[tuple[str, str, int]]()
    photo = read_image_file(options.image) if options.image else sample_photos()[1]
    for choice in choices(options):
        with LoggedProgress(stop.is_set) as progress_log:
            detector = open_detector(card, choice, sample_photos(), progress_log)
        with closing(detector):
            batch = choice.build.batch
            configuration = (detector.engine_name, detector.precision, batch)
            if configuration in seen:  # ONNX Runtime has one precision, whatever the option says
                continue
            seen.add(configuration)
            for size in options.size:
                image = resized(photo, size)
                yield measure_speed(detector, image, batch, options.repeats, done, options.rate, choice.gpu)


def run(options: argparse.Namespace, stop: Event) -> int:
    """Compare two reports, or measure and report; return the exit code."""
    if options.compare:
        before, now = map(SpeedReport.read, options.compare)
        print(comparison(before, now))
        return 0
    load_library("psutil", "psutil", "benchmark")
    if options.plot:
        load_pyplot()
    command = shlex.join(["ros2", "run", "trt_ssd_ros", "benchmark", *sys.argv[1:]])
    card, measured = ModelCard.load(model_card_path(options.model)), list[Speed]()
    rows = len(options.backend) * len(options.precision) * len(options.batch) * len(options.size)
    try:
        with progress(rows * ROUNDS, " rounds", stop) as done:
            measured.extend(speeds(options, card, stop, done))
    finally:
        machine = this_machine(options.cpu_threads)
        write(options, SpeedReport(command, {"model": card.name, **machine}, measured))
    return 0


def measure_video(options: argparse.Namespace, stop: Event) -> int:
    """Measure `detect` on a video and print a table for each engine; return the exit code."""
    load_library("psutil", "psutil", "benchmark")
    cv2.setNumThreads(1)  # as detect does
    card = ModelCard.load(model_card_path(options.model))
    with TemporaryDirectory() as place:
        folder, video = Path(place), options.video
        if video == DEMO:
            video = str(write_demo_video(folder / "demo.mp4", options.repeats))
        for choice in choices(options):
            with (
                closing(open_sources([video], options.topic)) as images,
                opened_detectors(card, choice, options.threshold, stop) as detectors,
            ):
                batch = choice.build.batch
                repeats, threads = options.repeats, options.cpu_threads
                print(report(DetectMeasurement(detectors, images, batch, repeats, folder, stop, threads)))
    return 0


def write(options: argparse.Namespace, report: SpeedReport) -> None:
    """Print and write the measurements, if there are any."""
    if report.speeds:
        print(report.table())
    if report.speeds and options.json:
        report.write(options.json)
    if report.speeds and options.plot:
        report.plot(options.plot)


def size(text: str) -> tuple[int, int]:
    """Parse an image size in pixels, such as 1280x720, from the command line."""
    sides = text.split("x")
    if len(sides) != 2 or not all(side.isdecimal() and 0 < int(side) <= 1 << 14 for side in sides):
        raise argparse.ArgumentTypeError(f"found {text!r}, expected WIDTHxHEIGHT in pixels, e.g. 1280x720")
    return int(sides[0]), int(sides[1])


def rate(text: str) -> float:
    """Parse a rate in Hz above 0 from the command line."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number <= 1000:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected more than 0 and at most 1000 calls per second")
    return number


def new_parser() -> argparse.ArgumentParser:
    """Return the command-line parser."""
    parser = argparse.ArgumentParser(
        prog="benchmark", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_version(parser)
    add_options(parser, "model", "topic", "gpu", "gpu-wait", "cpu-threads", "resize-on", *REMOTE)
    add_options(parser, "threshold", help="lowest reported score, with --video; default: the card's")
    add_options(parser, "backend", "precision", nargs="+", default=["auto"])
    add_options(parser, "batch", nargs="+", default=[1])
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--image", type=Path, metavar="FILE", help="photo to detect in (default: a sample photo)")
    kind.add_argument("--video", metavar="VIDEO", help=f"measure `detect` on a video, a recording, or {DEMO}")
    kind.add_argument(
        "--compare", nargs=2, type=Path, metavar=("BEFORE", "NOW"), help="two files that --json wrote"
    )
    parser.add_argument(
        "--size",
        nargs="+",
        type=size,
        default=[size(text) for text in SIZES],
        metavar="WxH",
        help=f"image sizes in pixels; default: {' '.join(SIZES)}",
    )
    parser.add_argument(
        "--repeats",
        type=count,
        default=100,
        metavar="N",
        help="timed calls per row; with --video, images per round (default: 100)",
    )
    parser.add_argument(
        "--rate",
        type=rate,
        default=0.0,
        metavar="HZ",
        help="calls per second, as with a camera; default: one call after the other",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to this file")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="plot the figures into this PNG")
    parser.add_argument("--ros", action="store_true", help="measure the node over DDS instead; needs ROS 2")
    return parser


def main(args: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = new_parser()
    options = parser.parse_args(args)
    if options.ros:
        parser.error("--ros: found no ROS 2, expected: ros2 run trt_ssd_ros benchmark --ros")
    is_video = options.video is not None
    unused = ("size", "json", "plot", "rate") if is_video else ("threshold", "topic")
    if wrong := given(parser, options, unused):
        parser.error(f"{wrong[0]} {'does not go with' if is_video else 'needs'} --video")
    return run_command("benchmark", partial(measure_video if is_video else run, options))


if __name__ == "__main__":
    sys.exit(main())
