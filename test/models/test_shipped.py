"""What is installed in the package's share folder."""

from __future__ import annotations

import pytest

from trt_ssd_ros.files import share_folder
from trt_ssd_ros.models.shipped import model_card_path, sample_photos


@pytest.mark.parametrize(
    "name",
    ["launch/detect.launch.py", "config/detect.yaml", "config/detect.rviz", "config/fastdds_large_images.xml"],
)
def test_files_are_installed(name):
    assert (share_folder() / name).is_file()


def test_photos_and_models_are_installed():
    assert len(list((share_folder() / "photos").glob("*.jpg"))) >= 3
    assert len(list((share_folder() / "engines").glob("*.onnx"))) >= 1


def test_a_model_is_found_by_name_or_path(tmp_path):
    shipped = model_card_path("ssd_mobilenet_v2_oidv4")
    assert shipped == share_folder() / "config" / "models" / "ssd_mobilenet_v2_oidv4.yaml"
    mine = tmp_path / "mine.yaml"
    mine.touch()
    assert model_card_path(str(mine)) == mine


def test_a_network_is_not_taken_for_its_card():
    network = next((share_folder() / "engines").glob("*.onnx"))
    with pytest.raises(ValueError, match=rf"found the ONNX file {network}, expected a model card: import_model"):
        model_card_path(str(network))


@pytest.mark.parametrize("name", ["nothing", "", "/no/such.yaml", "ssd_mobilenet_v2_oidv4.yaml"])
def test_a_model_that_is_not_there_is_refused_with_those_that_are(name):
    with pytest.raises(ValueError, match=r"one of: .*ssd_mobilenet_v2_oidv4"):
        model_card_path(name)


def test_the_source_tree_will_do_without_an_installation(monkeypatch, repository):
    monkeypatch.setenv("AMENT_PREFIX_PATH", "/no/such:")
    assert share_folder() == repository


def test_an_installation_goes_before_the_source_tree(monkeypatch, tmp_path):
    installed = tmp_path / "share" / "trt_ssd_ros"
    (installed / "config" / "models").mkdir(parents=True)
    monkeypatch.setenv("AMENT_PREFIX_PATH", f"/no/such:{tmp_path}")
    assert share_folder() == installed


def test_photos_are_pictures():
    assert {photo.shape[2] for photo in sample_photos()} == {3}


def test_no_shipped_class_is_called_unused():
    folder = share_folder() / "config"
    texts = {path: path.read_text() for path in (*folder.glob("models/*.yaml"), *folder.glob("labels/*.txt"))}
    assert len(texts) >= 5
    assert [path.name for path, text in texts.items() if "unused" in text] == []
