"""Write a model card as people would."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml


class _CardDumper(yaml.SafeDumper):
    """Lists of names go one a line, lists of numbers on one line."""


def _list(dumper: yaml.SafeDumper, items: list[Any]) -> yaml.Node:
    return dumper.represent_sequence("tag:yaml.org,2002:seq", items, flow_style=not isinstance(items[0], str))


_CardDumper.add_representer(list, _list)


def card_text(document: Mapping[str, Any]) -> str:
    """Return a card as YAML, with an empty line between its sections."""
    parts = []
    for name, value in document.items():
        text = yaml.dump({name: value}, Dumper=_CardDumper, sort_keys=False, allow_unicode=True, width=110)
        parts.append(text if not isinstance(value, (dict, list)) or name == "onnx" else f"\n{text}")
    return "".join(parts)
