"""Reader of YAML files into dataclasses; its errors name the field, what was found and what was expected."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import yaml

from trt_ssd_ros.errors import one_line
from trt_ssd_ros.files import read_file

MAX_SIZE = 1 << 20
"""Largest YAML file in bytes."""


class FieldError(ValueError):
    """Invalid field, or invalid file if `field` is empty; the message says what was found and expected."""

    def __init__(self, field: str, found: object, expected: str) -> None:
        self.field, self.found, self.expected = field, found, expected
        super().__init__(f"{field}{': ' if field else ''}found {found}, expected {expected}")


@dataclass(frozen=True)
class Union:
    """Union of dataclasses; one entry of the YAML mapping, the tag, selects the dataclass.

    Attributes:
        kind: Type in the annotation of fields, with or without None.
        tag: Name of the entry.
        members: Dataclass for each text of the entry.
        keeps_tag: Whether the entry is also a field of the dataclass.
    """

    kind: Any
    tag: str
    members: Mapping[str, type]
    keeps_tag: bool = True


def require(condition: bool, field: str, found: object, expected: str) -> None:
    """Raise FieldError unless a condition holds."""
    if not condition:
        raise FieldError(field, found, expected)


class PlainLoader(yaml.SafeLoader):
    """YAML loader that rejects aliases, because a few lines of aliases can expand to billions of values."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Compose the next node; see `yaml.composer.Composer`."""
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases are not supported")
        return super().compose_node(parent, index)


def read_yaml(path: Path) -> Any:
    """Parse a YAML file.

    Raises:
        FieldError: The file is not valid YAML, has aliases, is too large, or is not a regular file.
        OSError: The file cannot be read.
    """
    try:
        return yaml.load(read_file(path, MAX_SIZE).decode("utf-8"), PlainLoader)  # noqa: S506 - is safe
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # PyYAML lets errors of int() and date() through
        raise FieldError("", f"invalid YAML ({one_line(error)})", "a YAML mapping") from error


def read(kind: Any, value: object, unions: Sequence[Union], field: str = "") -> Any:
    """Convert a YAML value to the annotated type of a dataclass field.

    Raises:
        FieldError: A field is missing, unknown, of the wrong type, or not one of its choices.
    """
    for union in unions:
        if kind in (union.kind, union.kind | None):
            return _read_member(union, value, unions, field)
    if is_dataclass(kind):
        return _read_dataclass(kind, value, unions, field)
    origin = get_origin(kind)
    if origin is Literal:
        require(value in get_args(kind), field, repr(value), " or ".join(map(repr, get_args(kind))))
        return value
    if origin in (tuple, Sequence):
        return _read_sequence(get_args(kind), value, unions, field)
    return _read_scalar(kind, value, field)


def _read_member(union: Union, value: object, unions: Sequence[Union], field: str) -> Any:
    require(isinstance(value, dict) or not union.keeps_tag, field, type(value).__name__, "a mapping")
    mapping = dict(value) if isinstance(value, dict) else {}
    name = mapping.get(union.tag)
    expected = " or ".join(map(repr, union.members))
    require(union.tag in mapping or not union.keeps_tag, f"{field}.{union.tag}", "nothing", "a value")
    require(name in list(union.members), f"{field}.{union.tag}", repr(name), expected)
    if not union.keeps_tag:
        del mapping[union.tag]
    return _read_dataclass(union.members[str(name)], mapping, unions, field)


def _read_dataclass(kind: Any, value: object, unions: Sequence[Union], field: str) -> Any:
    require(isinstance(value, dict), field, type(value).__name__, "a mapping")
    assert isinstance(value, dict)
    types_by_name = get_type_hints(kind)
    prefix = f"{field}." if field else ""
    for name in value:
        require(name in types_by_name, f"{prefix}{name}", "an unknown field", " or ".join(types_by_name))
    for item in fields(kind):
        needed = item.default is MISSING and item.default_factory is MISSING
        require(item.name in value or not needed, f"{prefix}{item.name}", "nothing", "a value")
    values = {name: read(types_by_name[name], item, unions, prefix + name) for name, item in value.items()}
    try:
        return kind(**values)
    except FieldError as error:  # the dataclass does not know the path to its fields
        raise FieldError(prefix + error.field, error.found, error.expected) from error


def _read_sequence(kinds: tuple[Any, ...], value: object, unions: Sequence[Union], field: str) -> tuple[Any, ...]:
    require(isinstance(value, list), field, repr(value), "a list")
    assert isinstance(value, list)
    if len(kinds) > 1 and kinds[-1] is not Ellipsis:
        require(len(value) == len(kinds), field, f"{len(value)} values", f"{len(kinds)}")
    return tuple(read(kinds[0], item, unions, f"{field}[{index}]") for index, item in enumerate(value))


def _read_scalar(kind: type, value: object, field: str) -> object:
    if kind is Path:
        return Path(str(_read_scalar(str, value, field)))
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        require(abs(value) < 2**1023, field, "a number too large for a float", "a finite number")
        value = float(value)
    require(type(value) is kind, field, repr(value), {str: "text", int: "a whole number"}.get(kind, kind.__name__))
    require(not isinstance(value, float) or math.isfinite(value), field, value, "a finite number")
    return value
