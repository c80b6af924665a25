"""One parameter: what is read as its type, what is refused and with which words."""

from __future__ import annotations

from array import array

import pytest
from rclpy.parameter import Parameter

from trt_ssd_ros.ros.parameters import Kind, ParameterSpec

pytestmark = pytest.mark.ros

SPECS = {
    "level": ParameterSpec("level", Kind.DOUBLE, 0.5, "A level", 0.0, 2.0),
    "count": ParameterSpec("count", Kind.INTEGER, 3, "A count", 1, 9),
    "on": ParameterSpec("on", Kind.BOOL, True, "A switch"),
    "colour": ParameterSpec("colour", Kind.STRING, "red", "A colour", choices=("red", "green")),
    "names": ParameterSpec("names", Kind.STRING_ARRAY, [], "Names"),
    "box": ParameterSpec("box", Kind.DOUBLE_ARRAY, [0.0, 1.0], "Numbers"),
}


@pytest.mark.parametrize(
    ("name", "value", "read"),
    [
        ("level", 0.25, 0.25),
        ("level", 1, 1.0),
        ("count", 9, 9),
        ("on", False, False),
        ("colour", "green", "green"),
        ("names", ["a", "b"], ["a", "b"]),
        ("names", [], []),
        ("names", None, []),
        ("names", "", []),
        ("names", "Coffee cup", ["Coffee cup"]),
        ("box", [0.5, 1.0], [0.5, 1.0]),
        ("box", array("d", [0.5, 1.0]), [0.5, 1.0]),
        ("box", array("q", [0, 1]), [0.0, 1.0]),
        ("box", "[0, 0.5]", [0.0, 0.5]),
    ],
)
def test_reads_what_can_only_mean_one_thing(name, value, read):
    adapted = SPECS[name].adapt(Parameter(name, value=value))
    assert (adapted.name, adapted.type_) == (name, SPECS[name].kind)
    assert adapted.value == read
    assert type(adapted.value) is type(read)


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("level", 2.5, "level: found 2.5, expected a number from 0 to 2"),
        ("level", float("nan"), "level: found nan, expected a number from 0 to 2"),
        ("level", 3, "level: found 3.0, expected a number from 0 to 2"),
        ("level", True, "level: found True, expected a number from 0 to 2"),
        ("level", "high", "level: found 'high', expected a number from 0 to 2"),
        ("level", None, "level: found nothing, expected a number from 0 to 2"),
        ("count", 0, "count: found 0, expected a whole number from 1 to 9"),
        ("count", 3.5, "count: found 3.5, expected a whole number from 1 to 9"),
        ("count", True, "count: found True, expected a whole number from 1 to 9"),
        ("on", 1, "on: found 1, expected true or false"),
        ("colour", "blue", "colour: found 'blue', expected one of red, green"),
        ("colour", ["red"], "colour: found ['red'], expected one of red, green"),
        ("names", [1, 2], "names: found [1, 2], expected a list of strings"),
        ("names", 7, "names: found 7, expected a list of strings"),
        ("box", "all of it", "box: found 'all of it', expected a list of numbers"),
        ("box", [True], "box: found [True], expected a list of numbers"),
        ("box", ["a"], "box: found ['a'], expected a list of numbers"),
        ("box", 1.0, "box: found 1.0, expected a list of numbers"),
    ],
)
def test_refuses_anything_else_with_what_was_found_and_expected(name, value, reason):
    with pytest.raises(ValueError, match="expected") as refusal:
        SPECS[name].adapt(Parameter(name, value=value))
    assert str(refusal.value) == reason


def test_tells_ros_what_it_knows():
    level, count, colour = (SPECS[name].descriptor() for name in ("level", "count", "colour"))
    assert [(item.from_value, item.to_value) for item in level.floating_point_range] == [(0.0, 2.0)]
    assert [(item.from_value, item.to_value, item.step) for item in count.integer_range] == [(1, 9, 1)]
    assert colour.additional_constraints == "one of red, green"
    assert (level.description, level.read_only) == ("A level", False)
    fixed = ParameterSpec("size", Kind.INTEGER, 1, "A size", fixed="it is built in").descriptor()
    assert (fixed.read_only, list(fixed.integer_range)) == (True, [])


def test_another_default_leaves_the_rest():
    changed = SPECS["count"].with_default(5, highest=6)
    assert (changed.default, changed.range, changed.description) == (5, "1 to 6", "A count")
    assert SPECS["count"].with_default(5).range == "1 to 9"
