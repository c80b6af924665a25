"""Annotations in every format: what is right is read alike, what is wrong is named."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from annotated_images import TRUTH, write_coco, write_images, write_kitti, write_voc, write_yolo

from trt_ssd_ros.tools.evaluate.annotation_files import read_annotations
from trt_ssd_ros.tools.evaluate.annotations import AnnotationError

WRITERS = {"COCO": write_coco, "Pascal VOC": write_voc, "YOLO": write_yolo, "KITTI": write_kitti}


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return write_images(tmp_path / "images")


def labels_path(tmp_path: Path, kind: str) -> Path:
    return tmp_path / ("instances.json" if kind == "COCO" else "labels")


@pytest.mark.parametrize("kind", WRITERS)
def test_all_formats_say_the_same(tmp_path, images, kind):
    read = read_annotations(WRITERS[kind](labels_path(tmp_path, kind)), images)
    assert read.kind == kind
    assert sorted(read.labels) == ["Cat", "Dog"]
    assert [image.name for image in read.images] == list(TRUTH)
    for image in read.images:
        assert [box.label for box in image.boxes] == [label for label, _ in TRUTH[image.name]]
        np.testing.assert_allclose(image.corners(100, 100), [box for _, box in TRUTH[image.name]], atol=1e-4)
        assert not any(box.ignored for box in image.boxes)


def test_what_each_format_ignores(tmp_path, images):
    coco = read_annotations(write_coco(tmp_path / "x.json", ignored=[2]), images)
    voc = read_annotations(write_voc(tmp_path / "voc", difficult=[2]), images)
    kitti = write_kitti(tmp_path / "kitti")
    with (kitti / "b.txt").open("a") as file:
        file.write("DontCare -1 -1 -10 1 2 3 4 -1 -1 -1 -1000 -1000 -1000 -10\n")
    for read in (coco, voc):
        assert [box.ignored for image in read.images for box in image.boxes] == [False, False, True]
    read = read_annotations(kitti, images)
    assert [(box.label, box.ignored) for box in read.images[1].boxes] == [("Cat", False), ("", True)]
    assert read.labels == ("Cat", "Dog")


@pytest.mark.parametrize(("width", "size"), [(640, (640, 480)), (0, None), (None, None), ("x", None)])
def test_coco_and_voc_state_the_size_of_an_image(tmp_path, images, width, size):
    path = write_coco(tmp_path / "x.json")
    content = json.loads(path.read_text())
    content["images"][0] |= {"width": width, "height": 480}
    path.write_text(json.dumps(content))
    first, second = read_annotations(path, images).images
    assert (first.size, second.size) == (size, None)
    voc = write_voc(tmp_path / "voc")
    stated = f"<annotation><size><width>{width}</width><height>480</height></size>"
    (voc / "a.xml").write_text((voc / "a.xml").read_text().replace("<annotation>", stated))
    first, second = read_annotations(voc, images).images
    assert (first.size, second.size) == (size, None)


def test_an_image_without_a_yolo_file_is_empty_but_counts(tmp_path, images):
    (write_yolo(tmp_path / "labels") / "b.txt").unlink()
    read = read_annotations(tmp_path / "labels", images)
    assert [len(image.boxes) for image in read.images] == [2, 0]


@pytest.mark.parametrize("name", ["classes.txt", "obj.names"])
def test_yolo_names_may_be_a_list(tmp_path, images, name):
    folder = write_yolo(tmp_path / "labels")
    (tmp_path / "data.yaml").unlink()
    (folder / name).write_text("Dog\nCat\n")
    assert read_annotations(folder, images).labels == ("Dog", "Cat")


def change_coco(change: Callable[[dict], object]) -> Callable[[Path], Path]:
    def write(tmp_path):
        path = write_coco(tmp_path / "instances.json")
        fields = json.loads(path.read_text())
        change(fields)
        path.write_text(json.dumps(fields))
        return path

    return write


def replace_in(writer: Callable[[Path], Path], name: str, old: str, new: str) -> Callable[[Path], Path]:
    def write(tmp_path):
        folder = writer(tmp_path / "labels")
        path = folder / name
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))
        return folder

    return write


def whole_file(name: str, content: bytes) -> Callable[[Path], Path]:
    def write(tmp_path):
        path = tmp_path / "labels" / name
        path.parent.mkdir()
        path.write_bytes(content)
        return path.parent if name != "x.json" else path

    return write


def swelling_names(tmp_path: Path) -> Path:
    folder = write_yolo(tmp_path / "labels")
    (tmp_path / "data.yaml").write_text("a: &a [Dog, Cat]\nnames: *a\n")
    return folder


BOMB = b"""<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]>
<annotation><object><name>&b;</name></object></annotation>"""
WRONG = {
    "COCO, no JSON": (whole_file("x.json", b"{"), "x.json is no JSON"),
    "COCO, a list": (whole_file("x.json", b"[]"), "x.json holds a list, expected images"),
    "COCO, no images": (change_coco(lambda f: f.pop("images")), "'images' is missing"),
    "COCO, no box": (change_coco(lambda f: f["annotations"][1].pop("bbox")), "[1]: 'bbox' is missing"),
    "COCO, short box": (change_coco(lambda f: f["annotations"][1]["bbox"].pop()), "[1]: not enough values"),
    "COCO, box of text": (
        change_coco(lambda f: f["annotations"][1].update(bbox=["a", 1, 1, 1])), "[1]: could not convert",
    ),
    "COCO, negative box": (
        change_coco(lambda f: f["annotations"][0].update(bbox=[1, 1, -1, 1])), "[0]: found bbox [1, 1, -1, 1]",
    ),
    "COCO, nan": (change_coco(lambda f: f["annotations"][0].update(bbox=[1, 1, float("nan"), 1])), "found bbox"),
    "COCO, no such image": (
        change_coco(lambda f: f["annotations"][2].update(image_id=99)), "[2]: found image_id 99, expected the id",
    ),
    "COCO, no such category": (
        change_coco(lambda f: f["annotations"][2].update(category_id=99)), "[2]: found category_id 99",
    ),
    "COCO, an id that is a list": (
        change_coco(lambda f: f["annotations"][2].update(image_id=[7])), "[2]: unhashable type: 'list', expected",
    ),
    "COCO, empty": (change_coco(lambda f: f["annotations"].clear()), "2 images without a single object"),
    "COCO, no images listed": (
        change_coco(lambda f: (f["annotations"].clear(), f["images"].clear())), "found no annotated image",
    ),
    "COCO, missing image": (
        change_coco(lambda f: f["images"][1].update(file_name="z.png")),
        "1 of 2 annotated images are not in {images}, e.g. {images}/z.png: check --images",
    ),
    "VOC, cut short": (replace_in(write_voc, "a.xml", "</annotation>", ""), "a.xml is damaged or unsafe XML"),
    "VOC, entities": (whole_file("a.xml", BOMB), "a.xml is damaged or unsafe XML: EntitiesForbidden"),
    "VOC, something else": (whole_file("a.xml", b"<html/>"), "a.xml: found <html>, expected <annotation>"),
    "VOC, no name": (replace_in(write_voc, "a.xml", "<name>Dog</name>", ""), "a.xml: object 2: found no <name>"),
    "VOC, no corner": (replace_in(write_voc, "a.xml", "<xmax>50</xmax>", ""), "a.xml: object 1: found bndbox"),
    "VOC, turned round": (replace_in(write_voc, "a.xml", "<xmax>50", "<xmax>5"), "expected xmin <= xmax"),
    "VOC, missing image": (whole_file("z.xml", b"<annotation><object><name>Cat</name><bndbox><xmin>1</xmin><ymin>1"
        b"</ymin><xmax>9</xmax><ymax>9</ymax></bndbox></object></annotation>"), "e.g. {images}/z.jpg"),
    "YOLO, class": (replace_in(write_yolo, "b.txt", "1 0.2", "2 0.2"), "b.txt, line 1: found '2 0.2 0.2 0.4 0.4'"),
    "YOLO, words": (replace_in(write_yolo, "b.txt", "0.4 0.4", "0.4"), "expected a class and 4 numbers"),
    "YOLO, pixels": (replace_in(write_yolo, "b.txt", "0.4", "40"), "expected fractions of the image, 0 to 1"),
    "YOLO, nan": (replace_in(write_yolo, "b.txt", "0.4", "nan"), "expected fractions of the image, 0 to 1"),
    "YOLO, YAML that swells": (swelling_names, "data.yaml: aliases are not supported, expected names"),
    "YOLO, no names": (whole_file("a.txt", b"0 .5 .5 .5 .5"), "found no class names near"),
    "KITTI, words": (replace_in(write_kitti, "b.txt", " 9 0\n", "\n"), "b.txt, line 1: found 'Cat 0.0 0 -1.57"),
    "KITTI, text": (replace_in(write_kitti, "b.txt", "40 40", "40 x"), "expected a type and 14 numbers"),
    "KITTI, no text": (whole_file("a.txt", b"\xff\xfe\x00"), "a.txt is no UTF-8 text"),
    "nothing at all": (whole_file("readme.md", b""), "found neither XML nor text"),
}  # fmt: skip


@pytest.mark.parametrize(("write", "said"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_named(tmp_path, images, write, said):
    kind = "kitti" if write is WRONG["KITTI, words"][0] else "auto"
    with pytest.raises(AnnotationError) as error:
        read_annotations(write(tmp_path), images, kind)
    assert said.format(images=images) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_huge_file_is_not_read(tmp_path, images):
    path = write_voc(tmp_path / "labels") / "a.xml"
    with path.open("ab") as file:
        file.truncate(1 << 30)
    with pytest.raises(AnnotationError, match=r"a\.xml has more than 4194304 bytes: expected"):
        read_annotations(tmp_path / "labels", images)


def test_places_that_are_not_there(tmp_path, images):
    with pytest.raises(AnnotationError, match=r"--annotations: .*nothing does not exist"):
        read_annotations(tmp_path / "nothing", images)
    with pytest.raises(AnnotationError, match=r"--images: .*nowhere is no folder"):
        read_annotations(write_coco(tmp_path / "x.json"), tmp_path / "nowhere")
    with pytest.raises(AnnotationError, match="is a folder, expected a JSON file for --format coco"):
        read_annotations(write_voc(tmp_path / "voc"), images, "coco")
