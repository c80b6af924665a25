"""WebServer: the page, its files and its WebSocket, in a thread with an event loop of its own.

Needs aiohttp 3.8 or newer. The server has three kinds of paths and no other: `/`, `/static/NAME` and `/ws`. The
files are read at the start; later requests look names up in a table and reach no file system.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from threading import Thread
from typing import Any

from aiohttp import WSCloseCode, WSMsgType, web

from trt_ssd_ros.errors import one_line
from trt_ssd_ros.web.connections import Connection, LimitedServer
from trt_ssd_ros.web.protocol import (
    MAX_REQUEST_BYTES,
    Ack,
    Answer,
    Command,
    Enable,
    Look,
    ProtocolError,
    SetParameter,
    answer_message,
    read_request,
)
from trt_ssd_ros.web.security import HEADERS, Access, Refusal, RefusalLog
from trt_ssd_ros.web.viewers import Demand, Frame, Hub, Viewer, ViewerError

MAX_VIEWERS = 32
MAX_COMMANDS = 16
"""Largest number of requests of a viewer that wait for the detector's answer."""
PING_SECONDS = 20.0
CLOSE_SECONDS = 1.0
"""Time that viewers have to answer the end of the server."""
SERVER_FULL = Refusal(
    HTTPStatus.SERVICE_UNAVAILABLE,
    "too many viewers",
    f"{MAX_VIEWERS} viewers are connected, no more are served: close one.",
)
NOT_FOUND = Refusal(HTTPStatus.NOT_FOUND, "unknown path", "Not found.")
ONLY_GET = Refusal(HTTPStatus.METHOD_NOT_ALLOWED, "method other than GET", "Only GET is allowed.")

TYPES: Mapping[str, str] = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}
"""Content types of the page's files by their suffixes."""
PAGE = "index.html"


@dataclass(frozen=True, eq=False)
class Backend:
    """Functions that the server calls, in its own thread.

    Attributes:
        execute: Starts a command, and returns its future answer.
        follow: Takes the new demand of the viewers.
        refusals: Log of what is refused.
    """

    execute: Callable[[Command], Future[Answer]]
    follow: Callable[[Demand], None]
    refusals: RefusalLog


def page_files(folder: Path, *others: Path) -> dict[str, tuple[str, bytes]]:
    """Return the content type and the bytes of the page's files by their names.

    Args:
        folder: Folder of the page.
        others: More files.
    """
    files = [path for path in (*sorted(folder.iterdir()), *others) if path.suffix in TYPES]
    return {path.name: (TYPES[path.suffix], path.read_bytes()) for path in files}


@dataclass
class _Commands:
    """Commands of one viewer that wait for their answers."""

    tasks: set[asyncio.Task[None]] = field(default_factory=set)


class WebServer:
    """Server of the page.

    `start`, `close`, `tell`, `forget` and `offer` are called in another thread than the server's.

    Args:
        files: Files of the page; see `page_files`.
        access: Rules for requests.
        backend: Functions that the server calls.
    """

    def __init__(self, files: Mapping[str, tuple[str, bytes]], access: Access, backend: Backend) -> None:
        self._files = files
        self._access = access
        self._backend = backend
        self._refusals = backend.refusals
        self._hub = Hub(backend.follow)
        self._sockets: set[web.WebSocketResponse] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._thread: Thread | None = None
        self._cookie = ""

    def start(self, host: str, port: int) -> int:
        """Start the server, and return its port.

        Args:
            host: Name or address to listen on.
            port: Port; 0: any free one.

        Raises:
            OSError: The server cannot listen there.
            UnicodeError: The host is no name of DNS.
        """
        started: Future[int] = Future()
        self._thread = Thread(target=lambda: asyncio.run(self._run(host, port, started)), name="web")
        self._thread.start()
        return started.result()

    def close(self) -> None:
        """End all connections and the thread; further calls do nothing."""
        thread, self._thread = self._thread, None
        if thread is not None:
            if self._stop is not None:
                self._call(self._stop.set)
            thread.join()

    def tell(self, kind: str, text: str) -> None:
        """Send a text to all viewers, also to those that come later, until the next of its kind."""
        self._call(self._hub.tell, kind, text)

    def forget(self, kind: str) -> None:
        """Send no text of a kind to viewers that come later."""
        self._call(self._hub.forget, kind)

    def offer(self, frame: Frame) -> None:
        """Send a frame to the viewers that look at its camera and have room."""
        self._call(self._hub.offer, frame)

    def _call(self, function: Callable[..., object], *arguments: Any) -> None:
        """Call a function in the server's thread, unless it has ended."""
        loop = self._loop
        if loop is not None:
            with suppress(RuntimeError):  # the loop was closed in this moment
                loop.call_soon_threadsafe(function, *arguments)

    async def _run(self, host: str, port: int, started: Future[int]) -> None:
        self._stop = asyncio.Event()
        server = LimitedServer(self._handle, self._refusals)
        runner = web.ServerRunner(server)
        await runner.setup()
        try:
            await web.TCPSite(runner, host, port).start()
            port = runner.addresses[0][1]
            self._cookie = f"trt_ssd_ros_{port}"  # browsers share cookies between the ports of a host
            self._loop = asyncio.get_running_loop()
            started.set_result(port)
            await self._stop.wait()
        except (OSError, UnicodeError) as error:  # else `start` waits for ever
            started.set_exception(error)
        finally:
            self._loop = None
            await self._say_goodbye()
            for transport in list(server.transports):
                transport.abort()
            await runner.cleanup()

    async def _say_goodbye(self) -> None:
        """Close the WebSockets, and wait a moment for the viewers that answer."""
        closing = (socket.close(code=WSCloseCode.GOING_AWAY) for socket in self._sockets)
        await asyncio.wait([asyncio.gather(*closing, return_exceptions=True)], timeout=CLOSE_SECONDS)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        given = request.query.get("token")
        refusal = self._check(request, given)
        if refusal is not None:
            self._refusals.note(refusal.kind, f"{request.remote} asks for {request.path[:100]!r}")
            return self._answer(refusal.status, "text/plain", refusal.text.encode())
        if request.path == "/ws":
            return await self._serve_viewer(request)
        response = self._answer(HTTPStatus.OK, *self._files[_file_name(request.path)])
        if request.path == "/" and given is not None and self._access.token:
            secure = request.headers.get("X-Forwarded-Proto") == "https"  # a reverse proxy with TLS says so
            response.set_cookie(self._cookie, given, httponly=True, samesite="Strict", path="/", secure=secure)
        return response

    def _check(self, request: web.BaseRequest, given: str | None) -> Refusal | None:
        """Return the refusal of a request, or None; the files of the page are no secret and need no token."""
        refusal = self._access.check_site(request.headers.get("Host", ""), request.headers.get("Origin"))
        if refusal is not None:
            return refusal
        if request.method != "GET":
            return ONLY_GET
        if request.path != "/ws" and _file_name(request.path) not in self._files:
            return NOT_FOUND
        if request.path in ("/", "/ws"):
            refusal = self._access.check_token(given if given is not None else request.cookies.get(self._cookie))
        if refusal is None and request.path == "/ws" and len(self._hub.viewers) >= MAX_VIEWERS:
            return SERVER_FULL
        return refusal

    @staticmethod
    def _answer(status: HTTPStatus, kind: str, body: bytes) -> web.Response:
        response = web.Response(status=status, body=body, content_type=kind, charset="utf-8", headers=HEADERS)
        response.force_close()
        return response

    async def _serve_viewer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Serve one WebSocket until it ends."""
        socket = web.WebSocketResponse(
            heartbeat=PING_SECONDS,
            max_msg_size=MAX_REQUEST_BYTES,
            compress=False,
            autoping=False,  # aiohttp would answer any number of pings
        )
        if not socket.can_prepare(request).ok:
            return self._answer(HTTPStatus.UPGRADE_REQUIRED, "text/plain", b"This path is for WebSockets.")
        socket.headers.update(HEADERS)
        await socket.prepare(request)
        connection = request.protocol
        assert isinstance(connection, Connection)
        connection.keep()
        connection.watch_reading()

        def write(packet: bytes) -> bool:
            return not socket.closed and connection.write_whole(packet)

        viewer, commands = self._hub.join(write), _Commands()
        self._sockets.add(socket)
        sender = asyncio.create_task(self._send(socket, viewer))
        try:
            await self._receive(socket, viewer, commands)
        except (ProtocolError, ViewerError) as error:
            self._refusals.note("malformed request", f"{request.remote}: {one_line(error)[:200]}")
            await socket.close(
                code=WSCloseCode.POLICY_VIOLATION, message=one_line(error).encode("ascii", "replace")[:120]
            )
        finally:
            self._sockets.discard(socket)
            self._hub.leave(viewer)
            connection.end()
            for task in (sender, *commands.tasks):
                task.cancel()
            await asyncio.gather(sender, *commands.tasks, return_exceptions=True)
        return socket

    @staticmethod
    async def _send(socket: web.WebSocketResponse, viewer: Viewer) -> None:
        """Send the messages of a viewer that are not written at once."""
        with suppress(ConnectionError):  # the viewer has left
            while True:
                message = await viewer.next_message()
                await (socket.send_str(message) if isinstance(message, str) else socket.send_bytes(message))

    async def _receive(self, socket: web.WebSocketResponse, viewer: Viewer, commands: _Commands) -> None:
        """Take the requests of a viewer until the socket is closed.

        Raises:
            ProtocolError: A message is no request.
            ViewerError: The viewer does not keep to the limits.
        """
        async for message in socket:
            viewer.count_request()
            if message.type == WSMsgType.PING:
                await socket.pong(message.data)
                continue
            if message.type == WSMsgType.PONG:
                continue
            if isinstance(socket.exception(), asyncio.TimeoutError):
                return  # no pong: the viewer's machine sleeps, or has left the network
            if message.type == WSMsgType.ERROR:
                raise ProtocolError(f"broken message ({socket.exception()})")
            if message.type != WSMsgType.TEXT:
                raise ProtocolError("found a binary message, expected text")
            request = read_request(message.data)
            if isinstance(request, Ack):
                viewer.acknowledge(request)
            elif isinstance(request, Look):
                viewer.follow(request)
                self._hub.follow_demand()
            else:
                self._start(request, viewer, commands)

    def _start(self, command: Command, viewer: Viewer, commands: _Commands) -> None:
        """Execute a command beside the other requests."""
        if len(commands.tasks) >= MAX_COMMANDS:
            viewer.answer(
                answer_message(command.request, False, f"{MAX_COMMANDS} requests wait for their answers")
            )
            return
        task = asyncio.create_task(self._execute(command, viewer))
        commands.tasks.add(task)
        task.add_done_callback(commands.tasks.discard)

    async def _execute(self, command: SetParameter | Enable, viewer: Viewer) -> None:
        # A viewer that leaves ends this wait, not the command: a cancelled future would take no answer.
        answer = await asyncio.shield(asyncio.wrap_future(self._backend.execute(command)))
        with suppress(ViewerError):  # it reads nothing, so `_send` cuts it
            viewer.answer(answer_message(command.request, answer.ok, answer.message))


def _file_name(path: str) -> str:
    """Return the name of the page's file under a path; empty if there is none."""
    return PAGE if path == "/" else path.removeprefix("/static/") if path.startswith("/static/") else ""
