"""ManagedNode: a lifecycle node whose slow transitions leave its executor free and whose failures say why."""

from __future__ import annotations

import traceback
from abc import abstractmethod
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn

from trt_ssd_ros.errors import one_line
from trt_ssd_ros.node.inference_executor import InferenceExecutor
from trt_ssd_ros.node.parameter_table import AUTOSTART
from trt_ssd_ros.ros.process import FailableNode


def answer_later(service: Any) -> None:
    """Let a service's callback return a future that gets the response.

    Executors send at once what a service's callback returns; here sending waits for the future. One that ends with
    an exception leaves its client without an answer, as the end of a process does.

    Args:
        service: A node's rclpy service.
    """
    send = service.send_response

    def send_once_done(future: Future[Any], header: Any) -> None:
        def answer(done: Future[Any]) -> None:
            if done.exception() is None:
                send(done.result(), header)

        future.add_done_callback(answer)

    service.send_response = send_once_done


SLOW = ("configure", "cleanup", "shutdown")
"""The transitions that run in the inference thread, because they open or close what belongs to it."""
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

    rclpy's own change_state service blocks the executor for as long as a transition takes, loses the exceptions of
    transitions, and lets an illegal one end the process (rclpy issues 1209 and 1673). Here they are answered when
    they are done, logged with their cause, and refused with what would be possible.

    A subclass says what the transitions do. Where `configure` or `activate` fails, the state is what it was; after
    another's failure the node is unconfigured. Exceptions that no user can mend are logged in full.

    Args:
        name: Of the node.

    Attributes:
        inference: Runs the slow transitions, and whatever else belongs to their thread.
        last_error: The newest refusal or failure.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._autostart: bool = self.declare(AUTOSTART)
        self.last_error = ""
        self._under_way = ""
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
        """Begin to work."""

    @abstractmethod
    def halt(self) -> None:
        """Stop working, at once; may be called in any state."""

    @abstractmethod
    def release(self) -> None:
        """Close whatever `configure` opened; runs in the inference thread; may be called in any state."""

    @property
    def state(self) -> str:
        """The label of the present lifecycle state."""
        label: str = self._state_machine.current_state[1]
        return label

    @property
    def is_leaving(self) -> bool:
        """Whether a transition waits for the inference thread to close everything, or ROS is shut down."""
        return self._under_way in ("cleanup", "shutdown") or not self.context.ok()

    def destroy_node(self) -> None:
        """End the inference thread, which releases everything, then the node."""
        self.halt()
        self.inference.shutdown()
        super().destroy_node()

    def start(self) -> None:
        """Bring the node up once it is spun, if it is to come up by itself; a constructor's last act."""
        self.inference.resources.callback(self._release_at_last)
        if not self._autostart:
            return

        def once() -> None:
            self.destroy_timer(timer)
            if self.state == "unconfigured" and not self._under_way:
                self.change_state("configure").add_done_callback(self._activate_next)

        # Not on the node's clock, which may stand still under use_sim_time.
        timer = self.create_timer(0.0, once, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def change_state(self, transition: str) -> Future[str]:
        """Begin a transition; called in the executor's thread.

        Args:
            transition: configure, activate, deactivate, cleanup or shutdown.

        Returns:
            Gets an empty text once it is done, or why it was refused or failed.
        """
        done: Future[str] = Future()
        refusal = self._refusal(transition)
        if refusal:
            done.set_result(refusal)
            return done
        self._under_way = transition
        if transition not in SLOW:
            done.set_result(self._carry_out(transition))
            return done
        if transition != "configure":
            self.halt()
        return self.inference.submit(lambda: self._carry_out(transition))

    def _refusal(self, transition: str) -> str:
        if self._under_way:
            return f"{transition} is refused while {self._under_way} is in progress: try again when that is done"
        possible = [label for _, label, *_ in self._state_machine.available_transitions]
        if transition in possible:
            return ""
        return f"{transition} is refused in state {self.state}; possible: {', '.join(possible) or 'nothing'}"

    def _carry_out(self, transition: str) -> str:
        self._failure = ""
        try:
            getattr(self, f"trigger_{transition}")()
        except RuntimeError as error:  # rclpy's, as when ROS is shut down meanwhile
            self._failure = f"{transition} failed: {one_line(error)}"
        finally:
            self._under_way = ""
        return self._failure

    def on_configure(self, _: LifecycleState) -> TransitionCallbackReturn:
        """Carry out a transition; see `configure`."""
        return self._attempt(self.configure, undo=self.release)

    def on_activate(self, _: LifecycleState) -> TransitionCallbackReturn:
        """Carry out a transition; see `activate`."""
        return self._attempt(self.activate, undo=self.halt)

    def on_deactivate(self, _: LifecycleState) -> TransitionCallbackReturn:
        """Carry out a transition; see `halt`."""
        return self._attempt(self.halt)

    def on_cleanup(self, _: LifecycleState) -> TransitionCallbackReturn:
        """Carry out a transition; see `release`."""
        return self._attempt(self.release)

    def on_shutdown(self, _: LifecycleState) -> TransitionCallbackReturn:
        """Carry out a transition, in any event: a node that cannot close everything is at its end as well."""
        self._release_at_last()
        return TransitionCallbackReturn.SUCCESS

    def on_error(self, _: LifecycleState) -> TransitionCallbackReturn:
        """Release everything after a transition that broke; the node is unconfigured then."""
        reason = self.failure_of(self.halt)
        self.inference.submit(self._release_at_last)
        return TransitionCallbackReturn.FAILURE if reason else TransitionCallbackReturn.SUCCESS

    def failure_of(self, action: Callable[[], None]) -> str:
        """Do something and return why it failed, on one line, or nothing; a bug is logged in full."""
        try:
            action()
        except (OSError, RuntimeError, ValueError) as error:
            return one_line(error) or type(error).__name__
        except Exception as error:
            self.get_logger().error(f"in {action.__name__}:\n{traceback.format_exc()}")
            return f"{type(error).__name__}: {one_line(error)}"
        return ""

    def _attempt(
        self, action: Callable[[], None], undo: Callable[[], None] | None = None
    ) -> TransitionCallbackReturn:
        """Do a transition's work; where it fails and can be undone it has not happened, else it is an error."""
        self._failure = self.failure_of(action)
        if not self._failure:
            return TransitionCallbackReturn.SUCCESS
        reason = self.failure_of(undo) if undo is not None else "it cannot be undone"
        if reason:
            self._failure += f"; {reason}, so the node begins anew"
            return TransitionCallbackReturn.ERROR
        return TransitionCallbackReturn.FAILURE

    def _release_at_last(self) -> None:
        reason = self.failure_of(self.release)
        if reason:
            self.get_logger().error(f"cannot close everything: {reason}")

    def _serve_change_state(
        self, request: ChangeState.Request, response: ChangeState.Response
    ) -> Future[ChangeState.Response]:
        """Answer the change_state service once the transition is done."""
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
        """Return the name of a requested transition; its label counts, if it has one."""
        by_id = {number: label for number, label, *_ in self._state_machine.available_transitions}
        name: str = transition.label or by_id.get(transition.id) or NAMES.get(transition.id, str(transition.id))
        return name

    def _activate_next(self, configured: Future[str]) -> None:
        """Go on with coming up by itself; a node that cannot ends its process."""
        if configured.exception() is not None or not self.context.ok():
            return
        if configured.result():
            self.fail(configured.result())
        elif self.executor is not None:
            self.executor.create_task(self._activate_by_itself)

    def _activate_by_itself(self) -> None:
        if self.state == "inactive" and not self._under_way:
            reason = self.change_state("activate").result()
            if reason and self.context.ok():
                self.fail(reason)
