"""The folder that a run writes into: nobody else's meanwhile, and without what an earlier run left."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import rmtree

from trt_ssd_ros.core.file_lock import try_lock
from trt_ssd_ros.tools.detection.result_log import ResultError

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
