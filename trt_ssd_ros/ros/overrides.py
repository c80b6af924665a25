"""Parameter overrides of a command line: where each one stands, and which of them a node does not know."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml

OTHERS = re.compile(r"(qos_overrides|diagnostic_updater)\.|(use_sim_time|start_type_description_service)$")
"""Parameters that rclpy and diagnostic_updater declare, some of them later than the node's own."""
NEAR = 0.7
"""Similarity of two names from which on one may be the other, misspelt."""
PARAMETERS = "ros__parameters"


@dataclass(frozen=True)
class Override:
    """Value for a parameter, given at the start of the process.

    Attributes:
        name: Name of the parameter.
        node: Node name or pattern that it is given for, e.g. `/detector`, `/**`; empty: every node of the process.
        place: Place where it is given, for messages.
    """

    name: str
    node: str
    place: str

    def is_for(self, node: str) -> bool:
        """Return whether a node of this full name gets the value."""
        # As in rcl_yaml_param_parser, src/parser.c: /** is any number of names, /* is one.
        pattern = re.escape(self.node).replace(r"/\*\*", r"(/\w+)*").replace(r"/\*", r"(/\w+)")
        return not self.node or re.fullmatch(pattern, node) is not None

    def names(self, node: str) -> bool:
        """Return whether it is for this node by its name, perhaps in any namespace, or for this process."""
        return not self.node or self.node.rpartition("/")[2] == node.rpartition("/")[2]


def overrides(arguments: Sequence[str]) -> Iterator[Override]:
    """Yield the parameter overrides of a command line.

    Raises:
        OSError: A parameter file cannot be read.
    """
    ours = False
    for argument, value in zip(arguments, [*arguments[1:], ""], strict=True):
        ours = argument == "--ros-args" or (ours and argument != "--")
        if ours and argument in ("-p", "--param"):
            node, _, name = value.partition(":=")[0].rpartition(":")
            yield Override(name, _absolute(node), f"-p {value}")
        elif ours and argument == "--params-file":
            # BaseLoader, because only the names are of interest: it takes every tag and keeps `on` a name.
            document = yaml.load(Path(value).read_text(encoding="utf-8"), yaml.BaseLoader)  # noqa: S506
            yield from _of_file(document, "", value)


def _absolute(node: str) -> str:
    return node if not node or node.startswith("/") else f"/{node}"


def _of_file(document: Any, node: str, path: str) -> Iterator[Override]:
    """Yield the overrides of a part of a parameter file, in which namespaces may be nested."""
    for key, value in document.items() if isinstance(document, dict) else ():
        if key == PARAMETERS:
            yield from (Override(name, node, f"{node} in {path}") for name in _leaves(value))
        else:
            yield from _of_file(value, f"{node.rstrip('/')}{_absolute(key)}", path)


def _leaves(parameters: Any, prefix: str = "") -> Iterator[str]:
    """Yield the names of the parameters in nested mappings, with dots between the levels."""
    for key, value in parameters.items() if isinstance(parameters, dict) else ():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"


def near_names(name: str, known: Collection[str]) -> str:
    """Return a question with the known names that are similar to `name`; empty if there is none."""
    near = get_close_matches(name, known, cutoff=NEAR)
    return f"did you mean {' or '.join(near)}?" if near else ""


def unknown(
    arguments: Sequence[str], node: str, declared: Collection[str], known: Collection[str]
) -> tuple[list[str], list[str]]:
    """Return the errors and the warnings about overrides of parameters that a node does not have.

    A name under the node's full name is an error. Under a pattern that ends in the node's name, or without a
    node's name, it is an error only if it is similar to a parameter of ours, else a warning: a file may hold
    parameters of several camera drivers under one name, and SetParameter in a launch file gives a value to each
    process. Under another pattern, a similar name is a warning; any other name belongs to another node.

    Args:
        arguments: Command line.
        node: Full name of the node.
        declared: Names of all parameters that the node has.
        known: Names of the parameters that may be suggested.
    """
    errors, warnings = [], []
    for override in dict.fromkeys(overrides(arguments)):
        if override.name in declared or OTHERS.match(override.name) or not override.is_for(node):
            continue
        near = near_names(override.name, known)
        text = f"{override.name} is no parameter of {node} ({override.place})" + (f": {near}" if near else "")
        if override.node == node or (near and override.names(node)):
            errors.append(text)
        elif near or override.names(node):
            warnings.append(text)
    return errors, warnings
