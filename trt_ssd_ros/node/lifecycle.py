"""ManagedNode: a lifecycle node whose slow transitions do not block its executor, and whose errors are logged."""

from __future__ import annotations

import traceback
from abc import abstractmethod
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn

from trt_ssd_ros.errors import one_line
from trt_ssd_ros.node.inference_executor import InferenceExecutor
from trt_ssd_ros.node.parameter_table import AUTOSTART
from trt_ssd_ros.ros.process import FailableNode


def answer_later(service: Any) -> None:
    """Let the callback of a service return a future of the response.

    Executors send the return value of a service callback at once; here the response is sent when the future is
    done. If the future ends with an exception, the client gets no response, as if the process had ended.

    Args:
        service: Service of an rclpy node.
    """
    send = service.send_response

    def send_once_done(future: Future[Any], header: Any) -> None:
        def answer(done: Future[Any]) -> None:
            if done.exception() is None:
                send(done.result(), header)

        future.add_done_callback(answer)

    service.send_response = send_once_done


SLOW = ("configure", "cleanup", "shutdown")
"""Transitions that run in the inference thread, because they open or close its resources."""
NAMES = {
    Transition.TRANSITION_CONFIGURE: "configure",
    Transition.TRANSITION_CLEANUP: "cleanup",
    Transition.TRANSITION_ACTIVATE: "activate",
    Transition.TRANSITION_DEACTIVATE: "deactivate",
    Transition.TRANSITION_UNCONFIGURED_SHUTDOWN: "unconfigured_shutdown",
    Transition.TRANSITION_INACTIVE_SHUTDOWN: "inactive_shutdown",
    Transition.TRANSITION_ACTIVE_SHUTDOWN: "active_shutdown",
}


class ManagedNode(FailableNode, LifecycleNode):
    """A lifecycle node that configures, cleans up and shuts down in its inference thread.

    The change_state service of rclpy blocks the executor during a transition, loses exceptions, and an illegal
    transition ends the process (https://github.com/ros2/rclpy/issues/1209 and 1673). Here the node responds when
    the transition is done, logs failures with their cause, and lists the possible transitions in a refusal.

    A subclass implements the transitions. If `configure` or `activate` fails, the state is unchanged; after any
    other failure the node is unconfigured. Exceptions that a user cannot fix are logged with their traceback.

    Args:
        name: Name of the node.

    Attributes:
        inference: Executor that runs the slow transitions and all work of the inference thread.
        last_error: Text of the newest refusal or failure.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._autostart: bool = self.declare(AUTOSTART)
        self.last_error = ""
        self._in_progress = ""
        self._failure = ""
        change_state: Any
        [change_state] = [service for service in self.services if service.srv_type is ChangeState]
        change_state.callback = self._serve_change_state
        answer_later(change_state)
        self.inference = InferenceExecutor(self.context, self.fail)

    @abstractmethod
    def configure(self) -> None:
        """Open what the node needs; runs in the inference thread."""

    @abstractmethod
    def activate(self) -> None:
        """Start working."""

    @abstractmethod
    def halt(self) -> None:
        """Stop working at once; may be called in any state."""

    @abstractmethod
    def release(self) -> None:
        """Close all resources of `configure`; runs in the inference thread; may be called in any state."""

    @property
    def state(self) -> str:
        """Label of the present lifecycle state."""
        label: str = self._state_machine.current_state[1]
        return label

    @property
    def is_closing(self) -> bool:
        """Whether cleanup or shutdown is in progress, or ROS is shut down."""
        return self._in_progress in ("cleanup", "shutdown") or not self.context.ok()

    def destroy_node(self) -> None:
        """Stop the inference thread, which releases all resources, then destroy the node."""
        self.halt()
        self.inference.shutdown()
        super().destroy_node()

    def start(self) -> None:
        """Start the lifecycle transitions once the executor spins, if `autostart` is set.

        Subclasses call it at the end of their constructor.

        Raises:
            ValueError: The command line gives a value to a parameter that does not exist.
        """
        self.check_overrides()
        self.inference.resources.callback(self._final_release)
        if self._autostart:
            self.call_once_spinning(self._configure_by_itself)

    def change_state(self, transition: str) -> Future[str]:
        """Start a transition; called in the executor's thread.

        Args:
            transition: One of configure, activate, deactivate, cleanup and shutdown.

        Returns:
            Future of an empty text after success, else of the reason of the refusal or failure.
        """
        done: Future[str] = Future()
        refusal = self._refusal(transition)
        if refusal:
            done.set_result(refusal)
            return done
        self._in_progress = transition
        if transition not in SLOW:
            done.set_result(self._execute(transition))
            return done
        if transition != "configure":
            self.halt()
        return self.inference.submit(lambda: self._execute(transition))

    def _refusal(self, transition: str) -> str:
        if self._in_progress:
            return f"{transition} is refused while {self._in_progress} is in progress: try again afterwards"
        possible = [label for _, label, *_ in self._state_machine.available_transitions]
        if transition in possible:
            return ""
        return f"{transition} is refused in state {self.state}; possible: {', '.join(possible) or 'none'}"

    def _execute(self, transition: str) -> str:
        self._failure = ""
        try:
            getattr(self, f"trigger_{transition}")()
        except RuntimeError as error:  # of rclpy, e.g. if ROS is shut down during the transition
            self._failure = f"{transition} failed: {one_line(error)}"
        finally:
            self._in_progress = ""
        return self._failure

    def on_configure(self, _: LifecycleState) -> TransitionCallbackReturn:
        """Run a transition; see `configure`."""
        return self._attempt(self.configure, undo=self.release)

    def on_activate(self, _: LifecycleState) -> TransitionCallbackReturn:
        """Run a transition; see `activate`."""
        return self._attempt(self.activate, undo=self.halt)

    def on_deactivate(self, _: LifecycleState) -> TransitionCallbackReturn:
        """Run a transition; see `halt`."""
        return self._attempt(self.halt)

    def on_cleanup(self, _: LifecycleState) -> TransitionCallbackReturn:
        """Run a transition; see `release`."""
        return self._attempt(self.release)

    def on_shutdown(self, _: LifecycleState) -> TransitionCallbackReturn:
        """Release all resources, and succeed even if that fails, because the node ends anyway."""
        self._final_release()
        return TransitionCallbackReturn.SUCCESS

    def on_error(self, _: LifecycleState) -> TransitionCallbackReturn:
        """Release all resources after a failed transition; afterwards the node is unconfigured."""
        reason = self.failure_of(self.halt)
        self.inference.submit(self._final_release)
        return TransitionCallbackReturn.FAILURE if reason else TransitionCallbackReturn.SUCCESS

    def failure_of(self, action: Callable[[], None]) -> str:
        """Run an action, and return the reason of its failure in one line; empty after success.

        Exceptions other than OSError, RuntimeError and ValueError are bugs: they are logged with their traceback.
        """
        try:
            action()
        except (OSError, RuntimeError, ValueError) as error:
            return one_line(error) or type(error).__name__
        except Exception as error:
            self.get_logger().error(f"bug in {action.__name__}:\n{traceback.format_exc()}")
            return f"{type(error).__name__}: {one_line(error)}"
        return ""

    def _attempt(
        self, action: Callable[[], None], undo: Callable[[], None] | None = None
    ) -> TransitionCallbackReturn:
        """Run the action of a transition; if it fails and cannot be undone, return ERROR instead of FAILURE."""
        self._failure = self.failure_of(action)
        if not self._failure:
            return TransitionCallbackReturn.SUCCESS
        reason = self.failure_of(undo) if undo is not None else "the transition cannot be undone"
        if reason:
            self._failure += f"; {reason}: the node becomes unconfigured"
            return TransitionCallbackReturn.ERROR
        return TransitionCallbackReturn.FAILURE

    def _final_release(self) -> None:
        reason = self.failure_of(self.release)
        if reason:
            self.get_logger().error(f"cannot release all resources: {reason}")

    def _serve_change_state(
        self, request: ChangeState.Request, response: ChangeState.Response
    ) -> Future[ChangeState.Response]:
        """Respond to the change_state service when the transition is done."""
        done: Future[ChangeState.Response] = Future()

        def answer(outcome: Future[str]) -> None:
            if outcome.exception() is None:
                response.success = not outcome.result()
                if outcome.result():
                    self.last_error = outcome.result()
                    self.get_logger().error(self.last_error)
                done.set_result(response)

        self.change_state(self._wanted(request.transition)).add_done_callback(answer)
        return done

    def _wanted(self, transition: Any) -> str:
        """Return the name of a requested transition; its label takes precedence over its id."""
        by_id = {number: label for number, label, *_ in self._state_machine.available_transitions}
        name: str = transition.label or by_id.get(transition.id) or NAMES.get(transition.id, str(transition.id))
        return name

    def _configure_by_itself(self) -> None:
        if self.state == "unconfigured" and not self._in_progress:
            self.change_state("configure").add_done_callback(self._activate_next)

    def _activate_next(self, configured: Future[str]) -> None:
        """Activate after the automatic configure; if that failed, end the process."""
        if configured.exception() is not None or not self.context.ok():
            return
        if configured.result():
            self.fail(configured.result())
        else:
            self.call_in_executor(self._activate_by_itself)

    def _activate_by_itself(self) -> None:
        if self.state == "inactive" and not self._in_progress:
            reason = self.change_state("activate").result()
            if reason and self.context.ok():
                self.fail(reason)
