"""What strangers wrote: files of bounded size, YAML that cannot swell, networks that carry what they announce."""

from __future__ import annotations

import math
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx
import yaml
from google.protobuf.message import Message  # type: ignore[import-untyped]
from onnx import TensorProto

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
