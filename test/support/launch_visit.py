"""Carries out a launch file in this process, up to the processes that it would start."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from launch import LaunchContext, LaunchDescriptionEntity
from launch.actions import ExecuteProcess, SetEnvironmentVariable
from launch.launch_description_sources import AnyLaunchDescriptionSource


def processes(launch_file: Path, arguments: Mapping[str, str]) -> list[ExecuteProcess]:
    """Return the processes that a launch file would start; raises what the launch would show."""
    context = LaunchContext()
    context.launch_configurations.update(arguments)
    description = AnyLaunchDescriptionSource(str(launch_file)).get_launch_description(context)
    return list(_visit(description, context))


def _visit(entity: LaunchDescriptionEntity, context: LaunchContext) -> Iterator[ExecuteProcess]:
    if isinstance(entity, ExecuteProcess):
        yield entity
    elif not isinstance(entity, SetEnvironmentVariable):  # it would change this process's
        for inner in entity.visit(context) or ():
            yield from _visit(inner, context)


def command(process: Any) -> str:
    """Return the command line of an ExecuteProcess that is no Node."""
    return " ".join("".join(part.text for part in word) for word in process.cmd)


def settings(node: Any) -> dict[str, Any]:
    """Return the parameters of a Node that stand behind its parameter file."""
    context, given = LaunchContext(), node._Node__parameters[-1]
    values = {name[0].text: value for name, value in given.items()} if isinstance(given, dict) else {}
    return {k: v.evaluate(context) if hasattr(v, "evaluate") else v for k, v in values.items()}


def remappings(node: Any) -> dict[str, str]:
    """Return the remappings of a Node."""
    node._perform_substitutions(LaunchContext())
    return dict(node.expanded_remapping_rules)
