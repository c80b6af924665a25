"""Output folder of a run: locked against other runs, and cleared of an earlier run's products."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, islice, repeat
from pathlib import Path
from shutil import rmtree

from trt_ssd_ros.files import try_lock
from trt_ssd_ros.tools.results import ResultError, ResultHeader, read_header, read_results, whole_lines

LOG_NAME = "results.jsonl"
PRODUCTS = ("annotated", "annotated.mp4", "kitti", "coco.json", "detections.csv")


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Make a folder, and keep other runs out of it; one that stays empty goes.

    Raises:
        ResultError: Another run is at work in it.
        OSError: It cannot be made.
    """
    is_new = not folder.exists()
    if not is_new and not folder.is_dir():
        raise ResultError(f"--output: {folder} is a file, expected a folder, there or not")
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        if not try_lock(descriptor):
            raise ResultError(f"--output: found another run at work in {folder}, expected a folder of its own")
        yield
    finally:
        if is_new and not any(folder.iterdir()):
            folder.rmdir()
        os.close(descriptor)


def clear(folder: Path) -> None:
    """Delete what an earlier run wrote, if there was one."""
    log = folder / LOG_NAME
    if not log.exists():
        return
    for product in (folder / name for name in PRODUCTS):
        if product.is_dir() and not product.is_symlink():
            rmtree(product)
        else:
            product.unlink(missing_ok=True)
    log.unlink()


def expect_distinct(names: Sequence[str], written: Callable[[str], str]) -> None:
    """Require that no two images would be written into one file.

    Args:
        names: Of the images.
        written: Gives the name of the file that an image is written into.

    Raises:
        ResultError: Two would share one.
    """
    owners: dict[str, str] = {}
    for name in names:
        other = owners.setdefault(written(name), name)
        if other != name:
            raise ResultError(f"{other} and {name} would both be written into {written(name)}: rename one")


def begin(log: Path, stated: ResultHeader) -> None:
    """Begin the results anew; what an earlier run wrote goes."""
    clear(log.parent)
    log.write_text(stated.line() + "\n", encoding="utf-8")


def go_on(log: Path, stated: ResultHeader, names: Sequence[str], batch: int) -> int:
    """Prepare to go on with the results that are there, if there are any; return how many images are done.

    Args:
        log: The results.
        stated: What makes those to come.
        names: Of all images, where they are known.
        batch: Images that are detected in together.

    Raises:
        ResultError: Those that are there were made in another way, or of other images; they stay as they are.
        OSError: They cannot be written.
    """
    if not (log.exists() and log.stat().st_size):
        begin(log, stated)
        return 0
    earlier = read_header(log)
    before = {**earlier.detector, "labels": earlier.labels}
    for name, value in {**stated.detector, "labels": stated.labels}.items():
        if before.get(name) != value:
            found = f"{name} {before.get(name)!r}"
            raise ResultError(f"--resume: {log} was made with {found}, expected {value!r} as now")
    done, size = whole_lines(log, batch)
    wanted = chain(names, repeat("nothing")) if names else ()
    for result, name in zip(islice(read_results(log), done), wanted, strict=False):
        if result.name != name:
            raise ResultError(f"--resume: {log} has {result.name}, expected {name}: are images new or gone?")
    os.truncate(log, size)
    return done
