"""Names: the launch arguments that name the detector and its topics, and the nodes that params_file knows."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from posixpath import join

import yaml

from trt_ssd_ros.errors import one_line
from trt_ssd_ros.ros.overrides import overrides

OUTPUT_TOPICS = ("annotations", "debug_image", "detections", "label_info", "preview")
"""Topics of the detector that `remap` renames; debug_image/compressed and preview/compressed follow them."""

NAME_PART = r"(?!\w*__)[A-Za-z_][A-Za-z0-9_]*"
"""Part of a name; rcl's remapping rules take no repeated underscores (rcl, src/rcl/lexer.c)."""
TOPIC_NAME = rf"(~?/)?{NAME_PART}(/{NAME_PART})*"


def absolute_name(namespace: str, name: str) -> str:
    """Return the full name of a node or topic of a namespace; an absolute name stays as it is."""
    return join("/", namespace, name)


def file_sets(params_file: Path, node: str, parameter: str = "") -> bool:
    """Return whether a parameter file gives values to a node.

    Args:
        params_file: Path of the file.
        node: Full name of the node.
        parameter: Name of the only parameter of interest; empty: any parameter.

    Raises:
        ValueError: The file is not YAML.
    """
    try:
        found = list(overrides(("--ros-args", "--params-file", str(params_file))))
    except yaml.YAMLError as error:
        raise ValueError(f"params_file: {params_file} is not valid YAML: {one_line(error)}") from error
    return any(override.is_for(node) and parameter in ("", override.name) for override in found)


def topic_rules(text: str, known: Sequence[str] = OUTPUT_TOPICS) -> dict[str, str]:
    """Parse the argument `remap`: rules TOPIC:=NAME of the detector's topics, separated by spaces.

    Args:
        text: Argument.
        known: Topics of the detector.

    Raises:
        ValueError: A rule is wrong, or a topic has two rules; the message names the rule.
    """
    rules: dict[str, str] = {}
    for rule in text.split():
        topic, _, name = rule.partition(":=")
        if topic not in known or not name:
            topics = ", ".join(known)
            raise ValueError(
                f"remap: found '{rule}', expected TOPIC:=NAME with one of {topics}; image_topic:=NAME is the input"
            )
        if not re.fullmatch(TOPIC_NAME, name):
            raise ValueError(
                f"remap: found '{rule}', expected the name of a topic behind {topic}:=, e.g. {topic}:=robot/view"
            )
        if topic in rules:
            raise ValueError(f"remap: found '{rule}' beside {topic}:={rules[topic]}, expected only one of them")
        rules[topic] = name
    return rules


def node_name(argument: str, text: str) -> str:
    """Return a launch argument that names a node.

    Raises:
        ValueError: ROS does not allow the name.
    """
    if not re.fullmatch(NAME_PART, text):
        raise ValueError(
            f"{argument}: found '{text}', expected letters, digits and single _, and no digit at the start"
        )
    return text
