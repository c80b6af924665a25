"""Quantize a detector to int8: calibrate it with your images, and write the network and a model card.

Examples, with `ros2 run trt_ssd_ros quantize_model` or `python -m trt_ssd_ros.tools.quantize_model`:
  quantize_model photos/
  quantize_model drive.mp4 --model my_models/model.yaml --output my_models
  quantize_model photos/ --annotations instances.json
  quantize_model photos/ --images val2017 --annotations instances_val2017.json
  quantize_model photos/ --backend tensorrt
  ros2 launch trt_ssd_ros detect.launch.py model:=$PWD/ssdlite_mobilenet_v2_coco_int8.yaml backend:=onnxruntime

Use a few hundred images from the robot's camera; annotations are not needed. The output states how many
detections of the float detector the int8 detector reproduces. With --annotations it also states the mAP of both
detectors in the images of --images, by default the images of INPUT. The loss in images of the calibration may be
smaller than in new images: evaluate other images.
"""

from __future__ import annotations

import argparse
import hashlib
import logging
import sys
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any

from trt_ssd_ros.detection.agreement import DetectionMatches
from trt_ssd_ros.detection.detector import Detector
from trt_ssd_ros.detection.timing import time_interleaved
from trt_ssd_ros.engines.onnxruntime_engine import open_onnxruntime
from trt_ssd_ros.files import write_atomically
from trt_ssd_ros.images.open_source import open_sources
from trt_ssd_ros.images.source import SourceImage
from trt_ssd_ros.models.card import ModelCard
from trt_ssd_ros.models.card_file import card_text
from trt_ssd_ros.models.network import load_network
from trt_ssd_ros.models.shipped import model_card_path
from trt_ssd_ros.tools.command_line import add_options, count, expect_free, expect_writable, run_command
from trt_ssd_ros.tools.evaluate.annotation_options import add_annotation_options
from trt_ssd_ros.tools.quantize_model.accuracy import AccuracyComparison
from trt_ssd_ros.tools.quantize_model.calibration import CalibrationImages, CalibrationReader
from trt_ssd_ros.tools.quantize_model.int8_network import expect_float32, in_int8
from trt_ssd_ros.version import add_version
from trt_ssd_ros.yaml_reader import read_yaml

LOGGER = logging.getLogger(__name__)
TIMED_RUNS = 50
FEW = 100
"""Number of calibration images below which a warning is logged."""


def quantize_model(options: argparse.Namespace, stop: Event) -> int:
    """Calibrate, quantize, write network and card, compare, and return the exit code."""
    card_path = model_card_path(options.model)
    card = ModelCard.load(card_path)
    name = options.name or f"{card.name}_int8"
    files = [options.output / f"{name}.{suffix}" for suffix in ("onnx", "yaml")]
    expect_targets(name, files, (card.onnx.path, card_path))
    open_images = partial(open_sources, options.inputs, options.topic)
    open_images().close()  # names a missing input before existing output
    accuracy = open_accuracy(options, card, stop)
    expect_free(files, options.force)
    network = load_network(card)
    expect_float32(network, card)
    images = CalibrationImages(open_images, options.max_images, stop)
    reader = CalibrationReader(network, card, images.iterate("calibrating"))
    quantized = in_int8(network, reader, options.backend)
    if reader.count < FEW:
        LOGGER.warning("found %d calibration images, expected %d or more: add images", reader.count, FEW)
    before, after = (open_onnxruntime(card, model) for model in (network, quantized))
    origin = f"quantized to int8 for {options.backend}, calibrated with images: {reader.count}"
    document = read_yaml(card_path) | {"name": name, "source": f"{card.source}; {origin}"}
    if stop.is_set():
        raise KeyboardInterrupt
    write(document, quantized.SerializeToString(), *files)
    print(f"{name}: {origin}")
    print(f"  wrote       {files[0]} and {files[1]}")
    print(f"  size        {network.ByteSize() / 1e6:.1f} -> {quantized.ByteSize() / 1e6:.1f} MB")
    print("              ONNX file of the float and of the int8 detector")
    for line in comparison(before, after, images.iterate("comparing"), options.backend):
        print(f"  {line}")
    for line in accuracy.lines(ModelCard.load(files[1]), reader.digests) if accuracy else ():
        print(f"  {line}")
    print(f"  run it      --model {files[1]} --backend {options.backend}; in a launch file model:= and backend:=")
    return 0


def open_accuracy(options: argparse.Namespace, card: ModelCard, stop: Event) -> AccuracyComparison | None:
    """Return the comparison of mAP; None without annotations.

    Raises:
        ValueError: There are images to evaluate, but no annotations.
    """
    if options.annotations:
        return AccuracyComparison(options, card, stop)
    if options.images:
        raise ValueError("--images: found images to evaluate, but no annotations: add --annotations")
    return None


def expect_targets(name: str, files: Sequence[Path], sources: Sequence[Path]) -> None:
    """Require that the network and its card can be written.

    Raises:
        ValueError: The name or the folder is invalid, or a file would replace a folder or a source file.
    """
    if Path(name).name != name or name.startswith(".") or not name.isprintable():
        raise ValueError(f"name: found {name!r}, expected a file name: give --name, and --output for the folder")
    expect_writable(files[0].parent)
    for path in filter(Path.exists, files):
        if path.is_dir() or any(path.samefile(source) for source in sources):
            raise ValueError(
                f"found {path}, a folder or source file that must stay: give another --name or --output"
            )


def write(document: dict[str, Any], network: bytes, network_file: Path, card_file: Path) -> None:
    """Write the network, then its card."""
    onnx_file = {"path": network_file.name, "sha256": hashlib.sha256(network).hexdigest()}
    write_atomically(network_file, network)
    write_atomically(card_file, card_text(document | {"onnx": onnx_file}).encode())


def comparison(before: Detector, after: Detector, images: Iterable[SourceImage], backend: str) -> Iterator[str]:
    """Yield the comparison of the float and the int8 detector, line by line."""
    found = DetectionMatches()
    for image in images:
        found.add(*(detector.detect(image.pixels, image.channel_order) for detector in (before, after)))
    yield f"detections  {found}"
    yield "            matched: int8 finds the float detector's class at IoU .5; new: int8 alone finds them"
    if not found.before:
        LOGGER.warning("the float detector finds nothing in these images: use images that show its classes")
    if backend == "tensorrt":
        yield "time here   not measured: ONNX Runtime is slow with TensorRT's int8"
    else:
        calls = {name: partial(each.detect, image.pixels) for name, each in (("before", before), ("after", after))}
        times = time_interleaved(calls, TIMED_RUNS)
        yield f"time here   {times['before'].p50:.1f} -> {times['after'].p50:.1f} ms per image"
        yield f"            median of {TIMED_RUNS} runs of the float and of the int8 detector on this machine"


def new_parser() -> argparse.ArgumentParser:
    """Return the command-line parser."""
    parser = argparse.ArgumentParser(
        prog="quantize_model", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_version(parser)
    parser.add_argument("inputs", nargs="+", metavar="INPUT", help="images and folders; a video or a recording")
    add_options(parser, "model", "topic")
    parser.add_argument(
        "--images",
        type=Path,
        metavar="DIR",
        help="folder of the annotated images to evaluate; default: INPUT, if it is one folder",
    )
    add_annotation_options(parser, required=False)
    parser.add_argument(
        "--backend",
        choices=("onnxruntime", "tensorrt"),
        default="onnxruntime",
        help="backend to quantize for: each supports a different int8; default: onnxruntime",
    )
    parser.add_argument(
        "--max-images", type=count, default=300, metavar="N", help="largest number of images; default: 300"
    )
    parser.add_argument(
        "--output", type=Path, default=Path(), metavar="DIR", help="output folder; default: the current folder"
    )
    parser.add_argument("--name", help="name of the new card; default: that of --model and _int8")
    parser.add_argument("--force", action="store_true", help="overwrite existing files")
    return parser


def main(args: Sequence[str] | None = None) -> int:
    """Run the command."""
    options = new_parser().parse_args(args)
    return run_command("quantize_model", partial(quantize_model, options))


if __name__ == "__main__":
    sys.exit(main())
