"""Detect objects in images, a video, a camera or a recording, without ROS; write annotated copies and results.

Examples, with `ros2 run trt_ssd_ros detect` or `python -m trt_ssd_ros.tools.detect`:
  detect photo.jpg                                 an annotated photo and the results, in detect_output/
  detect photos/ more/*.png --format csv           images of a folder and others; results also as CSV
  detect drive.mp4 --threshold 0.5 --batch 4       an annotated MP4 that a browser plays
  detect street_4k.mp4 --tiles 4x2                 small objects: each tile in the network's full resolution
  detect drive.mp4 --track --format csv mot        each object has one id in consecutive images
  detect drive.mp4 --resume                        resume an interrupted or killed run
  detect bag_folder --topic /camera/image_raw      a rosbag2 folder or an MCAP file, without ROS
  detect monday.mcap tuesday.mcap --batch 2        several recordings at once, whose images share the batches
  detect photos/ --backend remote --remote-url http://gpu-server:8000    on an inference server (docs/fleet.md)
  detect bags/*.mcap --no-draw --ray auto          the workers of a Ray cluster share the inputs
  detect webcam:0 --no-draw --json | jq .image     a camera until Ctrl-C, results as JSON lines on stdout
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Collection, Sequence
from contextlib import closing
from functools import partial
from itertools import islice
from pathlib import Path
from threading import Event
from typing import NoReturn

import cv2
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from trt_ssd_ros.detection.detector import Detector
from trt_ssd_ros.errors import INTERRUPTED
from trt_ssd_ros.files import expect_new, numbered_folders, output_folder
from trt_ssd_ros.images.source import AbsentSourceError, ImageSource
from trt_ssd_ros.images.stream import exit_code
from trt_ssd_ros.tools.cluster.connection import add_ray_options, expect_ray
from trt_ssd_ros.tools.command_line import REMOTE, add_options, count, run_command
from trt_ssd_ros.tools.detect.annotated import open_output
from trt_ssd_ros.tools.detect.folder import LOG_NAME, UNITS, expect_distinct, locked
from trt_ssd_ros.tools.detect.formats import FORMATS, kitti_name
from trt_ssd_ros.tools.detect.on_cluster import detect_on_cluster
from trt_ssd_ros.tools.detect.run import DetectionRun, RunTimes, summary
from trt_ssd_ros.tools.detect.settings import RunSettings, begin_results, new_tracks, prepared_detectors
from trt_ssd_ros.tools.detect.several import open_inputs
from trt_ssd_ros.tools.detect.track_options import add_track_options, expect_track
from trt_ssd_ros.tools.detect.units import delete_units
from trt_ssd_ros.tools.results import ResultError, read_results
from trt_ssd_ros.tools.view_options import add_view_options, views_of
from trt_ssd_ros.version import add_version

OUTPUT = "detect_output"


def expect_trackable(options: argparse.Namespace, images: ImageSource) -> None:
    """Require images in the order of their times if they are to be tracked.

    Raises:
        ResultError: The input are image files, or the format needs ids.
    """
    if options.track and not images.is_video:
        raise ResultError("--track: found image files, expected a video, a recording or a camera")
    if "mot" in options.format and not options.track:
        raise ResultError("--format mot: found no --track, expected it: the format lists objects by their ids")


def expect_for_cluster(options: argparse.Namespace, images: ImageSource) -> None:
    """Require inputs and options that fit a cluster.

    Raises:
        ResultError: The input is a camera, or a GPU is chosen.
    """
    if images.live:
        raise ResultError("--ray: found a camera, expected files, videos or recordings")
    if options.gpu:
        raise ResultError(
            f"--gpu: found {options.gpu} beside --ray, expected none: Ray chooses the GPU of a worker"
        )


def opened_inputs(options: argparse.Namespace, outputs: Collection[Path], stop: Event) -> ImageSource:
    """Open the inputs, except for the outputs of earlier runs among them; see `open_inputs`.

    Raises:
        KeyboardInterrupt: A signal has ended the opening.
    """
    try:
        return open_inputs(options.inputs, options.topic, outputs, stop)
    except AbsentSourceError:
        if stop.is_set():
            raise KeyboardInterrupt from None
        raise


def detect(options: argparse.Namespace, stop: Event) -> int:
    """Open input, detectors and output, run, print the summary, and return the exit code."""
    again, folders = options.resume or options.overwrite, numbered_folders(OUTPUT, LOG_NAME)
    options.output = output_folder(options.output, folders, again)
    log = options.output / LOG_NAME
    with closing(opened_inputs(options, {options.output, *folders}, stop)) as images:
        expect_trackable(options, images)
        expect_new(log, again, "give --resume to continue this run, or --overwrite to start again")
        if options.resume and images.live:
            raise ResultError("--resume: found a camera, expected files, a video or a recording: give --overwrite")
        if options.ray is not None:
            expect_for_cluster(options, images)
        if "kitti" in options.format:
            expect_distinct(images.names, kitti_name)
        with locked(options.output):
            times = detect_somewhere(options, images, {options.output, *folders}, stop)
            written = [log, *(FORMATS[name](log, options.output) for name in options.format)]
            written += filter(Path.exists, (options.output / name for name in ("annotated", "annotated.mp4")))
    is_complete = not stop.is_set() and options.max_images is None
    nothing_read, text = summary(log, times, images.count if is_complete else None)
    print(f"{text}\nwritten: {', '.join(map(str, written))}", file=sys.stderr if options.json else sys.stdout)
    if stop.is_set() and not images.live:
        print("detect: interrupted; --resume continues the run", file=sys.stderr)
        return INTERRUPTED
    return int(nothing_read)


def detect_somewhere(
    options: argparse.Namespace, images: ImageSource, exclude: Collection[Path], stop: Event
) -> RunTimes:
    """Detect on a cluster if the user names one, else on this machine; write all but the exports."""
    if options.ray is not None:
        detect_on_cluster(options, images, exclude, stop)
        return RunTimes()
    with prepared_detectors(options, images.is_video, stop) as (detectors, settings):
        times = run(options, detectors, settings, images, stop)
    if not stop.is_set() and options.max_images is None:
        delete_units(options.output / UNITS)  # a resumed run may have begun on a cluster
    return times


def run(
    options: argparse.Namespace,
    detectors: Sequence[Detector],
    settings: RunSettings,
    images: ImageSource,
    stop: Event,
) -> RunTimes:
    """Process the images; read the completed ones of a resumed run again only if they must still be drawn."""
    log = options.output / LOG_NAME
    total = images.count if options.max_images is None else min(options.max_images, images.count or sys.maxsize)
    with closing(open_output(options.draw, options.output, images)) as output:
        if settings.least is not None:
            images.allow_reduced(*settings.least)
        tracks = new_tracks(settings, images.live)
        done = begin_results(options, settings, images)
        drawn = all(output.contains(result.name) for result in read_results(log) if not result.unreadable)
        first = done if drawn else 0
        most = None if options.max_images is None else max(0, options.max_images - first)
        if tracks is not None:
            tracks.replay(islice(read_results(log), done))
        bar = tqdm(total=total, initial=done, unit=" images", disable=None)
        with log.open("a", encoding="utf-8") as file, logging_redirect_tqdm(), bar:
            on_line, views = partial(report_image, bar, options.json), views_of(options)
            task = DetectionRun(detectors, options.batch, file, output, on_line, views, tracks)
            known = islice(read_results(log), done - first)
            task.run(islice(images.images(first), most), stop, known, images.live)
        output.finish()
    return task.times


def report_image(bar: tqdm[NoReturn], as_json: bool, line: str) -> None:
    """Advance the progress bar by one image; print its line of JSON if `as_json` is set."""
    if as_json:
        print(line, flush=True)
    bar.update()


def new_parser() -> argparse.ArgumentParser:
    """Return the command-line parser."""
    parser = argparse.ArgumentParser(
        prog="detect", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_version(parser)
    parser.add_argument(
        "inputs", nargs="+", metavar="INPUT", help="image, folder, video, camera or recording; see the examples"
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="DIR",
        help=f"output folder; default: {OUTPUT}, or {OUTPUT}_2, ... if it holds results",
    )
    add_options(parser, "model", "backend", "precision", "gpu", "gpu-wait", "cpu-threads", "resize-on", *REMOTE)
    add_options(parser, "threshold", "batch")
    add_view_options(parser)
    add_options(
        parser,
        "topic",
        action="append",
        default=[],
        help="image topic of the recordings; give it again for several topics; default: their only one",
    )
    parser.add_argument("--max-images", type=count, metavar="N", help="stop after the first N images")
    parser.add_argument(
        "--format", nargs="+", choices=FORMATS, default=["coco"], help="files besides results.jsonl; default: coco"
    )
    parser.add_argument(
        "--draw",
        choices=("auto", "jpg", "png", "mp4", "none"),
        default="auto",
        help="format of annotated images; default: auto, files for images, else a video",
    )
    parser.add_argument("--no-draw", dest="draw", action="store_const", const="none", help="same as --draw none")
    parser.add_argument("--json", action="store_true", help="print each result as a line of JSON on stdout")
    add_track_options(parser)
    add_ray_options(parser, images=256)
    again = parser.add_mutually_exclusive_group()
    again.add_argument("--resume", action="store_true", help="resume the run in DIR; default: the newest")
    again.add_argument("--overwrite", action="store_true", help="replace the results in DIR; default: the newest")
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    return parser


def main(args: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = new_parser()
    options = parser.parse_args(args)
    if options.measure:
        parser.error("--measure is now a command: benchmark --video VIDEO, or benchmark --video demo")
    expect_ray(parser, options)
    expect_track(parser, options)
    cv2.setNumThreads(1)  # OpenCV's threads spin while they wait, and take the cores from the network
    return exit_code(run_command("detect", partial(detect, options)))


if __name__ == "__main__":
    sys.exit(main())
