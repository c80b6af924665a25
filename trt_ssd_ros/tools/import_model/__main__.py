"""Bring your own SSD: make a model card of an ONNX file, check it, and draw what it finds in a photo.

ros2 run trt_ssd_ros import_model model.onnx
ros2 run trt_ssd_ros import_model model.onnx --labels labels.txt --output my_models
ros2 launch trt_ssd_ros detect.launch.py model:=$PWD/model.yaml

It finds the image input, the boxes and the class scores, cuts off non-maximum suppression and all else that the
composed graph does itself, recognises the family by tensor names and the number of prior boxes, and measures what
the graph does to its pixels. What it cannot tell it asks, or takes from the options below. Nothing is written
unless the card loads, the graph composes, and the photo goes through it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from trt_ssd_ros.errors import INTERRUPTED
from trt_ssd_ros.models.card import MAX_INPUT_SIDE
from trt_ssd_ros.tools.command_line import discard_stdout
from trt_ssd_ros.tools.import_model.families import FAMILIES
from trt_ssd_ros.tools.import_model.importing import ImportRequest, import_model


def new_parser() -> argparse.ArgumentParser:
    """Return the command line."""
    parser = argparse.ArgumentParser(
        prog="import_model", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path, help="the network, an ONNX file")
    parser.add_argument(
        "--output", type=Path, metavar="DIR", help="folder of what is written (default: the model's)"
    )
    parser.add_argument("--name", help="of the card (default: the model's file name)")
    parser.add_argument(
        "--image", type=Path, metavar="PHOTO", help="what to detect in (default: a photo of the package)"
    )
    parser.add_argument("--force", action="store_true", help="overwrite files of an earlier import")
    _add_what_a_graph_cannot_tell(parser.add_argument_group("what a graph cannot tell, or tells wrongly"))
    return parser


def _add_what_a_graph_cannot_tell(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--labels", metavar="FILE", help="class names, one a line, or a .pbtxt; or coco_90, coco_80, voc_20"
    )
    group.add_argument(
        "--family", choices=list(FAMILIES), help="; ".join(f"{k}: {v.about}" for k, v in FAMILIES.items())
    )
    group.add_argument("--size", type=_size, metavar="HxW", help="height x width of an input that states none")
    group.add_argument("--channel-order", choices=("rgb", "bgr"), help="of the network's own input")
    group.add_argument(
        "--mean", type=_three, metavar="R,G,B", help="subtracted from pixels of 0 to 255, in the input's order"
    )
    group.add_argument(
        "--scale", type=_three, metavar="R,G,B", help="then multiplied; one number stands for all three"
    )
    group.add_argument(
        "--score-conversion", choices=("sigmoid", "softmax", "none"), help="of class predictions to scores"
    )
    group.add_argument(
        "--background", choices=("first", "last", "none"), help="column of the scores that is no class"
    )
    group.add_argument("--boxes", metavar="TENSOR", help="with --scores: where they are, also inside of the graph")
    group.add_argument("--scores", metavar="TENSOR")
    group.add_argument(
        "--box-order", choices=("yxhw", "xywh", "xyxy", "yxyx"), help="encoded: centre, size; decoded: corners"
    )
    group.add_argument("--score-threshold", type=float, metavar="S", help="lowest score reported (default: 0.3)")
    group.add_argument("--licence", help="of the network, for the card")
    group.add_argument("--source", help="where it comes from, for the card")


def _three(text: str) -> list[float]:
    try:
        numbers = [float(number) for number in text.split(",")]
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected 3 numbers, or 1 for all") from error
    if len(numbers) not in (1, 3):
        raise argparse.ArgumentTypeError(f"found {len(numbers)} numbers, expected 3, or 1 for all")
    return numbers * (3 // len(numbers))


def _size(text: str) -> tuple[int, int]:
    try:
        height, width = (int(side) for side in text.lower().split("x"))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected HEIGHTxWIDTH, as 300x300") from error
    if not 0 < min(height, width) <= max(height, width) <= MAX_INPUT_SIDE:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected sides of 1 to {MAX_INPUT_SIDE}")
    return height, width


def ask(flag: str, question: str, choices: Sequence[str]) -> str:
    """Ask the person at the terminal.

    Raises:
        ValueError: There is no terminal; says which flag answers the question.
    """
    option, listed = f"--{flag.replace('_', '-')}", " or ".join(choices)
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise ValueError(f"{question}: give {option}{f' {listed}' if listed else ''}")
    print(f"{question}{f' ({listed})' if listed else ''}: ", end="", file=sys.stderr, flush=True)
    answer = sys.stdin.readline().strip()
    if not answer or (choices and answer not in choices):
        raise ValueError(f"{flag}: found {answer!r}, expected {listed or 'an answer'} (or {option})")
    return answer


def say(line: str) -> None:
    """Print a line; a reader that closed the pipe does not end the import."""
    try:
        print(line, flush=True)
    except BrokenPipeError:
        discard_stdout()


def main(args: Sequence[str] | None = None) -> int:
    """Run the command."""
    options = vars(new_parser().parse_args(args))
    names = ("model", "output", "name", "image", "force")
    stated = {name: value for name, value in options.items() if name not in names and value is not None}
    request = ImportRequest(**{name: options[name] for name in names}, stated=stated)
    try:
        for line in import_model(request, ask):
            say(line)
    except KeyboardInterrupt:
        return INTERRUPTED
    except OSError as error:
        reason = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        print(f"import_model: {reason}", file=sys.stderr)
        return 1
    except (RuntimeError, ValueError) as error:
        print(f"import_model: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
