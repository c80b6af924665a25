"""What is installed in the package's share folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from trt_ssd_ros.ros.resources import model_card_path, share_folder

pytestmark = pytest.mark.ros


@pytest.mark.parametrize(
    "name",
    ["launch/detect.launch.py", "config/detect.yaml", "config/detect.rviz", "config/fastdds_large_images.xml"],
)
def test_files_are_installed(name: str) -> None:
    assert (share_folder() / name).is_file()


def test_photos_and_models_are_installed() -> None:
    assert len(list((share_folder() / "photos").glob("*.jpg"))) >= 3
    assert len(list((share_folder() / "engines").glob("*.onnx"))) >= 1


def test_a_model_is_found_by_name_or_path(tmp_path: Path) -> None:
    shipped = model_card_path("ssd_mobilenet_v2_oidv4")
    assert shipped == share_folder() / "config" / "models" / "ssd_mobilenet_v2_oidv4.yaml"
    mine = tmp_path / "mine.yaml"
    mine.touch()
    assert model_card_path(str(mine)) == mine


@pytest.mark.parametrize("name", ["nothing", "", "/no/such.yaml", "ssd_mobilenet_v2_oidv4.yaml"])
def test_a_model_that_is_not_there_is_refused_with_those_that_are(name: str) -> None:
    with pytest.raises(ValueError, match=r"one of: .*ssd_mobilenet_v2_oidv4"):
        model_card_path(name)
