"""Detect objects in images, a video, a camera or a recording, without ROS; write annotated copies and results.

Examples, with `ros2 run trt_ssd_ros detect` or `python -m trt_ssd_ros.tools.detect`:
  detect photo.jpg                                 an annotated photo and the results, in detect_output/
  detect photos/ more/*.png --format csv           all images of a folder, and more; a CSV file as well
  detect drive.mp4 --threshold 0.5 --batch 4       an annotated MP4 that a browser plays
  detect drive.mp4 --resume                        go on where an earlier run ended or was killed
  detect bag_folder --topic /camera/image_raw      a rosbag2 folder or an MCAP file, without ROS
  detect webcam:0 --no-draw --json | jq .image     a camera until Ctrl-C, results as JSON lines on stdout
  detect drive.mp4 --measure                       how fast it is, beside reading, the network and encoding alone
  detect demo --measure                            the same on a video of our photos
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event
from typing import NoReturn

import cv2
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from trt_ssd_ros.bench.offline import IMAGES, DetectMeasurement, report, write_tour
from trt_ssd_ros.detection.detector import Detector
from trt_ssd_ros.engines.backend import BACKENDS, EngineChoice, open_detectors
from trt_ssd_ros.engines.build_progress import LoggedProgress
from trt_ssd_ros.engines.card_plans import PRECISIONS
from trt_ssd_ros.engines.plan_builder import BuildOptions
from trt_ssd_ros.errors import INTERRUPTED
from trt_ssd_ros.images.open_source import open_sources
from trt_ssd_ros.images.source import ImageSource
from trt_ssd_ros.models.card import ModelCard
from trt_ssd_ros.models.network import batch_size, load_network
from trt_ssd_ros.models.shipped import DEFAULT_MODEL, model_card_path, sample_photos
from trt_ssd_ros.tools.command_line import count, fraction, run_command
from trt_ssd_ros.tools.detect.annotated import (
    AnnotatedFiles,
    AnnotatedOutput,
    AnnotatedVideo,
    NotAnnotated,
)
from trt_ssd_ros.tools.detect.folder import LOG_NAME, begin, claimed, expect_distinct, go_on
from trt_ssd_ros.tools.detect.formats import FORMATS, kitti_name
from trt_ssd_ros.tools.detect.run import DetectionRun, RunTimes, summary
from trt_ssd_ros.tools.results import ResultError, ResultHeader, read_results

DEMO = "demo"
"""Stands for the demo's tour through our photos, where there is something to be measured."""


@contextmanager
def opened_detectors(options: argparse.Namespace, card: ModelCard, stop: Event) -> Iterator[list[Detector]]:
    """Give the detectors that a command line asks for; `stop` cancels the build of a plan."""
    if options.batch > 1 and batch_size(load_network(card), card) == 1:
        raise ValueError(f"--batch: found {options.batch}, expected 1: {card.name} takes one image at a time")
    choice = EngineChoice(options.backend, options.precision, BuildOptions(batch=options.batch))
    with LoggedProgress(stop.is_set) as progress:
        detectors = open_detectors(card, choice, sample_photos(), progress)
    try:
        for detector in detectors if options.threshold is not None else ():
            classes = (options.threshold,) * len(card.labels)
            detector.thresholds = replace(detector.thresholds, classes=classes)
        yield detectors
    finally:
        for detector in detectors:
            detector.close()


def header(options: argparse.Namespace, detector: Detector) -> ResultHeader:
    """Return what makes the results of this run what they are."""
    thresholds = detector.thresholds
    return ResultHeader(
        {
            "model": detector.card.name,
            "sha256": detector.card.onnx.sha256,
            "engine": detector.engine_name,
            "precision": detector.precision,
            "batch": options.batch,
            "score_threshold": thresholds.lowest,
            "iou_threshold": thresholds.iou,
            "max_detections": thresholds.max_detections,
            "inputs": options.inputs,
            "topic": options.topic,
        },
        detector.card.labels,
    )


def open_output(options: argparse.Namespace, images: ImageSource) -> AnnotatedOutput:
    """Open where annotated images go."""
    if options.draw == "none":
        return NotAnnotated()
    if options.draw == "mp4" or (options.draw == "auto" and images.is_video):
        return AnnotatedVideo(options.output / "annotated.mp4")
    annotated = AnnotatedFiles(options.output / "annotated", "" if options.draw == "auto" else f".{options.draw}")
    expect_distinct(images.names, annotated.file_name)
    return annotated


def detect(options: argparse.Namespace, stop: Event) -> int:
    """Do all of it, and return the exit code."""
    log = options.output / LOG_NAME
    if log.exists() and not (options.resume or options.overwrite):
        raise ResultError(f"{log} exists: --resume goes on with it, --overwrite begins anew")
    card = ModelCard.load(model_card_path(options.model))
    with closing(opened_input(options)) as images:
        if options.resume and images.live:
            raise ResultError("--resume: a camera's images do not come again")
        with opened_detectors(options, card, stop) as detectors, claimed(options.output):
            times = run(options, detectors, images, stop)
            written = [log, *(FORMATS[name](log, options.output) for name in options.format)]
            written += filter(Path.exists, (options.output / name for name in ("annotated", "annotated.mp4")))
    all_of_it = not stop.is_set() and options.max_images is None
    nothing_read, text = summary(log, times, images.count if all_of_it else None)
    print(f"{text}\nwritten: {', '.join(map(str, written))}", file=sys.stderr if options.json else sys.stdout)
    if stop.is_set() and not images.live:
        print("detect: interrupted; --resume goes on", file=sys.stderr)
        return INTERRUPTED
    return int(nothing_read)


def opened_input(options: argparse.Namespace) -> ImageSource:
    """Open what a command line names."""
    return open_sources(options.inputs, options.topic, options.output)


def run(options: argparse.Namespace, detectors: Sequence[Detector], images: ImageSource, stop: Event) -> RunTimes:
    """Go through the images; those that are done already only if they have yet to be drawn."""
    log, stated = options.output / LOG_NAME, header(options, detectors[0])
    if "kitti" in options.format:
        expect_distinct(images.names, kitti_name)
    total = images.count if options.max_images is None else min(options.max_images, images.count or sys.maxsize)
    with closing(open_output(options, images)) as output:
        done = go_on(log, stated, images.names, options.batch) if options.resume else 0
        if not options.resume:
            begin(log, stated)
        drawn = all(output.holds(result.name) for result in read_results(log) if not result.unreadable)
        first = done if drawn else 0
        most = None if options.max_images is None else max(0, options.max_images - first)
        bar = tqdm(total=total, initial=done, unit=" images", disable=None)
        with log.open("a", encoding="utf-8") as file, logging_redirect_tqdm(), bar:
            task = DetectionRun(detectors, options.batch, file, output, partial(tell, bar, options.json))
            known = islice(read_results(log), done - first)
            task.run(islice(images.images(first), most), stop, known, images.live)
        output.finish()
    return task.times


def measure(options: argparse.Namespace, stop: Event) -> int:
    """Measure, and return the exit code."""
    card, count = ModelCard.load(model_card_path(options.model)), options.max_images or IMAGES
    with TemporaryDirectory() as place:
        folder = Path(place)
        if options.inputs == [DEMO]:
            options.inputs = [str(write_tour(folder / "demo.mp4", count))]
        with closing(opened_input(options)) as images, opened_detectors(options, card, stop) as detectors:
            measurement = DetectMeasurement(detectors, images, options.batch, count, folder, stop)
            print(report(measurement, detectors[0].engine_name))
    return 0


def tell(bar: tqdm[NoReturn], as_json: bool, line: str) -> None:
    """Show that an image is done."""
    if as_json:
        print(line, flush=True)
    bar.update()


def new_parser() -> argparse.ArgumentParser:
    """Return the command line."""
    parser = argparse.ArgumentParser(
        prog="detect", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("inputs", nargs="+", metavar="INPUT", help="see the examples")
    parser.add_argument(
        "--output", type=Path, default=Path("detect_output"), metavar="DIR", help="default: %(default)s"
    )
    parser.add_argument("--model", default=DEFAULT_MODEL, help="a shipped model card or the path of one")
    parser.add_argument("--backend", choices=BACKENDS, default="auto", help="default: auto")
    parser.add_argument("--precision", choices=PRECISIONS, default="auto", help="for TensorRT; default: auto")
    parser.add_argument("--threshold", type=fraction, metavar="SCORE", help="lowest reported; default: the card's")
    parser.add_argument("--batch", type=count, default=1, metavar="N", help="images in a call; default: 1")
    parser.add_argument("--topic", default="", help="of a recording; default: the only one with images")
    parser.add_argument("--max-images", type=count, metavar="N", help="end after the first N images")
    parser.add_argument(
        "--format", nargs="+", choices=FORMATS, default=["coco"], help="besides results.jsonl; default: coco"
    )
    parser.add_argument(
        "--draw",
        choices=("auto", "jpg", "png", "mp4", "none"),
        default="auto",
        help="annotated images: as files or as a video; default: as the input is",
    )
    parser.add_argument("--no-draw", dest="draw", action="store_const", const="none", help="--draw none")
    parser.add_argument("--json", action="store_true", help="print the results as JSON lines while they come")
    again = parser.add_mutually_exclusive_group()
    again.add_argument("--resume", action="store_true", help="go on with the results in DIR")
    again.add_argument("--overwrite", action="store_true", help="begin anew although there are results in DIR")
    again.add_argument(
        "--measure",
        action="store_true",
        help="only measure, on the first images of a video: 100, or --max-images, in 5 rounds",
    )
    return parser


def main(args: Sequence[str] | None = None) -> int:
    """Run the command."""
    options = new_parser().parse_args(args)
    cv2.setNumThreads(1)  # its threads spin while they wait, which takes the cores from the network
    return run_command("detect", partial(measure if options.measure else detect, options))


if __name__ == "__main__":
    sys.exit(main())
