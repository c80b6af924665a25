"""Shared parts of the offline tools: signals, error lines, exit codes, progress bars, detector options."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from trt_ssd_ros.engines.backend import (
    BACKENDS,
    FOR_TENSORRT,
    MAX_CPU_THREADS,
    MAX_GPU,
    RESIZE_CHOICES,
    EngineChoice,
)
from trt_ssd_ros.engines.build_progress import BuildCancelledError
from trt_ssd_ros.engines.card_plans import PRECISIONS
from trt_ssd_ros.engines.cuda import WAITS
from trt_ssd_ros.engines.remote_server import MAX_TIMEOUT, TOKEN_VARIABLE, RemoteOptions
from trt_ssd_ros.errors import BROKEN_PIPE, INTERRUPTED, discard_stdout, one_line
from trt_ssd_ros.files import PACKAGE
from trt_ssd_ros.images.quiet_opencv import quiet_opencv
from trt_ssd_ros.models.shipped import DEFAULT_MODEL


@contextmanager
def stopped_by_signals() -> Iterator[Event]:
    """Yield an event that the first SIGINT or SIGTERM sets; a second signal has its previous effect."""
    stop = Event()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def on_signal(number: int, _: object) -> None:
        stop.set()
        signal.signal(number, before[signal.Signals(number)])

    for number in before:
        signal.signal(number, on_signal)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def open_standard_streams() -> None:
    """Open closed standard streams on /dev/null: else the next opened file would receive their output."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115, PTH123 - open until the process ends


def run_command(name: str, task: Callable[[Event], int]) -> int:
    """Run a tool and return its exit code; print an error as one line on stderr.

    Args:
        name: Tool name, printed before each error.
        task: Function that runs the tool until its event is set, and returns the exit code.
    """
    open_standard_streams()
    quiet_opencv()
    logging.basicConfig(format=f"{name}: %(message)s")
    logging.getLogger(PACKAGE).setLevel(logging.INFO)
    try:
        with stopped_by_signals() as stop:
            code = task(stop)
            print(end="", flush=True)  # raises BrokenPipeError here, not at exit; None is a valid stdout
            return code
    except (BuildCancelledError, KeyboardInterrupt) as error:
        print(f"{name}: {str(error) or 'interrupted'}", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # the reader closed the pipe
        discard_stdout()
        return BROKEN_PIPE
    except (OSError, RuntimeError, ValueError) as error:
        print(f"{name}: {one_line(error)}", file=sys.stderr)
        return 1


@contextmanager
def progress(total: int, unit: str, stop: Event) -> Iterator[Callable[[], None]]:
    """Yield a callback that advances a progress bar, and raises KeyboardInterrupt once `stop` is set."""

    def advance() -> None:
        bar.update()
        if stop.is_set():
            raise KeyboardInterrupt

    with logging_redirect_tqdm(), tqdm(total=total, unit=unit, disable=None) as bar:
        yield advance


def expect_writable(folder: Path) -> None:
    """Require that a folder is writable or can be created, before the tool computes results.

    Raises:
        ValueError: The folder is not writable.
    """
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not (existing.is_dir() and os.access(existing, os.W_OK)):
        raise ValueError(
            f"--output: {existing} is no writable folder: change its permissions or give another folder"
        )


def expect_free(files: Sequence[Path], force: bool) -> None:
    """Require that no output file exists, unless `force` allows overwriting.

    Raises:
        ValueError: A file exists and `force` is False.
    """
    existing = [str(path) for path in files if path.exists()]
    if existing and not force:
        raise ValueError(
            f"found existing {' and '.join(existing)}: give --force to overwrite, or another --name or --output"
        )


def count(text: str) -> int:
    """Parse a whole number of 1 or more from the command line."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a whole number of 1 or more")
    return int(text)


def number_up_to(most: int) -> Callable[[str], int]:
    """Return a parser of a whole number from 0 to `most` from the command line."""

    def parse(text: str) -> int:
        if not text.isdecimal() or int(text) > most:
            raise argparse.ArgumentTypeError(f"found {text!r}, expected a whole number from 0 to {most}")
        return int(text)

    return parse


def fraction(text: str) -> float:
    """Parse a number from 0 to 1 from the command line."""
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a number from 0 to 1")
    return number


OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "model": {"default": DEFAULT_MODEL, "help": "name of a shipped model, or path of a model card"},
    "backend": {"choices": BACKENDS, "default": "auto", "help": "inference backend; default: auto"},
    "precision": {"choices": PRECISIONS, "default": "auto", "help": "TensorRT precision; default: auto"},
    "cpu-threads": {
        "type": number_up_to(MAX_CPU_THREADS),
        "default": 0,
        "metavar": "N",
        "help": "CPU threads; default: all cores",
    },
    "gpu": {
        "type": number_up_to(MAX_GPU),
        "default": 0,
        "metavar": "N",
        "help": "number of the GPU, for TensorRT; doctor lists them; default: 0",
    },
    "gpu-wait": {
        "choices": WAITS,
        "default": EngineChoice.gpu_wait,
        "help": "how the CPU waits for the GPU; spin takes 0.1 ms less and more CPU time; default: block",
    },
    "resize-on": {
        "choices": RESIZE_CHOICES,
        "default": "auto",
        "help": "where images are resized to the network's input; default: auto, host for onnxruntime, engine for "
        "tensorrt",
    },
    "remote-url": {
        "default": "",
        "metavar": "URL",
        "help": "server of the backend remote, as in http://gpu-server:8000",
    },
    "remote-model": {
        "default": "",
        "metavar": "NAME",
        "help": "name of the model on the server; default: that of the model card",
    },
    "remote-token-file": {
        "default": "",
        "metavar": "FILE",
        "help": f"file with the server's token; default: the environment variable {TOKEN_VARIABLE}, or no token",
    },
    "remote-ca-file": {
        "default": "",
        "metavar": "FILE",
        "help": "certificates (PEM) that signed the server's; default: the system's",
    },
    "threshold": {"type": fraction, "metavar": "SCORE", "help": "lowest reported score; default: the card's"},
    "batch": {"type": count, "default": 1, "metavar": "N", "help": "images per inference call; default: 1"},
    "topic": {"default": "", "help": "image topic of a recording; default: its only one"},
}
"""Detector and input options: keyword arguments of `add_argument` by option name."""
REMOTE = ("remote-url", "remote-model", "remote-token-file", "remote-ca-file")
"""Options of `remote_options`."""


def add_options(parser: argparse.ArgumentParser, *names: str, **changes: Any) -> None:
    """Add options to a command line.

    Args:
        parser: Parser to extend.
        names: Option names, keys of OPTIONS.
        changes: Keyword arguments of `add_argument` that override those in OPTIONS.
    """
    for name in names:
        parser.add_argument(f"--{name}", **{**OPTIONS[name], **changes})


def given(parser: argparse.ArgumentParser, options: argparse.Namespace, names: Iterable[str]) -> list[str]:
    """Return those of some options that differ from their defaults, as they stand on a command line."""
    differing = (name for name in names if getattr(options, name) != parser.get_default(name))
    return [f"--{name.replace('_', '-')}" for name in differing]


def remote_options(options: argparse.Namespace, backends: Collection[str]) -> RemoteOptions:
    """Return the server of a command line with the options REMOTE.

    A tool does not fall back, because the images of a run shall have one engine; it waits longer instead.

    Args:
        options: Command line.
        backends: Backends that it chooses.

    Raises:
        ValueError: A server is given without the backend remote, or an option that this backend, alone, ignores.
    """
    names = ("url", "model", "token_file", "ca_file")
    values = {name: getattr(options, f"remote_{name}") for name in names}
    if "remote" not in backends and any(values.values()):
        name = next(name for name, value in values.items() if value).replace("_", "-")
        found = f"found it beside the backend {', '.join(backends) or 'none'}"
        raise ValueError(f"--remote-{name}: {found}, expected the backend remote")
    if set(backends) == {"remote"}:
        _expect_undecided(options)
    return RemoteOptions(**values, timeout=MAX_TIMEOUT, fallback="none")


def _expect_undecided(options: argparse.Namespace) -> None:
    """Require that no option is given on which an inference server decides."""
    for name in FOR_TENSORRT:
        found, flag = getattr(options, name, None), name.replace("_", "-")
        default = OPTIONS[flag]["default"]
        if found not in (None, default, [default]):
            text = " ".join(map(str, found)) if isinstance(found, list) else found
            raise ValueError(
                f"--{flag}: found {text} beside the backend remote, expected none: the server decides"
            )
