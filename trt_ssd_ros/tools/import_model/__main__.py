"""Import an SSD: write a model card for an ONNX file, test it, and draw the detections in a photo.

ros2 run trt_ssd_ros import_model model.onnx
ros2 run trt_ssd_ros import_model model.onnx --labels labels.txt --output my_models
ros2 launch trt_ssd_ros detect.launch.py model:=$PWD/model.yaml

import_model finds the image input, the boxes and the class scores. It cuts off non-maximum suppression and
everything else that the composed graph does itself. It recognises the family by tensor names and the number of
prior boxes, and measures how the graph normalises pixels. If the graph leaves a field of the card open, it uses
the options below or prompts for an answer. It writes no file unless the card loads, the graph composes, and
detection runs on the photo.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from trt_ssd_ros.errors import INTERRUPTED, discard_stdout
from trt_ssd_ros.images.quiet_opencv import quiet_opencv
from trt_ssd_ros.models.card import MAX_INPUT_SIDE
from trt_ssd_ros.tools.import_model.families import FAMILIES
from trt_ssd_ros.tools.import_model.importing import ImportRequest, import_model
from trt_ssd_ros.version import add_version


def new_parser() -> argparse.ArgumentParser:
    """Return the command-line parser."""
    parser = argparse.ArgumentParser(
        prog="import_model", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_version(parser)
    parser.add_argument("model", type=Path, help="ONNX file of the network")
    parser.add_argument(
        "--output", type=Path, metavar="DIR", help="folder to write to (default: the folder of the ONNX file)"
    )
    parser.add_argument("--name", help="name of the card (default: the ONNX file's name)")
    parser.add_argument(
        "--image", type=Path, metavar="PHOTO", help="photo to test the card on (default: a photo of the package)"
    )
    parser.add_argument(
        "--copy", action="store_true", help="copy the ONNX file beside the card if it is in another folder"
    )
    parser.add_argument("--force", action="store_true", help="overwrite the files of an earlier import")
    group = parser.add_argument_group("fields of the card, if the graph states none or a wrong one")
    _add_input_options(group)
    _add_output_options(group)
    group.add_argument("--licence", help="licence of the network (default: the one that the ONNX file states)")
    group.add_argument("--source", help="origin of the network, for the card")
    return parser


def _add_input_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--labels",
        metavar="FILE",
        help="file of class names (one a line, or .pbtxt), or a label set: coco_90, coco_80 or voc_20",
    )
    group.add_argument(
        "--family",
        choices=list(FAMILIES),
        help=f"family of the network; {'; '.join(f'{name}: {family.about}' for name, family in FAMILIES.items())}",
    )
    group.add_argument(
        "--size", type=_size, metavar="HxW", help="height x width in pixels of an input without a fixed size"
    )
    group.add_argument("--channel-order", choices=("rgb", "bgr"), help="channel order of the network's input")
    group.add_argument(
        "--mean", type=_three, metavar="R,G,B", help="mean of each channel, 0 to 255, in the input's channel order"
    )
    group.add_argument(
        "--scale",
        type=_three,
        metavar="R,G,B",
        help="factor of each channel after the mean is subtracted; one number for all three",
    )
    group.add_argument(
        "--resize",
        choices=("half_pixel", "align_corners", "asymmetric"),
        help="coordinate transformation of the resize to the network's input: half_pixel in OpenCV and PyTorch, "
        "asymmetric in TensorFlow's Object Detection API",
    )


def _add_output_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--score-conversion",
        choices=("sigmoid", "softmax", "none"),
        help="function from class predictions to scores",
    )
    group.add_argument(
        "--background", choices=("first", "last", "none"), help="position of the background column in the scores"
    )
    group.add_argument(
        "--boxes", metavar="TENSOR", help="tensor of the boxes, an output or an inner one; needs --scores"
    )
    group.add_argument("--scores", metavar="TENSOR", help="tensor of the class scores; needs --boxes")
    group.add_argument(
        "--box-order",
        choices=("yxhw", "xywh", "xyxy", "yxyx"),
        help="order of a box's numbers: yxhw or xywh if encoded; xyxy or yxyx if decoded",
    )
    group.add_argument(
        "--interpolated",
        choices=("second", "last"),
        help="position of the interpolated square among the prior boxes of a cell, in networks of TensorFlow's "
        "Object Detection API: second in those of 2017, else last",
    )
    group.add_argument("--score-threshold", type=float, metavar="S", help="lowest score to report (default: 0.3)")


def _three(text: str) -> list[float]:
    try:
        numbers = [float(number) for number in text.split(",")]
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"found {text!r}, expected 3 numbers with commas between them, or 1 for all"
        ) from error
    if len(numbers) not in (1, 3):
        raise argparse.ArgumentTypeError(f"found {len(numbers)} numbers, expected 3, or 1 for all")
    return numbers * (3 // len(numbers))


def _size(text: str) -> tuple[int, int]:
    try:
        height, width = (int(side) for side in text.lower().split("x"))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected HEIGHTxWIDTH, such as 300x300") from error
    if not 0 < min(height, width) <= max(height, width) <= MAX_INPUT_SIDE:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected sides of 1 to {MAX_INPUT_SIDE} pixels")
    return height, width


def prompt(flag: str, question: str, choices: Sequence[str]) -> str:
    """Prompt the user at the terminal.

    Args:
        flag: Option that answers the question, without its dashes.
        question: Text of the prompt.
        choices: Valid answers; any answer is valid if empty.

    Raises:
        ValueError: There is no terminal, or the answer is none of the choices. The message names the option.
    """
    option, listed = f"--{flag.replace('_', '-')}", " or ".join(choices)
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise ValueError(f"{question}: give {option}{f' {listed}' if listed else ''}")
    print(f"{question}{f' ({listed})' if listed else ''}: ", end="", file=sys.stderr, flush=True)
    answer = sys.stdin.readline().strip()
    if not answer or (choices and answer not in choices):
        raise ValueError(f"{flag}: found {answer!r}, expected {listed or 'an answer'} (or {option})")
    return answer


def print_line(line: str) -> None:
    """Print a line. If the reader closed the pipe, discard this line and all later ones."""
    try:
        print(line, flush=True)
    except BrokenPipeError:
        discard_stdout()


def main(args: Sequence[str] | None = None) -> int:
    """Run the command."""
    arguments = vars(new_parser().parse_args(args))
    names = ("model", "output", "name", "image", "copy", "force")
    options = {name: value for name, value in arguments.items() if name not in names and value is not None}
    request = ImportRequest(**{name: arguments[name] for name in names}, options=options)
    quiet_opencv()
    try:
        for line in import_model(request, prompt):
            print_line(line)
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
