"""Make an int8 detector of a float one: measure its activations in your images, and write a card of its own.

Examples, with `ros2 run trt_ssd_ros quantize_model` or `python -m trt_ssd_ros.tools.quantize_model`:
  quantize_model photos/
  quantize_model drive.mp4 --model my_models/model.yaml --output my_models
  quantize_model photos/ --backend tensorrt
  ros2 launch trt_ssd_ros detect.launch.py model:=$PWD/ssd_mobilenet_v2_oidv4_int8.yaml

Images are best a few hundred of what the robot's camera sees; annotations are not needed. It says how much of what
the float detector finds in them the int8 one finds again; what that costs, `evaluate` says on annotated images.
"""

from __future__ import annotations

import argparse
import hashlib
import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from functools import partial
from itertools import islice
from pathlib import Path
from threading import Event
from typing import Any

import onnx
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from trt_ssd_ros.core.card_reader import read_yaml
from trt_ssd_ros.core.detector import Detector
from trt_ssd_ros.core.graph import compose
from trt_ssd_ros.core.image_source import SourceError
from trt_ssd_ros.core.model_card import ModelCard
from trt_ssd_ros.core.network import load_network
from trt_ssd_ros.core.resources import DEFAULT_MODEL, model_card_path
from trt_ssd_ros.core.timing import time_in_turns
from trt_ssd_ros.engines.onnxruntime_engine import OnnxRuntimeEngine
from trt_ssd_ros.tools.command_line import count, expect_writable, run_command
from trt_ssd_ros.tools.detection.input_images import InputImage, open_input
from trt_ssd_ros.tools.detection.recording_input import RecordingInput
from trt_ssd_ros.tools.model_import.card_file import card_text
from trt_ssd_ros.tools.quantization.calibration import Calibration
from trt_ssd_ros.tools.quantization.found_again import FoundAgain
from trt_ssd_ros.tools.quantization.int8_network import expect_float32, in_int8
from trt_ssd_ros.tools.whole_file import whole_file

LOGGER = logging.getLogger(__name__)
TIMED_RUNS = 50


def quantize_model(options: argparse.Namespace, stop: Event) -> int:
    """Do all of it, and return the exit code."""
    path = model_card_path(options.model)
    card = ModelCard.load(path)
    name = options.name or f"{card.name}_int8"
    network_file, card_file = files_to_write(options, name)
    network = load_network(card)
    expect_float32(network, card)
    calibration = Calibration(network, card, chosen_images(options, stop, "calibrating"))
    quantized = in_int8(network, calibration, options.backend)
    origin = f"quantized to int8 for {options.backend}, calibrated with {calibration.count} images"
    print(f"{name}: {origin}")
    for line in comparison(network, quantized, card, chosen_images(options, stop, "comparing"), options.backend):
        print(f"  {line}")
    content = quantized.SerializeToString()
    onnx_file = {"path": network_file.name, "sha256": hashlib.sha256(content).hexdigest()}
    document = read_document(path) | {"name": name, "source": f"{card.source}; {origin}", "onnx": onnx_file}
    with whole_file(network_file) as unfinished:
        unfinished.write_bytes(content)
    with whole_file(card_file) as unfinished:
        unfinished.write_text(card_text(document), encoding="utf-8")
    print(f"  wrote {network_file} and {card_file}")
    return 0


def files_to_write(options: argparse.Namespace, name: str) -> tuple[Path, Path]:
    """Return where the network and its card go.

    Raises:
        ValueError: They cannot be written, or are there already.
    """
    if Path(name).name != name:
        raise ValueError(f"--name: found {name!r}, expected a file's name; for its folder give --output")
    expect_writable(options.output)
    files = options.output / f"{name}.onnx", options.output / f"{name}.yaml"
    standing = [str(path) for path in files if path.exists()]
    if standing and not options.force:
        raise ValueError(f"{' and '.join(standing)} are there already: give --force, --name or --output")
    return files


def chosen_images(options: argparse.Namespace, stop: Event, task: str) -> Iterator[InputImage]:
    """Go through images from everywhere in the input: neighbours in a video are nearly the same.

    Raises:
        SourceError: There are none that can be read, or they do not come again.
        KeyboardInterrupt: It is to stop.
    """
    readable = 0
    with closing(open_input(options.inputs, partial(RecordingInput, topic=options.topic))) as images:
        if images.live:
            raise SourceError(f"found {options.inputs[0]}, expected images that can be gone through twice")
        step = -(-(images.count or 0) // options.max_images) or 1
        chosen = islice(images.images(), 0, step * options.max_images, step)
        total = images.count and -(-images.count // step)
        with logging_redirect_tqdm(), tqdm(chosen, task, total, unit=" images", disable=None) as bar:
            for image in bar:
                if stop.is_set():
                    raise KeyboardInterrupt
                if image.problem:
                    LOGGER.warning("passed over %s: %s", image.name, image.problem)
                    continue
                readable += 1
                yield image
    if not readable:
        raise SourceError("found no image that can be read, expected some of what the detector is to see")


def comparison(
    network: onnx.ModelProto,
    quantized: onnx.ModelProto,
    card: ModelCard,
    images: Iterator[InputImage],
    backend: str,
) -> Iterator[str]:
    """Say what became of a detector.

    Raises:
        RuntimeError: ONNX Runtime cannot run it any more.
    """
    yield f"size        {network.ByteSize() / 1e6:.1f} -> {quantized.ByteSize() / 1e6:.1f} MB"
    before, after = (Detector(OnnxRuntimeEngine(compose(model, card)), card) for model in (network, quantized))
    found = FoundAgain()
    for image in images:
        found.add(*(detector.detect(image.pixels, image.channel_order) for detector in (before, after)))
    yield f"detections  {found}"
    if backend == "onnxruntime":
        calls = {name: partial(each.detect, image.pixels) for name, each in (("before", before), ("after", after))}
        times = time_in_turns(calls, TIMED_RUNS)
        yield f"time here   {times['before'].p50:.1f} -> {times['after'].p50:.1f} ms an image"


def read_document(path: Path) -> dict[str, Any]:
    """Return a model card as it is written."""
    document = read_yaml(path)
    assert isinstance(document, dict)
    return document


def new_parser() -> argparse.ArgumentParser:
    """Return the command line."""
    parser = argparse.ArgumentParser(
        prog="quantize_model", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("inputs", nargs="+", metavar="INPUT", help="images and folders; a video or a recording")
    parser.add_argument("--model", default=DEFAULT_MODEL, help="a shipped model card or the path of one")
    parser.add_argument(
        "--backend",
        choices=("onnxruntime", "tensorrt"),
        default="onnxruntime",
        help="what it is for, as each is fast with, or takes, another int8; default: onnxruntime",
    )
    parser.add_argument(
        "--max-images", type=count, default=300, metavar="N", help="most images looked at; default: 300"
    )
    parser.add_argument("--topic", default="", help="of a recording; default: the only one with images")
    parser.add_argument("--output", type=Path, default=Path(), metavar="DIR", help="default: the current folder")
    parser.add_argument("--name", help="of the card; default: that of --model and _int8")
    parser.add_argument("--force", action="store_true", help="overwrite what is there")
    return parser


def main(args: Sequence[str] | None = None) -> int:
    """Run the command."""
    options = new_parser().parse_args(args)
    return run_command("quantize_model", partial(quantize_model, options))


if __name__ == "__main__":
    sys.exit(main())
