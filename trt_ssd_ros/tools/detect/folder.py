"""Output folder of a run: lock, results file, and cleanup before a new run."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain, islice, repeat
from pathlib import Path
from shutil import rmtree
from typing import Any

from trt_ssd_ros.files import try_lock
from trt_ssd_ros.tools.detect.units import delete_units
from trt_ssd_ros.tools.results import ResultError, ResultHeader, completed_images, read_header, read_results

LOG_NAME = "results.jsonl"
UNITS = "units"
"""Folder of the finished parts of a run on a cluster, which has not written all of its results."""
PRODUCTS = ("annotated", "annotated.mp4", "kitti", "coco.json", "detections.csv", "mot", "mot.txt")


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Create a folder and lock it against other runs; remove a new folder that stays empty.

    Raises:
        ResultError: The path is a file, or another run has locked the folder.
        OSError: The folder cannot be created.
    """
    is_new = not folder.exists()
    if not is_new and not folder.is_dir():
        raise ResultError(f"--output: {folder} is a file, expected a folder or a new path")
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        if not try_lock(descriptor):
            raise ResultError(f"--output: another run is writing to {folder}: wait for it or give another folder")
        yield
    finally:
        if is_new and not any(folder.iterdir()):
            folder.rmdir()
        os.close(descriptor)


def clear(folder: Path) -> None:
    """Delete the output of an earlier run, if any."""
    log = folder / LOG_NAME
    if not log.exists():
        return
    delete_units(folder / UNITS)
    for product in (folder / name for name in PRODUCTS):
        if product.is_dir() and not product.is_symlink():
            rmtree(product)
        else:
            product.unlink(missing_ok=True)
    log.unlink()


def expect_distinct(names: Sequence[str], file_name: Callable[[str], str]) -> None:
    """Require that no two images share an output file.

    Args:
        names: Image names.
        file_name: Function that returns the output file of an image.

    Raises:
        ResultError: Two images share an output file.
    """
    owners: dict[str, str] = {}
    for name in names:
        other = owners.setdefault(file_name(name), name)
        if other != name:
            raise ResultError(f"{other} and {name} would both be written to {file_name(name)}: rename one")


def start_results(log: Path, header: ResultHeader) -> None:
    """Delete the output of an earlier run and write the header of a new results file."""
    clear(log.parent)
    log.write_text(header.line() + "\n", encoding="utf-8")


def resume_results(log: Path, header: ResultHeader, names: Sequence[str], batch: int) -> int:
    """Check existing results, if any, cut off an incomplete batch, and return the number of completed images.

    Args:
        log: Results file.
        header: Settings of this run.
        names: Names of all images; empty if they are unknown.
        batch: Images per inference call.

    Raises:
        ResultError: The results have other settings or other images; the file stays unchanged.
        OSError: The file cannot be read or written.
    """
    if not (log.exists() and log.stat().st_size):
        start_results(log, header)
        return 0
    if differing := "; ".join(_differences(read_header(log), header)):
        found = f"this run differs from {log}: {differing}"
        raise ResultError(f"--resume: {found}: give the earlier settings, or --overwrite")
    done, size = completed_images(log, batch)
    wanted = chain(names, repeat("nothing")) if names else ()
    for result, name in zip(islice(read_results(log), done), wanted, strict=False):
        if result.name != name:
            raise ResultError(
                f"--resume: {log} has {result.name}, expected {name}: if images changed, give --overwrite"
            )
    os.truncate(log, size)
    return done


def _differences(before: ResultHeader, now: ResultHeader) -> Iterator[str]:
    """Yield the settings that differ in words, as in "batch 1 instead of 2", but only the first label."""
    yield from _differing(before.detector, now.detector)
    yield from islice(_differing(dict(enumerate(before.labels)), dict(enumerate(now.labels)), "label "), 1)


def _differing(before: Mapping[Any, Any], now: Mapping[Any, Any], prefix: str = "") -> Iterator[str]:
    for name in {**now, **before}:
        old, new, words = before.get(name), now.get(name), f"{prefix}{name}".replace("_", " ")
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            yield from _differing(old, new, f"{words} ")
        elif old != new:
            yield f"{words} {_in_words(new)} instead of {_in_words(old)}"


def _in_words(value: object) -> str:
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value))
    return "on" if isinstance(value, Mapping) else str(value or "none")
