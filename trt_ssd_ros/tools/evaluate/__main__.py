"""Evaluate detectors on annotated images: mean average precision, confusion matrix, differences between runs.

Examples, with `ros2 run trt_ssd_ros evaluate` or `python -m trt_ssd_ros.tools.evaluate`:
  evaluate --images val2017 --annotations instances_val2017.json --known-only
  evaluate --images JPEGImages --annotations Annotations --map cow=Cattle
  evaluate --images images --annotations labels onnxruntime tensorrt:fp32 tensorrt:fp16
  evaluate --images images --annotations labels old=old/results.jsonl new=onnxruntime@new_card.yaml

A RUN is [NAME=]BACKEND[:PRECISION][@MODEL], or [NAME=]FILE: a results.jsonl or coco.json that detect wrote,
best with --threshold 0.01. Annotations are a COCO JSON file, or a folder of Pascal VOC, YOLO or KITTI files.
Labels are compared without regard to case. The first run is the baseline of the others.
Writes report.html, which needs no other file, and report.json. Ctrl-C ends the evaluation with the images so far.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from operator import methodcaller
from pathlib import Path
from threading import Event

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from trt_ssd_ros.engines.backend import EngineChoice
from trt_ssd_ros.errors import INTERRUPTED, counted, load_pyplot
from trt_ssd_ros.files import expect_new, numbered_folders, output_folder
from trt_ssd_ros.tools.cluster.connection import add_ray_options, connected, expect_ray
from trt_ssd_ros.tools.command_line import (
    REMOTE,
    add_options,
    count,
    expect_writable,
    fraction,
    remote_options,
    run_command,
)
from trt_ssd_ros.tools.evaluate.annotation_options import add_annotation_options, read_annotated
from trt_ssd_ros.tools.evaluate.average_precision import load_pycocotools
from trt_ssd_ros.tools.evaluate.evaluation import Evaluation
from trt_ssd_ros.tools.evaluate.on_cluster import ClusterRun, observe_on_cluster
from trt_ssd_ros.tools.evaluate.page import load_template, write_page
from trt_ssd_ros.tools.evaluate.report import EvaluationReport
from trt_ssd_ros.tools.evaluate.runs import LOWEST_SCORE, backends_of, expect_results, open_runs
from trt_ssd_ros.tools.view_options import add_view_options, views_of
from trt_ssd_ros.version import add_version

OUTPUT, PAGE = "evaluate_output", "report.html"


def evaluate(options: argparse.Namespace, stop: Event) -> int:
    """Read the annotations, evaluate the runs, write the report, and return the exit code."""
    load_pycocotools()
    load_pyplot()
    load_template()
    annotated = read_annotated(options, options.images).first(options.max_images)
    expect_results(options.runs)
    folders = numbered_folders(OUTPUT, PAGE)
    options.output = output_folder(options.output, folders, options.overwrite)
    expect_writable(options.output)
    expect_new(options.output / PAGE, options.overwrite, "give --overwrite to replace it, or another --output")
    if options.ray is not None and options.gpu:
        raise ValueError(f"--gpu: found {options.gpu} beside --ray, which chooses the GPU of each worker")
    settings = EngineChoice(
        cpu_threads=options.cpu_threads,
        gpu=options.gpu,
        gpu_wait=options.gpu_wait,
        remote=remote_options(options, backends_of(options.runs)),
    )
    views = views_of(options)
    with ExitStack() as opened:
        open_live = ClusterRun if options.ray is not None else methodcaller("open", stop)
        runs = []
        for run in open_runs(options.runs, options.model, options.threshold, settings, views, open_live):
            opened.callback(run.close)
            runs.append(run)
        evaluation = Evaluation(annotated, runs)
        evaluation.check(options.known_only)
        images = evaluation.annotated.images
        bar = tqdm(total=len(images), unit=" images", disable=None)
        with logging_redirect_tqdm(), bar:
            if options.ray is not None:
                with connected(options.ray) as ray:
                    length, timeout = options.ray_slice, options.ray_timeout
                    evaluation.collect(observe_on_cluster(ray, images, runs, length, timeout, stop), bar.update)
            else:
                evaluation.run(stop, bar.update)
        if stop.is_set() and not evaluation.images:
            print("evaluate: interrupted before the first image", file=sys.stderr)
            return INTERRUPTED
        interrupted = len(evaluation.images) + len(evaluation.unreadable) < len(annotated.images)
        report = EvaluationReport(evaluation, options.show_threshold, interrupted)
        return write(report, options.output)


def write(report: EvaluationReport, folder: Path) -> int:
    """Write and print the report, and return the exit code."""
    if not report.evaluation.images:
        count, first = len(report.evaluation.unreadable), report.evaluation.unreadable[0]
        raise ValueError(f"no image was evaluated: {count} could not be read, e.g. {first}")
    report.write_json(folder / "report.json")
    write_page(report, folder / PAGE)
    for text in report.warnings():
        print(f"evaluate: {text}", file=sys.stderr)
    print(f"{counted(len(report.evaluation.images), 'image')}\n{report.table()}\nwritten: {folder / PAGE}")
    return INTERRUPTED if report.interrupted else 0


def new_parser() -> argparse.ArgumentParser:
    """Return the command-line parser."""
    parser = argparse.ArgumentParser(
        prog="evaluate", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_version(parser)
    parser.add_argument(
        "runs", nargs="*", default=["auto"], metavar="RUN", help="detector or results file; default: auto"
    )
    parser.add_argument("--images", type=Path, required=True, metavar="DIR", help="folder of the images")
    add_annotation_options(parser, required=True)
    parser.add_argument(
        "--output",
        type=Path,
        metavar="DIR",
        help=f"output folder; default: {OUTPUT}, or {OUTPUT}_2, ... if it holds a report",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace the report in DIR; default: the newest")
    add_options(parser, "model", "gpu", "gpu-wait", "cpu-threads", *REMOTE)
    add_options(parser, "threshold", default=LOWEST_SCORE, help="lowest evaluated score; default: 0.01")
    add_view_options(parser)
    parser.add_argument(
        "--show-threshold",
        type=fraction,
        default=0.3,
        metavar="SCORE",
        help="lowest score in confusion matrix and pictures; default: 0.3",
    )
    parser.add_argument("--max-images", type=count, metavar="N", help="evaluate the first N images only")
    add_ray_options(parser, images=64)
    return parser


def main(args: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = new_parser()
    options = parser.parse_args(args)
    expect_ray(parser, options)
    return run_command("evaluate", partial(evaluate, options))


if __name__ == "__main__":
    sys.exit(main())
