from __future__ import annotations

import json
import re
from dataclasses import asdict, fields, replace

import pytest

from trt_ssd_ros.engines.plan_builder import BuildOptions
from trt_ssd_ros.engines.plan_cache import PlanKey

KEY = PlanKey(
    model="ssd",
    graph="0" * 64,
    flavour="tensorrt",
    version="10.3.0",
    gpu="Orin",
    compute_capability="8.7",
    precision="fp16",
    options=asdict(BuildOptions()),
)
CHANGES = {
    "model": "other",
    "graph": "1" * 64,
    "flavour": "tensorrt_rtx",
    "version": "11.4.0",
    "gpu": "NVIDIA GeForce RTX 4090",
    "compute_capability": "8.9",
    "precision": "fp32",
    "options": {"batch": 2},
}
OTHER_OPTIONS = {
    "batch": 2,
    "max_image_side": 2048,
    "typical_image": (480, 640),
    "workspace_mib": 512,
    "optimization_level": 5,
    "dla_core": 0,
    "compute_capability": "8.6",
}


def as_read(key: PlanKey) -> dict:
    """The key as a sidecar gives it back."""
    return json.loads(json.dumps(key.as_json()))


def test_every_field_is_changed_by_the_tables_above():
    assert set(CHANGES) == {field.name for field in fields(PlanKey)}
    assert set(OTHER_OPTIONS) == {field.name for field in fields(BuildOptions)}


def test_equal_keys_have_one_stem():
    assert replace(KEY, options=asdict(BuildOptions())).stem == KEY.stem


@pytest.mark.parametrize("name", CHANGES)
def test_every_field_makes_another_stem(name):
    assert replace(KEY, **{name: CHANGES[name]}).stem != KEY.stem


@pytest.mark.parametrize("name", OTHER_OPTIONS)
def test_every_build_option_makes_another_stem_and_another_key(name):
    other = replace(KEY, options=asdict(replace(BuildOptions(), **{name: OTHER_OPTIONS[name]})))
    assert other.stem != KEY.stem
    assert len(KEY.differences(as_read(other))) == 1


def test_the_stem_begins_with_model_and_precision():
    assert re.fullmatch("ssd-fp16-[0-9a-f]{16}", KEY.stem)


@pytest.mark.parametrize(
    ("model", "shown"),
    [
        ("ssd_mobilenet_v2.1", "ssd_mobilenet_v2.1"),
        ("../../etc/passwd", ".._.._etc_passwd"),
        ("/absolute", "_absolute"),
        ("my model", "my_model"),
        ("a\\b:c*?[d]", "a_b_c___d_"),
        ("..", ".."),
        ("", ""),
        ("näme\n\0", "n_me__"),
    ],
)
def test_no_model_name_leaves_the_folder(model, shown):
    stem = replace(KEY, model=model).stem
    assert re.fullmatch(re.escape(shown) + "-fp16-[0-9a-f]{16}", stem)


def test_models_whose_names_look_alike_are_kept_apart():
    assert len({replace(KEY, model=model).stem for model in ("a/b", "a b", "a_b")}) == 3


def test_a_long_name_still_is_a_file_name():
    assert len(replace(KEY, model="x" * 300).stem) < 200


def test_a_key_read_from_a_sidecar_has_no_differences():
    assert KEY.differences(as_read(KEY)) == []


def test_what_only_the_sidecar_has_is_no_difference():
    assert KEY.differences(as_read(KEY) | {"stranger": 1}) == []


@pytest.mark.parametrize(
    ("other", "text"),
    [
        ({"version": "8.6"}, ["version was 8.6, is 10.3.0"]),
        (
            {"gpu": "Xavier", "compute_capability": "7.2"},
            ["gpu was Xavier, is Orin", "compute_capability was 7.2, is 8.7"],
        ),
        ({"version": 10}, ["version was 10, is 10.3.0"]),
    ],
)
def test_differences_say_what_was_and_what_is(other, text):
    assert KEY.differences(as_read(KEY) | other) == text


@pytest.mark.parametrize("name", CHANGES)
def test_a_field_that_the_sidecar_lacks_is_a_difference(name):
    other = {key: value for key, value in as_read(KEY).items() if key != name}
    assert KEY.differences(other) == [f"{name} was None, is {as_read(KEY)[name]}"]
