"""Find what comes with the package: models, photos, configuration."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trt_ssd_ros.images.open_source import read_image_file

PACKAGE = "trt_ssd_ros"
DEFAULT_MODEL = "ssd_mobilenet_v2_oidv4"


def share_folder() -> Path:
    """Return the folder that holds config/, engines/, launch/ and photos/.

    It is looked for where colcon installs it ($AMENT_PREFIX_PATH), in the source tree, and where pip installs it.

    Raises:
        RuntimeError: It is in none of these places.
    """
    places = list(_places())
    for place in places:
        if (place / "config" / "models").is_dir():
            return place
    raise RuntimeError(f"the files of {PACKAGE} are in none of {', '.join(map(str, places))}: install it again")


def _places() -> Iterator[Path]:
    prefixes = filter(None, os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep))
    yield from (Path(prefix) / "share" / PACKAGE for prefix in prefixes)
    yield Path(__file__).resolve().parents[2]
    yield Path(sys.prefix) / "share" / PACKAGE


def sample_photos() -> list[NDArray[np.uint8]]:
    """Return the photos that come with the package, (H, W, 3) bgr."""
    return [read_image_file(path) for path in sorted((share_folder() / "photos").glob("*.jpg"))]


def model_card_path(model: str) -> Path:
    """Return the path of a model card.

    Args:
        model: The name of a shipped card, or the path of a YAML file.

    Raises:
        ValueError: There is no such card; names those there are.
    """
    folder = share_folder() / "config" / "models"
    for path in (folder / f"{model}.yaml", Path(model).expanduser()):
        if path.is_file() and path.suffix == ".onnx":
            raise ValueError(f"model: found a network, {path}, expected its model card: import_model makes one")
        if path.is_file():
            return path
    names = ", ".join(sorted(path.stem for path in folder.glob("*.yaml")))
    raise ValueError(f"model: found {model!r}, expected the path of a model card or one of: {names}")
