"""Parts of the offline tools' command lines: signals, errors, exit codes, progress, and options of a detector."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from trt_ssd_ros.engines.backend import BACKENDS
from trt_ssd_ros.engines.build_progress import BuildCancelledError
from trt_ssd_ros.engines.card_plans import PRECISIONS
from trt_ssd_ros.errors import INTERRUPTED, one_line
from trt_ssd_ros.files import PACKAGE
from trt_ssd_ros.models.shipped import DEFAULT_MODEL

BROKEN_PIPE = 141
"""The exit code that shells give to a process which SIGPIPE ended."""


@contextmanager
def stopped_by_signals() -> Iterator[Event]:
    """Give an event that SIGINT and SIGTERM set; a second one does what it would have done without."""
    stop = Event()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def ask(number: int, _: object) -> None:
        stop.set()
        signal.signal(number, before[signal.Signals(number)])

    for number in before:
        signal.signal(number, ask)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def occupy_standard_streams() -> None:
    """Open those that were closed before we began: else the next file that is opened takes what is said there."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115, PTH123 - for as long as the process lives


def discard_stdout() -> None:
    """Send what is still printed nowhere: whoever read it has had enough."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def run_command(name: str, task: Callable[[Event], int]) -> int:
    """Run a tool and return its exit code: what goes wrong is said on one line of stderr.

    Args:
        name: Of the tool.
        task: Given an event that tells it to come to an end; returns the exit code.
    """
    occupy_standard_streams()
    logging.basicConfig(format=f"{name}: %(message)s")
    logging.getLogger(PACKAGE).setLevel(logging.INFO)
    try:
        with stopped_by_signals() as stop:
            code = task(stop)
            print(end="", flush=True)  # which takes a stdout that was closed before we began
            return code
    except (BuildCancelledError, KeyboardInterrupt) as error:
        print(f"{name}: {str(error) or 'interrupted'}", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # whoever read our output has had enough
        discard_stdout()
        return BROKEN_PIPE
    except (OSError, RuntimeError, ValueError) as error:
        print(f"{name}: {one_line(error)}", file=sys.stderr)
        return 1


@contextmanager
def progress(total: int, unit: str, stop: Event) -> Iterator[Callable[[], None]]:
    """Give a callback that advances a progress bar, and raises KeyboardInterrupt once `stop` is set."""

    def advance() -> None:
        bar.update()
        if stop.is_set():
            raise KeyboardInterrupt

    with logging_redirect_tqdm(), tqdm(total=total, unit=unit, disable=None) as bar:
        yield advance


def expect_writable(folder: Path) -> None:
    """Require that a folder can be written into, or made, before there is something to lose.

    Raises:
        ValueError: It cannot.
    """
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not (there.is_dir() and os.access(there, os.W_OK)):
        raise ValueError(f"--output: found {there}, which cannot be written into, expected a folder, there or not")


def expect_free(files: Sequence[Path], force: bool) -> None:
    """Require that no file is there already, or may be overwritten.

    Raises:
        ValueError: There is one.
    """
    standing = [str(path) for path in files if path.exists()]
    if standing and not force:
        raise ValueError(f"{' and '.join(standing)} are there already: give --force, --name or --output")


def count(text: str) -> int:
    """Read a whole number of 1 or more from a command line."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a whole number of 1 or more")
    return int(text)


def fraction(text: str) -> float:
    """Read a number from 0 to 1 from a command line."""
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a number from 0 to 1")
    return number


OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "model": {"default": DEFAULT_MODEL, "help": "a shipped model card or the path of one"},
    "backend": {"choices": BACKENDS, "default": "auto", "help": "default: auto"},
    "precision": {"choices": PRECISIONS, "default": "auto", "help": "for TensorRT; default: auto"},
    "threshold": {"type": fraction, "metavar": "SCORE", "help": "lowest reported; default: the card's"},
    "batch": {"type": count, "default": 1, "metavar": "N", "help": "images in a call; default: 1"},
    "topic": {"default": "", "help": "of a recording; default: the only one with images"},
}
"""Options of a detector and its input, as `add_argument` takes them."""


def add_options(parser: argparse.ArgumentParser, *names: str, **changes: Any) -> None:
    """Add options to a command line.

    Args:
        parser: Command line.
        names: Keys of OPTIONS.
        changes: Arguments of `add_argument` that differ from OPTIONS.
    """
    for name in names:
        parser.add_argument(f"--{name}", **{**OPTIONS[name], **changes})
