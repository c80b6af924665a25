"""Find what is installed in the package's share folder."""

from __future__ import annotations

from pathlib import Path

from ament_index_python.packages import get_package_share_directory

PACKAGE = "trt_ssd_ros"


def share_folder() -> Path:
    """Return the folder that holds config/, engines/, launch/ and photos/."""
    return Path(get_package_share_directory(PACKAGE))


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
