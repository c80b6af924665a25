"""Measure the cost of each layer: bare session, detector, and node over real DDS."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from math import isnan
from pathlib import Path
from statistics import median
from typing import Any

import cv2
from rclpy.utilities import remove_ros_args

from trt_ssd_ros.bench.report import this_machine
from trt_ssd_ros.bench.ros.answer_times import measure_answers
from trt_ssd_ros.bench.ros.camera_paths import (
    BLANK_PATHS,
    HIGHEST,
    blank_report,
    camera_report,
    measure_camera,
    measure_paths,
)
from trt_ssd_ros.bench.ros.cameras import CameraStreams, measure_cameras
from trt_ssd_ros.bench.ros.cameras_report import cameras_report, plot_cameras
from trt_ssd_ros.bench.ros.disturbances import disturbances_report, measure_disturbances
from trt_ssd_ros.bench.ros.node import DETECTOR, NodeReport, measure_nodes
from trt_ssd_ros.bench.ros.reference_nodes import SLOW_SECONDS
from trt_ssd_ros.bench.speed import resized, time_inference
from trt_ssd_ros.detection.timing import Timing
from trt_ssd_ros.engines.backend import EngineChoice
from trt_ssd_ros.errors import one_line
from trt_ssd_ros.files import write_atomically
from trt_ssd_ros.models.card import ModelCard
from trt_ssd_ros.models.shipped import model_card_path, sample_photos
from trt_ssd_ros.tools.command_line import REMOTE, add_options, remote_options
from trt_ssd_ros.version import add_version

PARAMETERS = ("model", "backend", "precision", "gpu", "gpu_wait", "cpu_threads")
"""Options that are parameters of the node, beside those of a server."""
OVERHEAD = {
    name: ("trt_ssd_ros.bench.ros.reference_nodes", kind)
    for name, kind in (("echo", "echo"), ("detector", "blank"))
}


def report(size: str, inference: Mapping[str, Timing], node: NodeReport, rate: float) -> str:
    """Return the results as a table, with ratios to the first row."""
    floor = next(iter(inference.values())).p50
    rows = {**inference, "image published to detections received": node.latency}
    lines = [f"{size}, {os.cpu_count()} CPU cores", f"{'':<40}{'p50 ms':>9}{'p99 ms':>9}{'p50 / first':>12}"]
    lines += [f"{name:<40}{t.p50:9.2f}{t.p99:9.2f}{t.p50 / floor:12.2f}" for name, t in rows.items()]
    lines.append(
        f"node: {node.received} of {node.sent} images at {rate:g} Hz, {node.rate:.1f} detections per second, "
        f"engine p50 {node.engine:.2f} ms, {node.cpu_ms:.1f} ms CPU per image, {node.memory_mib:.0f} MiB"
    )
    return "\n".join(lines)


def overhead_report(nodes: Mapping[str, NodeReport]) -> str:
    """Return a table of the middleware's cost and the detector node's overhead; the echo node comes first."""
    lines = [f"{'without inference':<22}{'image to callback':>18}{'to detections':>15}{'CPU per image':>14}"]
    for name, node in nodes.items():
        rest = node.latency.p50 - node.arrival
        lines.append(f"{f'{name} node':<22}{node.arrival:15.2f} ms{rest:12.2f} ms{node.cpu_ms:11.2f} ms")
    echo, detector = nodes.values()
    ratios = sorted(mine / its for mine, its in zip(detector.cpu_rounds, echo.cpu_rounds, strict=True))
    lines[-1] += f"   {median(ratios):.2f} of the echo node's ({ratios[0]:.2f} to {ratios[-1]:.2f})"
    return "\n".join(lines)


def answers_report(answers: Mapping[str, Timing]) -> str:
    """Return a table of the node's response times during inference."""
    lines = [f"{f'response during a {SLOW_SECONDS:g} s inference':<40}{'p50 ms':>9}{'p99 ms':>9}"]
    return "\n".join([*lines, *(f"{name:<40}{t.p50:9.2f}{t.p99:9.2f}" for name, t in answers.items())])


def write_figures(
    path: Path, inference: Mapping[str, Timing], nodes: Mapping[str, NodeReport], answers: Mapping[str, Timing]
) -> None:
    """Write the figures as JSON; missing figures are null.

    Raises:
        OSError: The file cannot be written.
    """
    figures: dict[str, Any] = {name: asdict(timing) for name, timing in inference.items()}
    figures |= {name: asdict(node) for name, node in nodes.items()}
    figures["answers"] = {name: asdict(timing) for name, timing in answers.items()}
    write_json(path, figures)


def with_origin(figures: Any) -> dict[str, Any]:
    """Return figures with the command and the machine that they come from."""
    command = " ".join(("ros2 run trt_ssd_ros benchmark", *sys.argv[1:]))
    return {"command": command, "machine": this_machine(), "figures": figures}


def write_json(path: Path, figures: Any) -> None:
    """Write figures to a file, with null in place of NaN.

    Raises:
        OSError: The file cannot be written.
    """
    text = json.dumps(without_nan(figures), indent=2, allow_nan=False)
    write_atomically(path, f"{text}\n".encode())


def compare_camera_paths(parameters: Mapping[str, str], options: argparse.Namespace) -> None:
    """Measure and print the ways from the camera to the detections, and write the figures if asked to."""
    blank = measure_paths(BLANK_PATHS, {}, options.rate, options.seconds)
    print(blank_report(blank), flush=True)
    results = measure_camera(parameters, options.rates, options.seconds)
    print(camera_report(results))
    if options.json:
        figures = {"without inference": {name: asdict(path) for name, path in blank.items()}}
        figures |= {name: {label: asdict(path) for label, path in its.items()} for name, its in results.items()}
        write_json(options.json, with_origin(figures))


def compare_cameras(parameters: Mapping[str, str], options: argparse.Namespace) -> None:
    """Measure and print one node with several cameras, and one node for each; write and draw if asked to."""
    size = options.width, options.height
    streams = CameraStreams(options.rate, options.seconds, size, options.compressed)
    if options.disturb:
        for cameras in options.cameras:
            found = measure_disturbances(cameras, parameters, streams)
            print(disturbances_report(found, cameras))
            if options.json:
                write_json(options.json, with_origin({kind: asdict(its) for kind, its in found.items()}))
        return
    reports = []
    for report in measure_cameras(options.cameras, parameters, streams, not options.one_node):
        reports.append(report)
        if options.json:  # after each measurement: a long run may be cut off
            write_json(options.json, with_origin([asdict(its) for its in reports]))
    print(cameras_report(reports, streams))
    if options.plot:
        plot_cameras(reports, streams, ", ".join(this_machine().values()), options.plot)


def _rate(text: str) -> float | str:
    return text if text == HIGHEST else float(text)


def without_nan(figures: Any) -> Any:
    """Return figures with null in place of NaN, which JSON does not have."""
    if isinstance(figures, dict):
        return {key: without_nan(value) for key, value in figures.items()}
    if isinstance(figures, list):
        return [without_nan(value) for value in figures]
    return None if isinstance(figures, float) and isnan(figures) else figures


def measure_layers(parameters: Mapping[str, str], options: argparse.Namespace) -> None:
    """Measure and print the cost of each layer, and write the figures if asked to."""
    card = ModelCard.load(model_card_path(options.model))
    image = resized(sample_photos()[1], (options.width, options.height))
    choice = EngineChoice(
        options.backend,
        options.precision,
        cpu_threads=options.cpu_threads,
        gpu=options.gpu,
        gpu_wait=options.gpu_wait,
        remote=remote_options(options, [options.backend]),
    )
    inference = time_inference(card, choice, image, options.repeats)
    [node] = measure_nodes({"node": DETECTOR}, parameters, image, options.rate, options.seconds).values()
    overhead = measure_nodes(OVERHEAD, {}, image, options.rate, options.seconds)
    answers = measure_answers(image, options.seconds)
    print(report(f"{options.width}x{options.height}", inference, node, options.rate))
    print(overhead_report(overhead))
    print(answers_report(answers))
    if options.json:
        nodes = {"node": node, **{f"{name} node without inference": its for name, its in overhead.items()}}
        write_figures(options.json, inference, nodes, answers)


def new_parser() -> argparse.ArgumentParser:
    """Return the command-line parser."""
    parser = argparse.ArgumentParser(prog="benchmark", description=__doc__)
    add_version(parser)
    parser.add_argument("--ros", action="store_true", help="measure the node over DDS")
    add_options(parser, "model", "precision", "gpu", "gpu-wait", "cpu-threads", *REMOTE)
    add_options(parser, "backend", default="onnxruntime", help="inference backend; default: onnxruntime")
    parser.add_argument("--width", type=int, default=1280, help="image width in pixels (default: 1280)")
    parser.add_argument("--height", type=int, default=720, help="image height in pixels (default: 720)")
    parser.add_argument(
        "--camera",
        action="store_true",
        help="only compare the ways from our camera node to detections: two processes, one, and as in 2020",
    )
    parser.add_argument(
        "--cameras",
        type=int,
        nargs="+",
        metavar="N",
        help="only measure one node with N cameras, and N nodes with one camera each",
    )
    parser.add_argument("--one-node", action="store_true", help="with --cameras: do not measure N nodes")
    parser.add_argument(
        "--disturb",
        action="store_true",
        help="with --cameras: only measure the others while one camera is killed, or sends large images, "
        "unreadable ones, or many at once",
    )
    parser.add_argument("--compressed", action="store_true", help="with --cameras: JPEG in place of raw images")
    parser.add_argument("--plot", type=Path, metavar="PNG", help="with --cameras: also draw the figures")
    parser.add_argument(
        "--rates",
        type=_rate,
        nargs="*",
        default=(HIGHEST, 10.0, 30.0, 60.0),
        help=f"with --camera: images per second, or {HIGHEST}: the most of which 95%% are answered",
    )
    parser.add_argument("--rate", type=float, default=30.0, help="images per second for the node (default: 30)")
    parser.add_argument(
        "--seconds", type=float, default=10.0, help="duration of each image stream in seconds (default: 10)"
    )
    parser.add_argument("--repeats", type=int, default=200, help="images per row without ROS (default: 200)")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    return parser


def node_parameters(options: argparse.Namespace) -> dict[str, str]:
    """Return the parameters of the node for a command line; without a fallback, only the server is measured.

    Raises:
        ValueError: The options of the server do not fit the backend.
    """
    remote_options(options, [options.backend])
    parameters = {name: str(getattr(options, name)) for name in PARAMETERS}
    if options.backend == "remote":
        given = {name: getattr(options, name) for name in (option.replace("-", "_") for option in REMOTE)}
        parameters |= {"remote_fallback": "none", **{name: text for name, text in given.items() if text}}
    return parameters


def main(args: Sequence[str] | None = None) -> int:
    """Run the benchmark from the command line."""
    options = new_parser().parse_args(remove_ros_args(args)[1:])
    measure = measure_layers
    if options.camera:
        measure = compare_camera_paths
    elif options.cameras:
        measure = compare_cameras
    try:
        measure(node_parameters(options), options)
    except (OSError, RuntimeError, ValueError, cv2.error) as error:
        print(f"benchmark: {one_line(error)}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
