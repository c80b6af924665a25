"""Build a model's TensorRT plan ahead of time, so that the node starts at once; list or delete cached plans.

ros2 run trt_ssd_ros build_engine                                 the default model, the better of fp32 and fp16
ros2 run trt_ssd_ros build_engine --model my_card.yaml --precision fp16 --verify
ros2 run trt_ssd_ros build_engine --batch 8 --resize-on host      for a node with eight views (tiles, regions)
ros2 run trt_ssd_ros build_engine --triton models --batch 8       a Triton model repository for backend:=remote
ros2 run trt_ssd_ros build_engine --list
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from tqdm import tqdm

from trt_ssd_ros.detection.agreement import TOLERANCES, disagreements
from trt_ssd_ros.detection.detector import Detector
from trt_ssd_ros.engines.build_progress import BuildCancelledError
from trt_ssd_ros.engines.card_plans import CardPlans
from trt_ssd_ros.engines.cuda import Gpu
from trt_ssd_ros.engines.onnxruntime_engine import open_onnxruntime
from trt_ssd_ros.engines.plan_builder import BuildOptions
from trt_ssd_ros.engines.plan_cache import PlanCache, cache_folder
from trt_ssd_ros.engines.tensorrt_engine import TensorRtEngine
from trt_ssd_ros.engines.tensorrt_library import load_tensorrt
from trt_ssd_ros.errors import INTERRUPTED, counted
from trt_ssd_ros.models.card import ModelCard
from trt_ssd_ros.models.shipped import model_card_path, sample_photos
from trt_ssd_ros.tools.command_line import add_options, given
from trt_ssd_ros.tools.triton_model import write_triton_model
from trt_ssd_ros.version import add_version


class ProgressBar:
    """Progress bar of a build; Ctrl-C only sets a flag: no exception may pass TensorRT's callbacks."""

    def __init__(self) -> None:
        self._interrupted = False
        self._python_handler = signal.signal(signal.SIGINT, self._interrupt)
        self._bar = tqdm(total=1.0, bar_format="{l_bar}{bar}| {elapsed}", leave=False)

    def report(self, doing: str, fraction: float | None) -> None:
        """Update the bar; see `BuildProgress.report`."""
        self._bar.set_description(doing, refresh=False)
        self._bar.n = self._bar.n if fraction is None else fraction
        self._bar.refresh()

    def cancelled(self) -> bool:
        """Return whether Ctrl-C was pressed."""
        return self._interrupted

    def close(self) -> None:
        """Remove the bar and restore the SIGINT handler."""
        self._bar.close()
        signal.signal(signal.SIGINT, self._python_handler)

    def _interrupt(self, *_: object) -> None:
        self._interrupted = True


def build(options: argparse.Namespace, cache: PlanCache) -> int:
    """Build the plan and its kernels, print a summary, verify it if asked, and return the exit code."""
    card = ModelCard.load(model_card_path(options.model))
    build_options = BuildOptions(
        batch=options.batch,
        max_image_side=options.max_image_side,
        workspace_mib=options.workspace_mib,
        optimization_level=options.optimization_level,
        dla_core=options.dla_core,
    )
    if options.resize_on == "host":
        build_options = build_options.for_images(card.input.height, card.input.width)
    library, gpu = load_tensorrt(), Gpu.find(options.gpu)
    bar = ProgressBar()
    try:
        plans = CardPlans(card, library, gpu, build_options, cache, bar)
        precision = plans.choose(sample_photos()) if options.precision == "auto" else options.precision
        engine = plans.open(precision)
        if bar.cancelled():
            engine.close()
            raise BuildCancelledError
    finally:
        bar.close()
    detector = plans.detector(engine)
    try:
        print(summary(plans, precision, engine))
        return verify(detector, card) if options.verify else 0
    finally:
        detector.close()


def summary(plans: CardPlans, precision: str, engine: TensorRtEngine) -> str:
    """Return a table of a plan's file, GPU, key, build time and precision."""
    key, notes = plans.key(precision), plans.notes(precision)
    rows = {
        "plan": plans.path(precision),
        "target": f"{key.gpu} (compute capability {key.compute_capability}), {key.flavour} {key.version}",
        "key": key.stem.rpartition("-")[2],
        "built": f"{notes.get('built_at', 'just now, not cached')}, in {notes.get('seconds', '?')} s",
        "layers": engine.layer_count,
    }
    choice = plans.choice()
    if choice:
        rows["chosen"] = f"{choice['precision']}: fp32 {choice['fp32_ms']:.2f} ms, fp16 {choice['fp16_ms']:.2f} ms"
        rows["differs"] = "; ".join(choice["disagreements"]) or "no: fp16 detections match those of fp32"
    return "\n".join(
        [f"{key.model} in {engine.precision}", *(f"  {name:<9}{value}" for name, value in rows.items())]
    )


def verify(detector: Detector, card: ModelCard) -> int:
    """Compare the plan with ONNX Runtime on the sample photos, print the result, and return the exit code."""
    reference = open_onnxruntime(card)
    tolerance, failures = TOLERANCES[detector.precision], 0
    for number, photo in enumerate(sample_photos(), 1):
        found, expected = detector.detect(photo), reference.detect(photo)
        side = max(photo.shape[:2])
        problems = disagreements(found, expected, tolerance, card.defaults.score_threshold, side)
        failures += bool(problems)
        verdict = "; ".join(problems) or "agrees with ONNX Runtime"
        print(f"  photo {number}: {counted(len(found), 'detection')}, {verdict}")
    return int(failures > 0)


def write_triton(options: argparse.Namespace) -> int:
    """Write the model into a Triton model repository, and print its files."""
    card = ModelCard.load(model_card_path(options.model))
    for path in write_triton_model(options.triton, card, options.batch):
        print(path)
    return 0


def list_plans(cache: PlanCache) -> int:
    """Print the cached plans."""
    entries = cache.entries()
    print(f"{counted(len(entries), 'plan')} in {cache.folder}")
    for path, sidecar in entries:
        size = f"{path.stat().st_size / 2**20:7.1f} MiB  {path.name}"
        if sidecar is None:
            print(f"{size}  (unusable: its sidecar is missing or damaged)")
        else:
            key = sidecar["key"]
            print(f"{size}  {key.get('gpu')}, {key.get('flavour')} {key.get('version')}")
    return 0


def clean(cache: PlanCache) -> int:
    """Delete the cached plans."""
    print(f"{counted(len(cache.clean()), 'file')} deleted from {cache.folder}")
    return 0


def new_parser() -> argparse.ArgumentParser:
    """Return the command-line parser."""
    parser = argparse.ArgumentParser(
        prog="build_engine", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_version(parser)
    add_options(parser, "model", "precision", "resize-on", "gpu")
    defaults = BuildOptions()
    for name, text in (
        ("batch", "largest batch, in images"),
        ("max_image_side", "largest image width and height, in pixels"),
        ("workspace_mib", "limit of scratch memory per layer, in MiB"),
        ("optimization_level", "TensorRT builder level, 0 (fast build) to 5 (thorough)"),
        ("dla_core", "Jetson DLA core to run on instead of the GPU"),
    ):
        default = getattr(defaults, name)
        stated = "" if default is None else f" (default: {default})"
        flag = f"--{name.replace('_', '-')}"
        parser.add_argument(flag, type=int, default=default, metavar="N", help=text + stated)
    parser.add_argument("--verify", action="store_true", help="compare with ONNX Runtime on the sample photos")
    parser.add_argument(
        "--triton",
        type=Path,
        metavar="DIR",
        help="write a Triton model repository for a server, and build no plan",
    )
    parser.add_argument("--list", action="store_true", help="print the cached plans")
    parser.add_argument("--clean", action="store_true", help="delete the cached plans")
    return parser


USED: Mapping[str, Collection[str]] = {"triton": ("model", "batch"), "list": (), "clean": ()}
"""Options that each task but the build of a plan uses."""


def expect_used(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """End the command if its line has an option that its task ignores."""
    for task, used in USED.items():
        ignored = [name for name in vars(options) if name not in (task, *used)]
        if getattr(options, task) and (wrong := given(parser, options, ignored)):
            parser.error(f"{wrong[0]}: found it beside --{task}, which ignores it, expected none")


def main(args: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = new_parser()
    options = parser.parse_args(args)
    expect_used(parser, options)
    cache = PlanCache(cache_folder())
    try:
        if options.triton:
            return write_triton(options)
        if options.list:
            return list_plans(cache)
        return clean(cache) if options.clean else build(options, cache)
    except BuildCancelledError as error:
        print(f"build_engine: {error}", file=sys.stderr)
        return INTERRUPTED
    except (OSError, RuntimeError, ValueError) as error:
        print(f"build_engine: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
