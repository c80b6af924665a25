"""Exits: what the launch does when the process of a node ends."""

from __future__ import annotations

import signal
from collections.abc import Callable
from time import monotonic
from typing import TypeAlias

from launch import LaunchContext, LaunchDescriptionEntity
from launch.actions import ExecuteProcess, TimerAction
from launch.events.process import ProcessExited
from launch.logging import get_logger

FIRST_DELAY, LONGEST_DELAY = 1.0, 30.0
"""Seconds between the end of a process and its restart; the delay doubles with every restart."""
STABLE_RUN = 60.0
"""Seconds of a run after which the delay starts again at FIRST_DELAY."""

ExitHandler: TypeAlias = Callable[[ProcessExited, LaunchContext], list[LaunchDescriptionEntity] | None]


def exit_handler(on_exit: str, shutdown: ExitHandler) -> ExitHandler | None:
    """Return the exit handler for a value of the launch argument on_exit.

    Args:
        on_exit: shutdown, respawn or ignore.
        shutdown: Handler for `shutdown`.
    """
    handlers: dict[str, ExitHandler | None] = {"shutdown": shutdown, "respawn": Respawn(), "ignore": None}
    return handlers[on_exit]


def end_if_failed(event: ProcessExited, context: LaunchContext) -> None:
    """End the launch with an error if a process fails; after exit code 0 the other processes continue.

    While the launch shuts down (Ctrl-C), exit codes are ignored, because many drivers then do not exit with 0.
    """
    if event.returncode and not context.is_shutdown:
        raise RuntimeError(f"{event.process_name} failed (exit code {event.returncode}), see above")


class Respawn:
    """Exit handler that restarts a process after a delay, which launch's own respawn cannot increase."""

    def __init__(self) -> None:
        self._delay = 0.0
        self._started = monotonic()

    def __call__(self, event: ProcessExited, context: LaunchContext) -> list[LaunchDescriptionEntity]:
        """Return the timer that restarts the process; empty while the launch shuts down."""
        if context.is_shutdown:
            return []
        delay = self.next_delay(monotonic())
        get_logger(event.process_name).warning(f"{exit_cause(event.returncode)}: restart in {delay:g} s")
        # The event has the node's final command and environment. A new Node action would lose the namespace,
        # remappings and environment of a group that has been left by now, and warn of a second node of its name.
        process = ExecuteProcess(
            cmd=event.cmd,
            cwd=event.cwd,
            env=event.env,
            name=event.process_name.rpartition("-")[0],
            output="screen",
            on_exit=self,
        )
        return [TimerAction(period=delay, actions=[process])]

    def next_delay(self, now: float) -> float:
        """Return the seconds until the restart.

        Args:
            now: Time in seconds at which the process ended, of the monotonic clock.
        """
        stable = now - self._started >= STABLE_RUN
        self._delay = FIRST_DELAY if stable or not self._delay else min(2 * self._delay, LONGEST_DELAY)
        self._started = now + self._delay
        return self._delay


def exit_cause(returncode: int) -> str:
    """Return the text for a process's exit code, or for the signal that killed it."""
    if returncode >= 0:
        return f"ended with exit code {returncode}"
    try:
        return f"killed by {signal.Signals(-returncode).name}"
    except ValueError:  # real-time signals have no names
        return f"killed by signal {-returncode}"
