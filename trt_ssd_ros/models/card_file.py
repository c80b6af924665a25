"""Text of a model card in YAML."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import yaml

from trt_ssd_ros.models.priors import PRIOR_GENERATORS, PriorGenerator

OMITTED = ("interpolated", "last")
"""Field and default of a generator; cards omit it."""


class _CardDumper(yaml.SafeDumper):
    """Dumper that writes lists of names one name a line, other lists on one line."""


def _list(dumper: yaml.SafeDumper, items: list[Any]) -> yaml.Node:
    return dumper.represent_sequence("tag:yaml.org,2002:seq", items, flow_style=not isinstance(items[0], str))


_CardDumper.add_representer(list, _list)


def card_text(document: Mapping[str, Any]) -> str:
    """Return a card as YAML with empty lines between its sections."""
    parts = []
    for name, value in document.items():
        text = yaml.dump({name: value}, Dumper=_CardDumper, sort_keys=False, allow_unicode=True, width=110)
        parts.append(text if not isinstance(value, (dict, list)) or name == "onnx" else f"\n{text}")
    return "".join(parts)


def generator_document(generator: PriorGenerator) -> dict[str, Any]:
    """Return the section of a card on a prior generator, without empty lists and `interpolated: last`."""
    names = {kind: name for name, kind in PRIOR_GENERATORS.items()}
    fields = _lists(asdict(generator))
    stated = {name: value for name, value in fields.items() if value != [] and (name, value) != OMITTED}
    return {"generator": names[type(generator)], **stated}


def _lists(value: Any) -> Any:
    """Return nested tuples as lists, as YAML has no tuples."""
    if isinstance(value, dict):
        return {name: _lists(item) for name, item in value.items()}
    return [_lists(item) for item in value] if isinstance(value, (list, tuple)) else value
