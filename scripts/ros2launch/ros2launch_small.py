"""Verb `ros2 launch`, for a ROS 2 without ros2launch.

The wheel that scripts/bootstrap unpacks has ros2cli and launch, but not ros2launch. This command has the arguments
and the output of ros2launch; a sourced ROS 2 uses its own.
"""

from __future__ import annotations

import os
import signal
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from pathlib import Path

from ament_index_python.packages import PackageNotFoundError, get_package_share_path
from launch import LaunchDescription, LaunchIntrospector, LaunchService, launch_service
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription
from launch.launch_description_sources import (
    AnyLaunchDescriptionSource,
    get_launch_description_from_any_launch_file,
)
from launch.logging import get_logger
from launch.utilities import AsyncSafeSignalManager
from ros2cli.command import CommandExtension

SignalHandler = Callable[[int], None] | None


class LaunchCommand(CommandExtension):  # type: ignore[misc]  # ros2cli has no types
    """Run a launch file."""

    def add_arguments(self, parser: ArgumentParser, cli_name: str) -> None:  # noqa: ARG002
        """Declare the command line."""
        parser.add_argument("-d", "--debug", action="store_true", help="print launch's debug messages")
        either = parser.add_mutually_exclusive_group()
        either.add_argument(
            "-p", "--print", "--print-description", action="store_true", help="only print what would be launched"
        )
        either.add_argument(
            "-s", "--show-args", "--show-arguments", action="store_true", help="only list the file's arguments"
        )
        parser.add_argument(
            "-a",
            "--show-all-subprocesses-output",
            action="store_true",
            help="print the output of every process, even if the launch file does not",
        )
        parser.add_argument("package_name", help="package of the launch file, or path of a launch file")
        parser.add_argument("launch_file_name", nargs="?", help="name of the file in the package")
        parser.add_argument("launch_arguments", nargs="*", help="arguments of the file, as name:=value")

    def main(self, *, parser: ArgumentParser, args: Namespace) -> int | None:  # noqa: ARG002
        """Run the command; ros2 prints a RuntimeError as one line."""
        words = [word for word in (args.launch_file_name, *args.launch_arguments) if word is not None]
        path, words = find_launch_file(args.package_name, words)
        arguments = parse_arguments(words)
        if args.print:
            print(LaunchIntrospector().format_launch_description(load(path)))
            return None
        if args.show_args:
            print(describe_arguments(load(path).get_launch_arguments()))
            return None
        if args.show_all_subprocesses_output:
            os.environ["OVERRIDE_LAUNCH_PROCESS_OUTPUT"] = "both"
        service = service_that_sigterm_ends(words, debug=args.debug)
        source = AnyLaunchDescriptionSource(str(path))
        include = IncludeLaunchDescription(source, launch_arguments=arguments.items())
        service.include_launch_description(LaunchDescription([include]))
        return int(service.run())


def service_that_sigterm_ends(arguments: list[str], *, debug: bool) -> LaunchService:
    """Return a launch service that ends its processes on SIGTERM, too: `docker stop` and systemd send it.

    Launch's own handler ends only the launch: https://github.com/ros2/launch/issues/666
    """
    service = LaunchService(argv=arguments, debug=debug)

    class Signals(AsyncSafeSignalManager):  # type: ignore[misc]  # launch has no types
        """Signal manager in which SIGTERM shuts the launch down."""

        def handle(self, signum: int, handler: SignalHandler) -> SignalHandler:
            """Register a handler."""
            terminate = signum == signal.SIGTERM and handler is not None
            return super().handle(signum, (lambda _: shut_down(service)) if terminate else handler)

    launch_service.AsyncSafeSignalManager = Signals
    # The signal manager gets only signals that have a handler in Python; the default action ends the process.
    signal.signal(signal.SIGTERM, lambda *_: None)
    return service


def shut_down(service: LaunchService) -> None:
    """Send SIGINT to all processes, as Ctrl-C does; those that stay get SIGTERM after 5 s, then SIGKILL."""
    get_logger("launch").warning("terminated (SIGTERM)")
    service.shutdown(force_sync=True)


def find_launch_file(first: str, rest: list[str]) -> tuple[Path, list[str]]:
    """Return the launch file that the command line names, and the remaining words."""
    path = Path(first)
    if not rest or ":=" in rest[0]:
        if path.is_file():
            return path, rest
        raise RuntimeError(f"'{first}' is not a launch file (name a file after the package, or give a path)")
    try:
        share = get_package_share_path(first)
    except (PackageNotFoundError, ValueError):
        raise RuntimeError(f"package '{first}' not found: source its workspace") from None
    wanted = rest[0]
    found = [path for path in share.rglob(Path(wanted).name) if path.is_file() and path.match(wanted)]
    if len(found) == 1:
        return found[0], rest[1:]
    if found:
        raise RuntimeError(f"package '{first}' has '{wanted}' more than once: {', '.join(map(str, found))}")
    names = sorted(path.name for path in share.rglob("*launch.*") if path.is_file())
    hint = f"; it has {', '.join(names)}" if names else ""
    raise RuntimeError(f"package '{first}' has no file '{wanted}' in {share}{hint}")


def parse_arguments(words: list[str]) -> dict[str, str]:
    """Parse words name:=value; the last value of a name wins."""
    arguments = {}
    for word in words:
        name, separator, value = word.partition(":=")
        if not (name and separator and value):
            raise RuntimeError(f"'{word}' is not a launch argument: expected name:=value")
        arguments[name] = value
    return arguments


def load(path: Path) -> LaunchDescription:
    """Load a launch file without running it."""
    return get_launch_description_from_any_launch_file(str(path))


def describe_arguments(declared: list[DeclareLaunchArgument]) -> str:
    """Return the text of --show-args."""
    lines = ["Arguments (pass arguments as '<name>:=<value>'):"]
    starred = False
    for argument in declared:
        conditional = getattr(argument, "_conditionally_included", False)
        starred |= conditional
        lines += ["", f"    '{argument.name}':{'*' if conditional else ''}", f"        {argument.description}"]
        if argument.default_value is not None:
            default = " + ".join(part.describe() for part in argument.default_value)
            lines.append(f"        (default: {default})")
    if not declared:
        lines += ["", "  No arguments."]
    if starred:
        lines += ["", "* argument(s) which are only used if specific conditions occur"]
    return "\n".join(lines)
