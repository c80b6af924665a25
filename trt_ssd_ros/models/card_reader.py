"""Read a model card's YAML, which is not trusted, into dataclasses; errors name the field."""

from __future__ import annotations

import math
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import onnx
import yaml
from google.protobuf.message import Message  # type: ignore[import-untyped]
from onnx import TensorProto

from trt_ssd_ros.errors import one_line

MAX_CARD_SIZE = 1 << 20
"""Bytes that a card may have."""


class ModelCardError(ValueError):
    """A model card is wrong or does not fit its ONNX: names the field, what was found and what was expected."""

    def __init__(self, field: str, found: object, expected: str) -> None:
        self.field, self.found, self.expected = field, found, expected
        super().__init__(f"{field}: found {found}, expected {expected}")


@dataclass(frozen=True)
class Union:
    """A type that stands for several dataclasses, and the entry of the YAML mapping whose text tells which.

    Attributes:
        kind: The type as fields are annotated with it, with or without None.
        tag: The entry's name.
        members: Dataclass by the entry's text.
        keeps_tag: Whether the entry is a field of the dataclass as well.
    """

    kind: Any
    tag: str
    members: Mapping[str, type]
    keeps_tag: bool = True


def require(condition: bool, field: str, found: object, expected: str) -> None:
    """Raise a ModelCardError unless a condition holds."""
    if not condition:
        raise ModelCardError(field, found, expected)


def read_yaml(path: Path) -> object:
    """Parse a YAML file. PyYAML lets errors of int(), date() and deep nesting through besides its own."""
    try:
        return yaml.load(read_file(path, MAX_CARD_SIZE).decode("utf-8"), PlainLoader)  # noqa: S506 - is safe
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ModelCardError("the card", f"no YAML ({one_line(error)})", "a YAML mapping") from error


def read(kind: Any, value: object, unions: Sequence[Union], field: str = "") -> Any:
    """Turn a YAML value into the type that a dataclass field is annotated with.

    Raises:
        ModelCardError: A field is missing, unknown, of the wrong type, or not one of its choices.
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
    require(union.tag in mapping or not union.keeps_tag, f"{field}.{union.tag}", "nothing", "this field")
    require(name in list(union.members), f"{field}.{union.tag}", repr(name), expected)
    if not union.keeps_tag:
        del mapping[union.tag]
    return _read_dataclass(union.members[str(name)], mapping, unions, field)


def _read_dataclass(kind: Any, value: object, unions: Sequence[Union], field: str) -> Any:
    require(isinstance(value, dict), field or "the card", type(value).__name__, "a mapping")
    assert isinstance(value, dict)
    types_by_name = get_type_hints(kind)
    prefix = f"{field}." if field else ""
    for name in value:
        require(name in types_by_name, f"{prefix}{name}", "an unknown field", " or ".join(types_by_name))
    for item in fields(kind):
        needed = item.default is MISSING and item.default_factory is MISSING
        require(item.name in value or not needed, f"{prefix}{item.name}", "nothing", "this field")
    values = {name: read(types_by_name[name], item, unions, prefix + name) for name, item in value.items()}
    try:
        return kind(**values)
    except ModelCardError as error:  # a dataclass names its fields as it knows them
        raise ModelCardError(prefix + error.field, error.found, error.expected) from error


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
        require(abs(value) < 2**1023, field, "a number beyond float", "a finite number")
        value = float(value)
    require(type(value) is kind, field, repr(value), {str: "text", int: "a whole number"}.get(kind, kind.__name__))
    require(not isinstance(value, float) or math.isfinite(value), field, value, "a finite number")
    return value


ELEMENTS_A_BYTE = 4
"""Most elements of a tensor that ONNX packs into a byte (2-bit integers)."""


class PlainLoader(yaml.SafeLoader):
    """Reads YAML without aliases: a few lines of them can stand for billions of values."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Compose the next node; see `yaml.composer.Composer`."""
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases are not read here")
        return super().compose_node(parent, index)


def read_file(path: Path, most: int) -> bytes:
    """Return the content of a regular file.

    Args:
        path: The file.
        most: Bytes that it may have.

    Raises:
        OSError: It cannot be read.
        ValueError: It is a device or a pipe, or larger.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise ValueError(f"{path} is no regular file")
    with path.open("rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise ValueError(f"{path} has more than {most} bytes")
    return content


def tensors_of(message: Message) -> Iterator[TensorProto]:
    """Yield every tensor in a network, those of nodes, subgraphs and functions included."""
    for field, value in message.ListFields():
        if field.type != field.TYPE_MESSAGE:
            continue
        for item in value if isinstance(value, (list, tuple)) or hasattr(value, "add") else [value]:
            if isinstance(item, TensorProto):
                yield item
            else:
                yield from tensors_of(item)


def check_contained(network: onnx.ModelProto) -> None:
    """Check that a network reads no other file, and that its tensors hold what they announce.

    Raises:
        ValueError: Names the tensor.
    """
    for tensor in tensors_of(network):
        if tensor.data_location == TensorProto.EXTERNAL or tensor.external_data:
            place = next((item.value for item in tensor.external_data if item.key == "location"), "another file")
            raise ValueError(f"tensor {tensor.name!r} with its data in {place!r}")
        if min(tensor.dims, default=1) < 0 or math.prod(tensor.dims) > ELEMENTS_A_BYTE * tensor.ByteSize():
            raise ValueError(f"tensor {tensor.name!r} of {list(tensor.dims)} in {tensor.ByteSize()} bytes")
