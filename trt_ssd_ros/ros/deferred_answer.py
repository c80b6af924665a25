"""Answer a service later, from another thread, while its executor goes on with other things."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any


def answer_later(service: Any, serve: Callable[[Any, Any], Future[Any]]) -> None:
    """Let a service be answered once a future is done.

    Executors send at once what a service's callback returns, so the callback returns the future, and sending waits
    for it. A future that ends with an exception leaves its client without an answer, as the end of a process does.

    Args:
        service: A node's rclpy service.
        serve: Gets the request and an empty response; its future gets the response.
    """
    send = service.send_response

    def send_once_done(future: Future[Any], header: Any) -> None:
        def answer(done: Future[Any]) -> None:
            if done.exception() is None:
                send(done.result(), header)

        future.add_done_callback(answer)

    service.callback = serve
    service.send_response = send_once_done
