"""Model cards: what is wrong is named, with what was found and what was expected."""

from __future__ import annotations

import copy
import hashlib
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import yaml

from trt_ssd_ros.models.card import DecodedBoxes, Family, FinalDetections, ModelCard, ModelCardError, RawHeads
from trt_ssd_ros.models.network import check_fit
from trt_ssd_ros.models.priors import (
    PRIOR_GENERATORS,
    DefaultBoxGenerator,
    MultiscaleAnchorGenerator,
    SsdAnchorGenerator,
)

MISSING = object()
NAN, INFINITY = float("nan"), float("inf")


@pytest.fixture(scope="module")
def document(card_path: Path) -> dict:
    """The shipped card as YAML holds it; not to be changed."""
    return yaml.safe_load(card_path.read_text(encoding="utf-8"))


def changed(document: dict, field: str, value: object) -> dict:
    """Return a copy of a card's document with one field, written with dots, set or taken away."""
    result = copy.deepcopy(document)
    *folders, name = field.split(".")
    place = result
    for folder in folders:
        place = place[folder]
    if value is MISSING:
        del place[name]
    else:
        place[name] = value
    return result


def load(folder: Path, document: object) -> ModelCard:
    """Load a card from a document, or from its text."""
    path = folder / "card.yaml"
    text = document if isinstance(document, str) else yaml.safe_dump(document)
    path.write_text(text, encoding="utf-8")
    return ModelCard.load(path)


def error_of(folder: Path, document: object) -> ModelCardError:
    with pytest.raises(ModelCardError) as caught:
        load(folder, document)
    assert str(folder / "card.yaml") in str(caught.value), "the message does not name the file"
    assert "\n" not in str(caught.value)
    return caught.value


# What is right.


@pytest.mark.parametrize(
    ("name", "columns", "classes", "resize", "some"),
    [
        ("ssd_mobilenet_v2_oidv4", 23, 23, "half_pixel", {0: "Bicycle", 3: "Person", 22: "Car"}),
        ("ssdlite_mobilenet_v2_coco", 90, 80, "asymmetric", {1: "person", 13: "stop sign", 90: "toothbrush"}),
    ],
)
def test_shipped_cards_say_what_their_provenance_says(repository, name, columns, classes, resize, some):
    card = ModelCard.load(repository / "config" / "models" / f"{name}.yaml")
    assert (card.name, card.licence, len(card.labels), len(card.classes)) == (name, "Apache-2.0", columns, classes)
    assert {number: card.classes[number] for number in some} == some
    assert card.input.resize == resize
    assert (card.input.tensor, card.input.layout) == ("normalized_input_image_tensor", "NHWC")
    assert (card.input.height, card.input.width, card.input.channel_order) == (300, 300, "rgb")
    np.testing.assert_allclose([(p - 127.5) * card.input.scale[0] for p in (0, 255)], [-1, 1])
    assert (card.outputs.box_order, card.outputs.box_scales) == ("yxhw", (10, 10, 5, 5))
    assert (card.outputs.score_conversion, card.outputs.background) == ("sigmoid", "first")
    assert (card.defaults.score_threshold, card.defaults.iou_threshold) == (0.3, 0.6)


def test_the_shipped_card_fits_the_shipped_network(card, network):
    """load_network, behind `network`, has compared the hash."""
    assert card.onnx.path.is_absolute()
    assert hashlib.sha256(card.onnx.path.read_bytes()).hexdigest() == card.onnx.sha256
    check_fit(network, card)


def test_every_card_in_config_loads(repository):
    paths = sorted((repository / "config" / "models").glob("*.yaml"))
    assert paths
    for path in paths:
        assert ModelCard.load(path).name == path.stem


def test_the_onnx_path_is_relative_to_the_card(tmp_path, document):
    folder = tmp_path / "cards"
    folder.mkdir()
    card = load(folder, changed(document, "onnx.path", "../nets/a.onnx"))
    assert card.onnx.path == (tmp_path / "nets" / "a.onnx").resolve()


def test_optional_fields_have_their_documented_defaults(tmp_path, document):
    for field in ("input.resize", "defaults.candidates", "defaults.max_detections", "priors.min_scale"):
        document = changed(document, field, MISSING)
    card = load(tmp_path, document)
    assert card.input.resize == "half_pixel"
    assert (card.defaults.candidates, card.defaults.max_detections) == (400, 100)
    assert card.priors == SsdAnchorGenerator((19, 10, 5, 3, 2, 1))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("input.layout", "NCHW"),
        ("input.channel_order", "bgr"),
        ("input.resize", "align_corners"),
        ("input.resize", "asymmetric"),
        ("input.mean", [0, 1, 2]),  # whole numbers are numbers
        ("input.scale", [-1.0, 1, 1]),
        ("outputs.box_order", "xywh"),
        ("outputs.score_conversion", "softmax"),
        ("outputs.score_conversion", "none"),
        ("outputs.background", "last"),
        ("outputs.background", "none"),
        ("labels", ["one"]),
        ("defaults.score_threshold", 0),
        ("defaults.score_threshold", 1),
        ("defaults.iou_threshold", 0.0),
        ("defaults.iou_threshold", 1.0),
        ("defaults.candidates", 100),
        ("defaults.candidates", 3840),
        ("defaults.max_detections", 1),
        ("defaults.max_detections", 400),
    ],
)
def test_every_documented_choice_and_both_ends_of_every_range_load(tmp_path, document, field, value):
    card = load(tmp_path, changed(document, field, value))
    section, _, name = field.partition(".")
    read = getattr(getattr(card, section), name) if name else getattr(card, section)
    assert read == (tuple(value) if isinstance(value, list) else value)


def test_the_other_prior_generator_loads(tmp_path, document):
    priors = {"generator": "multiscale_anchor_generator", "max_level": 6, "aspect_ratios": [1]}
    card = load(tmp_path, changed(document, "priors", priors))
    assert card.priors == MultiscaleAnchorGenerator(max_level=6, aspect_ratios=(1.0,))


# What is wrong.

REQUIRED = [
    *("name", "family", "licence", "source", "onnx", "input", "outputs", "priors", "labels", "defaults"),
    *("onnx.path", "onnx.sha256"),
    *("input.tensor", "input.layout", "input.height", "input.width"),
    *("input.channel_order", "input.mean", "input.scale"),
    *("outputs.kind", "outputs.boxes", "outputs.scores", "outputs.box_order"),
    *("outputs.box_scales", "outputs.score_conversion", "outputs.background"),
    *("priors.feature_maps", "defaults.score_threshold", "defaults.iou_threshold"),
]


@pytest.mark.parametrize("field", REQUIRED)
def test_a_missing_field_is_named(tmp_path, document, field):
    error = error_of(tmp_path, changed(document, field, MISSING))
    assert error.field == field
    assert f"{field}: found nothing, expected a value" in str(error)


@pytest.mark.parametrize(
    "field",
    ["nonsense", "onnx.url", "input.dtype", "outputs.count", "priors.steps", "defaults.nms", "name2"],
)
def test_an_unknown_field_is_named_with_the_known_ones(tmp_path, document, field):
    error = error_of(tmp_path, changed(document, field, 1))
    assert error.field == field
    assert f"{field}: found an unknown field, expected " in str(error)
    assert " or " in str(error)


@pytest.mark.parametrize(
    ("field", "value", "found", "expected"),
    [
        # of the wrong type
        ("name", 3, "3", "text"),
        ("name", None, "None", "text"),
        ("licence", ["MIT"], "['MIT']", "text"),
        ("onnx", "model.onnx", "str", "a mapping"),
        ("onnx.path", 7, "7", "text"),
        ("onnx.sha256", 784, "784", "text"),
        ("input", None, "NoneType", "a mapping"),
        ("input", [1], "list", "a mapping"),
        ("input.height", 300.0, "300.0", "a whole number"),
        ("input.height", "300", "'300'", "a whole number"),
        ("input.width", True, "True", "a whole number"),
        ("input.mean", 127.5, "127.5", "a list"),
        ("input.mean[1]", "127.5", "'127.5'", "float"),
        ("input.mean[2]", True, "True", "float"),
        ("input.scale[0]", None, "None", "float"),
        ("labels", "Cat", "'Cat'", "a list"),
        ("labels[1]", 5, "5", "text"),
        ("labels[2]", False, "False", "text"),  # what YAML makes of `no`
        ("defaults.score_threshold", "0.3", "'0.3'", "float"),
        ("defaults.candidates", 400.0, "400.0", "a whole number"),
        ("priors.reduce_lowest", "yes please", "'yes please'", "bool"),
        ("priors.feature_maps", 19, "19", "a list"),
        ("priors.feature_maps[0]", 19.5, "19.5", "a whole number"),
        # none of the choices
        ("family", "yolo", "'yolo'", " or ".join(map(repr, get_args(Family)))),
        ("input.layout", "nhwc", "'nhwc'", "'NHWC' or 'NCHW'"),
        ("input.layout", ["NHWC"], "['NHWC']", "'NHWC' or 'NCHW'"),
        ("input.channel_order", "rbg", "'rbg'", "'rgb' or 'bgr'"),
        ("input.resize", "cubic", "'cubic'", "'half_pixel' or 'align_corners' or 'asymmetric'"),
        ("outputs.kind", "decoded", "'decoded'", "'raw_heads' or 'decoded_boxes' or 'detections'"),
        ("outputs.box_order", "xyxy", "'xyxy'", "'yxhw' or 'xywh'"),
        ("outputs.score_conversion", None, "None", "'sigmoid' or 'softmax' or 'none'"),
        ("outputs.background", 0, "0", "'first' or 'last' or 'none'"),
        # of the wrong length
        ("input.mean", [1.0, 2.0], "2 values", "3"),
        ("input.scale", [1.0] * 4, "4 values", "3"),
        ("outputs.box_scales", [10.0] * 3, "3 values", "4"),
        ("outputs.box_scales", [], "0 values", "4"),
        # out of range
        ("input.height", 0, "300x0", "a size above 0"),
        ("input.width", -1, "-1x300", "a size above 0"),
        ("input.scale", [1.0, 0.0, 1.0], "(1.0, 0.0, 1.0)", "numbers other than 0"),
        ("outputs.box_scales", [10, 10, 0, 5], "(10.0, 10.0, 0.0, 5.0)", "numbers above 0"),
        ("outputs.box_scales", [10, -10, 5, 5], "(10.0, -10.0, 5.0, 5.0)", "numbers above 0"),
        ("labels", [], "none", "one name per class"),
        ("labels", ["a", "b", "a"], "a name twice", "different names"),
        ("defaults.score_threshold", -0.01, "-0.01", "0 to 1"),
        ("defaults.score_threshold", 1.01, "1.01", "0 to 1"),
        ("defaults.iou_threshold", 60, "60.0", "0 to 1"),
        ("defaults.candidates", 0, "0", "1 to 3840"),
        ("defaults.candidates", 3841, "3841", "1 to 3840"),
        ("defaults.max_detections", 0, "0", "1 to 400 (candidates)"),
        ("defaults.max_detections", 401, "401", "1 to 400 (candidates)"),
        # no number
        ("input.mean[0]", NAN, "nan", "a finite number"),
        ("input.scale[2]", INFINITY, "inf", "a finite number"),
        ("outputs.box_scales[3]", NAN, "nan", "a finite number"),
        ("priors.min_scale", NAN, "nan", "a finite number"),
        ("priors.aspect_ratios[4]", -INFINITY, "-inf", "a finite number"),
        ("defaults.score_threshold", NAN, "nan", "a finite number"),
        ("defaults.iou_threshold", INFINITY, "inf", "a finite number"),
    ],
)
def test_a_wrong_field_is_named_with_what_was_found_and_expected(
    tmp_path, document, field, value, found, expected
):
    place, _, index = field.rstrip("]").partition("[")
    if index:
        section, _, name = place.partition(".")
        items = document[section][name] if name else document[section]
        value = [*items[: int(index)], value, *items[int(index) + 1 :]]
    error = error_of(tmp_path, changed(document, place, value))
    assert str(error).endswith(f": {error.field}: found {found}, expected {expected}")
    assert error.field == field or (field.startswith(error.field) and error.field == "input")


@pytest.mark.parametrize(
    ("priors", "found"),
    [
        (None, "None"),
        ([], "None"),
        ({}, "None"),
        ({"generator": "yolo"}, "'yolo'"),
        ({"generator": ["ssd_anchor_generator"]}, "['ssd_anchor_generator']"),
        ({"generator": {}}, "{}"),
    ],
)
def test_an_unknown_prior_generator_is_named_with_the_known_ones(tmp_path, document, priors, found):
    error = error_of(tmp_path, changed(document, "priors", priors))
    assert error.field == "priors.generator"
    assert f"found {found}, expected 'ssd_anchor_generator' or 'multiscale_anchor_generator' or " in str(error)


SSD = {"generator": "ssd_anchor_generator", "feature_maps": [19, 10]}
FPN = {"generator": "multiscale_anchor_generator"}
BOX = {"generator": "default_box_generator", "feature_maps": [[2, 3]], "scales": [0.1, 0.2]}
BOX["aspect_ratios"] = [[2]]


@pytest.mark.parametrize(
    ("priors", "field"),
    [
        ({**SSD, "feature_maps": []}, "priors.feature_maps"),
        ({**SSD, "feature_maps": [19, 0]}, "priors.feature_maps"),
        ({**SSD, "feature_maps": [-1, 1]}, "priors.feature_maps"),
        ({**SSD, "min_scale": 0}, "priors.min_scale"),
        ({**SSD, "min_scale": -0.2}, "priors.min_scale"),
        ({**SSD, "max_scale": 0}, "priors.max_scale"),
        ({**SSD, "aspect_ratios": []}, "priors.aspect_ratios"),
        ({**SSD, "aspect_ratios": [1, 0]}, "priors.aspect_ratios"),
        ({**SSD, "aspect_ratios": [1, -2]}, "priors.aspect_ratios"),
        ({**SSD, "interpolated_ratio": -1}, "priors.interpolated_ratio"),
        ({**SSD, "interpolated": "first"}, "priors.interpolated"),
        ({**BOX, "feature_maps": []}, "priors.feature_maps"),
        ({**BOX, "feature_maps": [2]}, "priors.feature_maps[0]"),
        ({**BOX, "feature_maps": [[2, 0]]}, "priors.feature_maps"),
        ({**BOX, "scales": [0.1]}, "priors.scales"),
        ({**BOX, "scales": [0.1, -0.2]}, "priors.scales"),
        ({**BOX, "aspect_ratios": [[2], [2]]}, "priors.aspect_ratios"),
        ({**BOX, "aspect_ratios": [[0]]}, "priors.aspect_ratios"),
        ({**BOX, "aspect_ratios": [2]}, "priors.aspect_ratios[0]"),
        ({**BOX, "steps": [8, 16]}, "priors.steps"),
        ({**BOX, "steps": [0]}, "priors.steps"),
        ({**BOX, "scale_of": "width"}, "priors.scale_of"),
        ({**FPN, "min_level": 8}, "priors.max_level"),
        ({**FPN, "min_level": -1}, "priors.min_level"),
        ({**FPN, "anchor_scale": 0}, "priors.anchor_scale"),
        ({**FPN, "aspect_ratios": []}, "priors.aspect_ratios"),
        ({**FPN, "aspect_ratios": [0]}, "priors.aspect_ratios"),
        ({**FPN, "scales_per_octave": 0}, "priors.scales_per_octave"),
        ({**SSD, "feature_maps": [10**9]}, "priors.feature_maps"),
        ({**SSD, "aspect_ratios": [1.0] * 65}, "priors.aspect_ratios"),
        ({**FPN, "max_level": 14}, "priors.max_level"),
        ({**FPN, "scales_per_octave": 10**9}, "priors.scales_per_octave"),
    ],
)
def test_prior_numbers_out_of_range_are_named(tmp_path, document, priors, field):
    assert error_of(tmp_path, changed(document, "priors", priors)).field == field


def test_default_boxes_load(tmp_path, document):
    card = load(tmp_path, changed(document, "priors", BOX))
    assert card.priors == DefaultBoxGenerator(((2, 3),), (0.1, 0.2), ((2.0,),))
    assert len(card.prior_boxes()) == 24


DECODED = {
    "kind": "decoded_boxes",
    "boxes": "boxes",
    "scores": "scores",
    "box_order": "xyxy",
    "score_conversion": "none",
    "background": "first",
}
ROWS = {"kind": "detections", "rows": "NMS", "background": "first"}


@pytest.mark.parametrize("outputs", [DECODED, ROWS])
def test_other_kinds_of_outputs_need_no_priors_and_have_normalised_boxes(tmp_path, document, outputs):
    card = load(tmp_path, changed(changed(document, "outputs", outputs), "priors", MISSING))
    assert (card.outputs.kind, card.outputs.box_scales, card.priors) == (outputs["kind"], (1, 1, 1, 1), None)


@pytest.mark.parametrize(
    ("outputs", "field"),
    [
        ({**DECODED, "box_order": "yxhw"}, "outputs.box_order"),
        ({**DECODED, "box_scales": [1, 1, 0, 1]}, "outputs.box_scales"),
        ({**DECODED, "scores": MISSING}, "outputs.scores"),
        ({**DECODED, "rows": "NMS"}, "outputs.rows"),
        ({**ROWS, "background": "last"}, "outputs.background"),
        ({**ROWS, "boxes": "boxes"}, "outputs.boxes"),
        ({**ROWS, "rows": 7}, "outputs.rows"),
        ({"kind": "detections"}, "outputs.rows"),
        (ROWS, "priors"),  # which the shipped card has
    ],
)
def test_fields_of_another_kind_of_outputs_are_named(tmp_path, document, outputs, field):
    outputs = {name: value for name, value in outputs.items() if value is not MISSING}
    assert error_of(tmp_path, changed(document, "outputs", outputs)).field == field


def test_a_number_too_large_for_a_float_is_named(tmp_path, document):
    error = error_of(tmp_path, changed(document, "input.mean", [10**400, 0, 0]))
    assert error.field == "input.mean[0]"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "- a list",
        "text",
        "name: [1, 2",
        "\tname: tab",
        "name: 'open",
        "? [1]\n: 2",
        "a: 1\n---\nb: 2",
        "name: !!python/object:os.system {}",
        "source: 2020-13-45",  # looks like a date, and is none
        "name: " + "1" * 5000,
        "[" * 5000,
    ],
    ids=lambda text: repr(text[:20]),
)
def test_what_is_no_card_at_all_is_a_card_error(tmp_path, text):
    error_of(tmp_path, text)


def test_aliases_cannot_make_a_card_swell(tmp_path):
    bomb = ["a0: &a0 [x, x]", *(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 40)), "labels: *a39"]
    assert "aliases are not supported" in str(error_of(tmp_path, "\n".join(bomb)))


def test_a_card_is_a_small_file(tmp_path, document):
    assert "more than" in str(error_of(tmp_path, yaml.safe_dump(document) + "#" * 2**20))
    with pytest.raises(ModelCardError, match="/dev/zero is not a regular file"):
        ModelCard.load(Path("/dev/zero"))


def test_an_input_larger_than_any_network_s_is_named(tmp_path, document):
    assert error_of(tmp_path, changed(document, "input.width", 8193)).field == "input"


def test_more_priors_than_any_network_has_are_refused():
    with pytest.raises(ValueError, match="found 67108864 boxes on one feature map, expected at most 1000000"):
        SsdAnchorGenerator([8192], aspect_ratios=(1.0,), interpolated_ratio=0.0, reduce_lowest=False).priors(9, 9)


def test_bytes_that_are_no_text_are_a_card_error(tmp_path):
    path = tmp_path / "card.yaml"
    path.write_bytes(b"name: \xff\xfe")
    with pytest.raises(ModelCardError, match="expected a YAML mapping"):
        ModelCard.load(path)


def test_a_card_that_is_not_there_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        ModelCard.load(tmp_path / "none.yaml")


def test_the_template_is_a_card(repository):
    """It has every field there is, so that it documents them all."""
    path = repository / "config" / "card_template.yaml"
    card = ModelCard.load(path)
    assert card.onnx.path.name == "my_ssd.onnx"
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    for section in ("input", "outputs", "priors", "defaults"):
        assert set(vars(getattr(card, section))) <= {*document[section], "generator"}


def test_every_field_of_the_template_is_in_the_models_page(repository):
    page = (repository / "docs" / "models.md").read_text(encoding="utf-8")
    for kind in ("raw_heads", "decoded_boxes", "detections", *PRIOR_GENERATORS):
        assert f"`{kind}`" in page
    for outputs in (RawHeads, DecodedBoxes, FinalDetections, *PRIOR_GENERATORS.values()):
        for name in outputs.__dataclass_fields__:
            assert f"`{name}`" in page or name == "kind", name
