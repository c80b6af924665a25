"""Composition: launch action for a process with several nodes, each with its own name, parameters and topics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from posixpath import join
from tempfile import NamedTemporaryFile
from typing import Any

import yaml
from launch_ros.actions import Node

from trt_ssd_ros.launching.drivers import log_level
from trt_ssd_ros.launching.exits import ExitHandler
from trt_ssd_ros.launching.names import absolute_name
from trt_ssd_ros.launching.yaml_strings import quote_numbers


@dataclass(frozen=True)
class NodeInProcess:
    """One node of a process.

    Attributes:
        code_name: Name of the node in its source code.
        name: Name of the node in the graph.
        parameters: Values of its parameters.
        remappings: Names of its topics, and their new names.
        namespace: Namespace of the node below the namespace of the process; the node itself knows it.
    """

    code_name: str
    name: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    remappings: Sequence[tuple[str, str]] = ()
    namespace: str = ""

    def full_namespace(self, process: str) -> str:
        """Return the namespace of the node in the namespace of a process."""
        return join(process, self.namespace) if self.namespace else process


def composed_nodes(
    executable: str,
    nodes: Sequence[NodeInProcess],
    namespace: str,
    params_file: Path,
    level: str,
    on_exit: ExitHandler | None,
    arguments: Sequence[str] = (),
) -> Node:
    """Return the action that starts several nodes in one process.

    A rule without a node's name would hold for every node of the process, as would parameters under `/**`. So each
    rule has the prefix of its node, and the parameters are in a file under the full names of the nodes.

    Args:
        executable: Executable of this package.
        nodes: Nodes of the process.
        namespace: Namespace of all nodes.
        params_file: YAML file with parameters of the user; `nodes` overrules it.
        level: Log level of the nodes.
        on_exit: Handler for the end of the process.
        arguments: Arguments of the executable.
    """
    values = {
        absolute_name(node.full_namespace(namespace), node.name): {"ros__parameters": dict(node.parameters)}
        for node in nodes
        if node.parameters
    }
    new_names = {node.code_name: node.name for node in nodes}
    rules = [word for code, name in new_names.items() for word in ("-r", f"{code}:__node:={name}")]
    levels = [word for node in nodes for word in log_level(node.full_namespace(namespace), node.name, level)]
    return Node(
        package="trt_ssd_ros",
        executable=executable,
        namespace=namespace,
        arguments=list(arguments),
        parameters=[str(params_file), str(_written(values))],
        remappings=[(f"{node.name}:{topic}", new) for node in nodes for topic, new in node.remappings],
        ros_arguments=[*rules, *levels],
        output="screen",
        on_exit=on_exit,
    )


class _QuotingDumper(yaml.SafeDumper):
    """Dumper of parameter files for rcl."""


quote_numbers(_QuotingDumper)


def _written(values: Mapping[str, Any]) -> Path:
    """Write parameters into a temporary file that only this user can read, as launch_ros does for a node's."""
    with NamedTemporaryFile("w", prefix="launch_params_", suffix=".yaml", delete=False, encoding="utf-8") as file:
        yaml.dump(dict(values), file, _QuotingDumper)
    return Path(file.name)
