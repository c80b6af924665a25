"""Class names from every kind of file that models come with."""

from __future__ import annotations

import pytest

from trt_ssd_ros.tools.import_model.labels import read_labels

LABEL_MAP = """
item {
  name: "/m/01g317"
  id: 1
  display_name: "person"
}
item { id: 3 name: 'car' }
"""


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("cat\ndog\n", ["cat", "dog"]),
        ("  cat \n\n dog\r\n", ["cat", "dog"]),
        ("BACKGROUND\ncat", ["BACKGROUND", "cat"]),
        ("cat\n???\ncat\nN/A", ["cat", "", "cat 3", ""]),
        (LABEL_MAP, ["person", "", "car"]),
        ("item { id: 0 name: 'background' } item { id: 1 name: 'hand' }", ["background", "hand"]),
        ("Zürich", ["Zürich"]),
    ],
)
def test_names_are_read_and_all_different(tmp_path, text, names):
    path = tmp_path / "labels.txt"
    path.write_text(text, encoding="utf-8")
    assert read_labels(str(path)) == names


@pytest.mark.parametrize(
    ("name", "count", "named", "some"),
    [
        ("coco_90", 90, 80, {0: "person", 11: "", 17: "dog", 89: "toothbrush"}),
        ("coco_80", 80, 80, {0: "person", 16: "dog", 79: "toothbrush"}),
        ("voc_20", 20, 20, {0: "aeroplane", 14: "person", 19: "tvmonitor"}),
    ],
)
def test_sets_that_come_with_the_package(name, count, named, some):
    names = read_labels(name)
    assert len(names) == count
    assert len(set(names) - {""}) == len([text for text in names if text]) == named
    assert {index: names[index] for index in some} == some


@pytest.mark.parametrize("content", [b"", b"\n \n", b"item { }", b"\xff\xfe"])
def test_a_file_without_names_is_named(tmp_path, content):
    path = tmp_path / "labels.txt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"labels: .*labels\.txt"):
        read_labels(str(path))


def test_a_missing_file_is_named_with_the_sets_there_are():
    with pytest.raises(ValueError, match="give a text file or one of coco_80, coco_90, voc_20"):
        read_labels("nowhere.txt")
