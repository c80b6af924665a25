"""Answer a service later, from another thread, while its executor goes on with other things."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any


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
