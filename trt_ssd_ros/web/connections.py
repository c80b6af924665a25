"""LimitedServer and its connections: how many there are, and how long a request and its answer may take."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from aiohttp import web

from trt_ssd_ros.errors import one_line
from trt_ssd_ros.web.security import RefusalLog

MAX_CONNECTIONS = 100
EXCHANGE_SECONDS = 15.0
"""Time for a request and its answer; a WebSocket has it for its opening only."""
SEND_SECONDS = 10.0
"""Time in which a viewer reads a message; after it, the connection is cut."""
NOT_READ = "a viewer that does not read", f"nothing for {SEND_SECONDS:g} s"


class Connection(web.RequestHandler):
    """Connection that is cut if its request and answer take too long, or if there are too many connections."""

    def __init__(self, server: LimitedServer, logger: logging.Logger) -> None:
        super().__init__(server, loop=asyncio.get_running_loop(), logger=logger, lingering_time=0.0)
        self._server = server
        self._cut: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin the connection, or cut it if there are too many."""
        super().connection_made(transport)
        assert isinstance(transport, asyncio.Transport)
        server, self._own = self._server, transport
        server.transports.add(transport)
        if len(server.transports) > MAX_CONNECTIONS:
            server.refusals.note("too many connections", f"{MAX_CONNECTIONS} are open")
            transport.abort()
        else:
            self._cut_after(EXCHANGE_SECONDS, "slow request", f"none is complete after {EXCHANGE_SECONDS:g} s")

    def _cut_after(self, seconds: float, kind: str, detail: str) -> None:
        def cut() -> None:
            self._server.refusals.note(kind, detail)
            self._own.abort()

        self.keep()
        self._cut = asyncio.get_running_loop().call_later(seconds, cut)

    def connection_lost(self, error: BaseException | None) -> None:
        """Forget the connection."""
        self._server.transports.discard(self._own)
        self.keep()
        super().connection_lost(error)

    def keep(self) -> None:
        """Let the connection last."""
        if self._cut is not None:
            self._cut.cancel()
            self._cut = None

    def watch_reading(self) -> None:
        """From now on, cut the connection if bytes wait for SEND_SECONDS."""
        self._own.set_write_buffer_limits(high=0)  # `pause_writing` is called as soon as bytes wait

    def pause_writing(self) -> None:
        """Note that bytes wait for the client."""
        super().pause_writing()
        if self._cut is None:
            self._cut_after(SEND_SECONDS, *NOT_READ)

    def resume_writing(self) -> None:
        """Note that no bytes wait any more."""
        super().resume_writing()
        if self._own.get_write_buffer_limits() == (0, 0):
            self.keep()

    def write_whole(self, packet: bytes) -> bool:
        """Write bytes beside aiohttp, which never leaves a message half written; False: earlier ones wait."""
        if self._own.is_closing() or self._own.get_write_buffer_size():
            return False
        self._own.write(packet)
        return True

    def end(self) -> None:
        """Give the client `SEND_SECONDS` to read the rest: closing a transport waits for it without limit."""
        if not self._own.is_closing() or self._own.get_write_buffer_size():
            self._cut_after(SEND_SECONDS, *NOT_READ)


class _LogHandler(logging.Handler):
    """Handler that passes what aiohttp logs about a request to the log of refusals."""

    def __init__(self, refusals: RefusalLog) -> None:
        super().__init__(logging.INFO)
        self._refusals = refusals

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        self._refusals.note("broken request", f"{type(error).__name__}: {one_line(error)[:200]}" if error else "")


class LimitedServer(web.Server):
    """Server whose connections are limited.

    Attributes:
        refusals: Log of what is refused.
        transports: Transports of the open connections.
    """

    def __init__(
        self, handler: Callable[[web.BaseRequest], Coroutine[Any, Any, Any]], refusals: RefusalLog
    ) -> None:
        super().__init__(handler)
        self.refusals = refusals
        self.transports: set[asyncio.Transport] = set()
        self._logger = logging.Logger(__name__)
        self._logger.addHandler(_LogHandler(refusals))

    def __call__(self) -> web.RequestHandler:
        """Return the handler of a new connection."""
        return Connection(self, self._logger)
