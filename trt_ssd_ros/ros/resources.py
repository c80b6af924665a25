"""Find what is installed in the package's share folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from ament_index_python.packages import get_package_share_directory
from numpy.typing import NDArray

from trt_ssd_ros.core.image_source import read_image_file

PACKAGE = "trt_ssd_ros"


def share_folder() -> Path:
    """Return the folder that holds config/, engines/, launch/ and photos/."""
    return Path(get_package_share_directory(PACKAGE))


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
        if path.is_file():
            return path
    names = ", ".join(sorted(path.stem for path in folder.glob("*.yaml")))
    raise ValueError(f"model: found {model!r}, expected the path of a model card or one of: {names}")
