"""Model cards and photos of the package."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trt_ssd_ros.files import share_folder
from trt_ssd_ros.images.files import read_image_file

DEFAULT_MODEL = "ssdlite_mobilenet_v2_coco"


def sample_photos() -> list[NDArray[np.uint8]]:
    """Return the photos of the package, each (H, W, 3) uint8 in BGR."""
    return [read_image_file(path) for path in sorted((share_folder() / "photos").glob("*.jpg"))]


def model_card_path(model: str) -> Path:
    """Return the path of a model card.

    Args:
        model: Name of a shipped card, or path of a YAML file.

    Raises:
        ValueError: The card does not exist; the message lists the shipped cards.
    """
    folder = share_folder() / "config" / "models"
    for path in (folder / f"{model}.yaml", Path(model).expanduser()):
        if path.is_file() and path.suffix == ".onnx":
            raise ValueError(f"model: found the ONNX file {path}, expected a model card: import_model writes one")
        if path.is_file():
            return path
    names = ", ".join(sorted(path.stem for path in folder.glob("*.yaml")))
    raise ValueError(f"model: found {model!r}, expected the path of a model card or one of: {names}")
