"""Services: calls of the detector's services that end, also if no answer comes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from rclpy.client import Client
from rclpy.node import Node

ANSWER_SECONDS = 5.0
"""Time after which an answer counts as lost; Fast DDS loses those that come before it has matched the client."""

Done = Callable[[Any], None]


class Services:
    """Clients of one node's services; all calls are made in the executor's thread.

    Args:
        node: Node that calls.
        server: Full name of the node that has the services.
    """

    def __init__(self, node: Node, server: str) -> None:
        self._node = node
        self._server = server
        self._clients: dict[str, Client] = {}
        self._calls: dict[Any, tuple[float, Client, Done]] = {}

    def add(self, kind: Any, name: str) -> None:
        """Create the client of a service, which then takes some time to find it.

        Args:
            kind: Type of the service.
            name: Name after that of the server, e.g. `enable`.
        """
        if name not in self._clients:
            self._clients[name] = self._node.create_client(kind, f"{self._server}/{name}")

    def call(self, name: str, request: Any, done: Done) -> None:
        """Call a service.

        Args:
            name: Name given to `add`.
            request: Request.
            done: Called with the response; with None if the service is missing or does not answer.
        """
        client = self._clients.get(name)
        if client is None or not client.service_is_ready():
            done(None)
            return
        future = client.call_async(request)
        self._calls[future] = time.monotonic(), client, done
        future.add_done_callback(self._finish)

    def _finish(self, future: Any) -> None:
        call = self._calls.pop(future, None)
        if call is not None:
            call[-1](future.result())

    def give_up_late(self) -> None:
        """End the calls that have no answer for `ANSWER_SECONDS`; call it about once a second."""
        now = time.monotonic()
        for future, (since, client, done) in list(self._calls.items()):
            if now - since > ANSWER_SECONDS:
                del self._calls[future]
                client.remove_pending_request(future)
                done(None)
