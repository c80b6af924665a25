"""The server of the page over real sockets: what it serves, and what hostile clients get."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager, suppress
from queue import SimpleQueue
from typing import Any

import pytest

aiohttp = pytest.importorskip("aiohttp")

from page_client import PATIENCE, viewer  # noqa: E402

from trt_ssd_ros.web import connections  # noqa: E402
from trt_ssd_ros.web import server as server_module  # noqa: E402
from trt_ssd_ros.web.connections import MAX_CONNECTIONS  # noqa: E402
from trt_ssd_ros.web.protocol import (  # noqa: E402
    MAX_IN_FLIGHT,
    MAX_REQUEST_BYTES,
    MAX_REQUESTS_PER_SECOND,
    Answer,
    Command,
)
from trt_ssd_ros.web.security import HEADERS, Access, RefusalLog  # noqa: E402
from trt_ssd_ros.web.server import MAX_VIEWERS, Backend, WebServer, page_files  # noqa: E402
from trt_ssd_ros.web.viewers import BURST_SECONDS, Demand, Frame  # noqa: E402

TOKEN = "0123456789abcdef"  # noqa: S105


class Served:
    """A running server, what it asks of its backend, and what it logs."""

    def __init__(self, access: Access) -> None:
        self.demands: list[Demand] = []
        self.commands: list[Command] = []
        self.log: list[str] = []
        self.answers_later: SimpleQueue[Future[Answer]] | None = None
        self._changed = threading.Condition()
        self.server = WebServer(
            {"index.html": ("text/html", b"<!doctype html>page"), "main.js": ("text/javascript", b"//js")},
            access,
            Backend(self._execute, self._demand, RefusalLog(self._note)),
        )
        self.port = self.server.start("127.0.0.1", 0)

    def _execute(self, command: Command) -> Future[Answer]:
        self.commands.append(command)
        answer: Future[Answer] = Future()
        if self.answers_later is None:
            answer.set_result(Answer(False, "the detector's own words"))
        else:
            self.answers_later.put(answer)
        return answer

    def _demand(self, demand: Demand) -> None:
        with self._changed:
            self.demands.append(demand)
            self._changed.notify_all()

    def _note(self, line: str) -> None:
        with self._changed:
            self.log.append(line)
            self._changed.notify_all()

    def wait_for_log(self, text: str) -> None:
        """Wait for a line of the log."""
        with self._changed:
            assert self._changed.wait_for(lambda: any(text in line for line in self.log), PATIENCE), self.log

    def wait_for_demand(self, viewers: int, cameras: str = "") -> None:
        """Wait for the demand to be this."""
        demand = Demand(viewers, frozenset(cameras.split()))
        with self._changed:
            assert self._changed.wait_for(lambda: self.demands[-1:] == [demand], PATIENCE), self.demands

    def get(self, path: str = "/", method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
        """Return the answer to a request."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request(method, path, headers=headers)
            response = connection.getresponse()
            return response.status, dict(response.getheaders()), response.read()
        finally:
            connection.close()

    def raw(self, data: bytes = b"") -> socket.socket:
        """Return a socket that has sent something."""
        client = socket.create_connection(("127.0.0.1", self.port), PATIENCE)
        client.sendall(data)
        return client


@pytest.fixture
def serve() -> Iterator[Callable[..., Served]]:
    """Start a server, by default as on loopback: serve(Access(TOKEN))."""
    with ExitStack() as stack:

        def start(access: Access | None = None) -> Served:
            served = Served(access or Access.of("", []))
            stack.callback(served.server.close)
            return served

        yield start


def is_cut(client: socket.socket) -> bool:
    """Wait for the server's end of a connection, and return whether it said nothing before."""
    try:
        return client.recv(65536) == b""
    except ConnectionResetError:
        return True


def test_serves_the_page_and_its_files_with_the_headers_of_security(serve):
    served = serve()
    for path, kind, body in (
        ("/", "text/html", b"<!doctype html>page"),
        ("/static/main.js", "text/javascript", b"//js"),
    ):
        status, headers, found = served.get(path)
        assert (status, found, headers["Content-Type"]) == (200, body, f"{kind}; charset=utf-8")
        assert headers.items() >= HEADERS.items()
        assert not any(name.startswith("Access-Control") for name in headers), "no CORS"
    assert served.log == []


def test_reads_its_files_once(tmp_path):
    for name in ("index.html", "page.css", "secret.txt"):
        (tmp_path / name).write_text(name)
    assert page_files(tmp_path) == {
        "index.html": ("text/html", b"index.html"),
        "page.css": ("text/css", b"page.css"),
    }


@pytest.mark.parametrize(
    "path",
    [
        *("/static/", "/static/../server.py", "/static/..%2f..%2fserver.py", "/../../etc/passwd", "/index.html"),
        *("//etc/passwd", "/static//etc/passwd", "/static/main.js/", "/static/%2e%2e/index.html%00", "/ws/"),
    ],
)
def test_reaches_no_other_path(serve, path):
    served = serve()
    client = served.raw(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    answer = client.makefile("rb").read()
    assert answer.split(b" ", 2)[1] in (b"400", b"404"), answer


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "HEAD", "OPTIONS"])
def test_only_answers_get(serve, method):
    assert serve().get("/", method)[0] == 405


def test_the_token_opens_the_page_and_its_cookie_the_socket(serve):
    served = serve(Access.of(TOKEN, []))
    assert served.get("/")[0] == 401
    assert served.get(f"/?token={TOKEN[:-1]}x")[0] == 401
    assert served.get("/static/main.js")[0] == 200, "the files are no secret"
    status, headers, _ = served.get(f"/?token={TOKEN}")
    cookie = headers["Set-Cookie"]
    assert (status, cookie) == (200, f"trt_ssd_ros_{served.port}={TOKEN}; HttpOnly; Path=/; SameSite=Strict")
    _, headers, _ = served.get(f"/?token={TOKEN}", **{"X-Forwarded-Proto": "https"})
    assert "; Secure" in headers["Set-Cookie"], "behind a proxy with TLS"

    async def visit() -> None:
        for path, headers in (
            ("/ws", {}),
            ("/ws?token=no", {}),
            ("/ws", {"Cookie": f"trt_ssd_ros_{served.port}=no"}),
        ):
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                async with viewer(served.port, path, **headers):
                    pass
            assert refused.value.status == 401
        served.server.tell("state", '{"type":"state"}')
        async with viewer(served.port, Cookie=cookie.partition(";")[0]) as page:
            await page.text("state")

    asyncio.run(visit())
    assert served.log == ["refused: wrong token: 127.0.0.1 asks for '/'"], "once, and without the token"


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "evil.example:80", "Origin": "http://evil.example:80"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
    ],
)
def test_other_sites_get_neither_page_nor_socket(serve, headers):
    served = serve()
    assert served.get("/", **headers)[0] == 403

    async def visit() -> None:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            async with viewer(served.port, **headers):
                pass
        assert refused.value.status == 403

    asyncio.run(visit())
    assert len(served.log) == 1


def test_a_viewer_gets_texts_frames_and_answers(serve):
    served = serve()

    async def visit() -> None:
        served.server.tell("state", '{"type":"state","n":1}')
        async with viewer(served.port) as page:
            assert await page.text("state") == {"type": "state", "n": 1}
            await page.look("front")
            await asyncio.to_thread(served.wait_for_demand, 1, "front")
            served.server.offer(Frame("rear", 1, b"\x02\0\0\0{}rear"))
            served.server.offer(Frame("front", 2, b"\x02\0\0\0{}front"))
            assert (await page.frame()).jpeg == b"front"
            answer = await page.command(type="set", parameter="roi", value=[])
            assert answer == {"type": "answer", "request": 7, "ok": False, "message": "the detector's own words"}

    asyncio.run(visit())
    served.wait_for_demand(0)


def test_a_viewer_may_leave_before_its_answer(serve):
    served = serve()
    served.answers_later = SimpleQueue()

    async def visit() -> Future[Answer]:
        async with viewer(served.port) as page:
            await page.socket.send_json({"type": "enable", "request": 1, "camera": "", "value": True})
            return await asyncio.to_thread(served.answers_later.get, True, PATIENCE)

    answer = asyncio.run(visit())
    served.wait_for_demand(0)
    answer.set_result(Answer(True, ""))


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("not JSON", 1008),
        ('{"type": "shutdown"}', 1008),
        (b"binary", 1008),
        ("x" * (MAX_REQUEST_BYTES + 1), 1009),
    ],
    ids=["text", "type", "binary", "large"],
)
def test_a_malformed_request_ends_its_viewer_only(serve, message, code):
    served = serve()

    async def visit() -> None:
        async with viewer(served.port) as good, viewer(served.port) as bad:
            send = bad.socket.send_str if isinstance(message, str) else bad.socket.send_bytes
            await send(message)
            closed = await bad.socket.receive(PATIENCE)
            assert (closed.type, bad.socket.close_code) == (aiohttp.WSMsgType.CLOSE, code)
            assert (await good.command(type="enable", camera="", value=True))["ok"] is False

    asyncio.run(visit())
    served.wait_for_log("malformed request")
    assert len(served.log) == 1


def test_a_flood_of_requests_ends_its_viewer_only(serve):
    served = serve()

    async def visit() -> None:
        async with viewer(served.port) as good, viewer(served.port) as bad:
            with suppress(ConnectionError):  # the server may have cut the connection before the last
                for _ in range(int(2 * BURST_SECONDS * MAX_REQUESTS_PER_SECOND)):
                    await bad.socket.send_str('{"type":"ack","camera":"","frame":1,"drawn":1}')
            closed = await bad.socket.receive(PATIENCE)
            assert closed.type != aiohttp.WSMsgType.TEXT
            assert (await good.command(type="enable", camera="", value=True))["ok"] is False

    asyncio.run(visit())
    served.wait_for_log("requests a second")


def test_a_flood_of_pings_ends_its_viewer_only(serve):
    served = serve()

    async def visit() -> None:
        async with viewer(served.port) as good, viewer(served.port) as bad:
            with suppress(ConnectionError):  # the server may have cut the connection before the last
                for _ in range(int(2 * BURST_SECONDS * MAX_REQUESTS_PER_SECOND)):
                    await bad.socket.ping()
                await asyncio.to_thread(served.wait_for_log, "requests a second")
            assert (await good.command(type="enable", camera="", value=True))["ok"] is False

    asyncio.run(visit())
    served.wait_for_log("requests a second")


def test_broken_bytes_are_refused_and_logged_once(serve):
    served = serve()
    for data in (b"\0\xff\x16\x03\x01\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n"):
        for _ in range(3):
            answer = served.raw(data).makefile("rb").read()
            assert answer == b"" or answer.split(b" ", 2)[1] == b"400"
    oversized = b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 100_000 + b"\r\n\r\n"
    assert b" 400 " in served.raw(oversized).makefile("rb").readline()
    assert served.get("/")[0] == 200
    assert len(served.log) <= 2, served.log


def test_a_slow_request_is_cut(serve, monkeypatch):
    monkeypatch.setattr(connections, "EXCHANGE_SECONDS", 0.3)
    served = serve()
    slow = [served.raw(data) for data in (b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: localhost\r\nX-A: ")]
    assert all(is_cut(client) for client in slow)
    assert [line for line in served.log if "slow request" not in line] == []
    assert len(served.log) == 1

    async def visit() -> None:
        async with viewer(served.port) as page:
            assert is_cut(served.raw())
            assert (await page.command(type="enable", camera="", value=True))["ok"] is False, "it may stay"

    asyncio.run(visit())


def test_200_connections_leave_room_for_the_viewers_that_are_there(serve):
    served = serve()

    async def visit() -> None:
        async with viewer(served.port) as page:
            crowd = [await asyncio.to_thread(served.raw) for _ in range(200)]
            refused = await asyncio.to_thread(lambda: [is_cut(client) for client in crowd[MAX_CONNECTIONS - 1 :]])
            assert all(refused)
            assert (await page.command(type="enable", camera="", value=True))["ok"] is False
            for client in crowd:
                client.close()
        while True:  # the server notices each end
            try:
                assert served.get("/")[0] == 200
                return
            except ConnectionError:
                await asyncio.sleep(0.01)

    asyncio.run(visit())
    assert [line for line in served.log if "too many connections" not in line] == []
    assert len(served.log) == 1


def test_more_viewers_than_it_serves_are_refused(serve):
    served = serve()

    async def visit() -> None:
        async with aiohttp.ClientSession() as session:
            url = f"http://127.0.0.1:{served.port}/ws"
            there = [await session.ws_connect(url) for _ in range(MAX_VIEWERS)]
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await session.ws_connect(url)
            assert refused.value.status == 503
            await asyncio.gather(*(socket.close() for socket in there))

    asyncio.run(visit())
    assert len(served.log) == 1


def handshake(port: int, *messages: Any) -> bytes:
    """Return the bytes with which a client opens a WebSocket and sends texts."""
    opening = (
        f"GET /ws HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    ).encode()
    texts = [json.dumps(message).encode() for message in messages]
    return opening + b"".join(bytes((0x81, 0x80 | len(text), 0, 0, 0, 0)) + text for text in texts)


@contextmanager
def stalled_viewer(port: int) -> Iterator[socket.socket]:
    """Connect a viewer of camera a that has a small buffer and reads nothing."""
    with socket.socket() as stalled:
        stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stalled.connect(("127.0.0.1", port))
        stalled.sendall(handshake(port, {"type": "look", "cameras": ["a"], "rate": 0}))
        yield stalled


def test_a_viewer_that_does_not_read_is_cut_and_delays_no_other(serve, monkeypatch):
    monkeypatch.setattr(connections, "SEND_SECONDS", 0.5)
    served = serve()
    huge = b"\x02\0\0\0{}" + bytes(20_000_000)

    async def visit() -> None:
        async with viewer(served.port) as page:
            await page.look("b")
            await asyncio.to_thread(served.wait_for_demand, 2, "a b")
            number = 0
            while not any("does not read" in line for line in served.log):
                await asyncio.sleep(0.01)  # a camera at 100 Hz
                number += 1
                served.server.offer(Frame("a", number, huge))
                header = json.dumps({"camera": "b", "frame": number, "drawn": 1}).encode()
                served.server.offer(Frame("b", number, len(header).to_bytes(4, "little") + header))
                assert (await page.frame()).header["frame"] == number, "each of the other viewer's frames arrives"
                await page.socket.send_json({"type": "ack", "camera": "b", "frame": number, "drawn": 1})
            assert number > MAX_IN_FLIGHT

    with stalled_viewer(served.port):
        asyncio.run(visit())
    assert len(served.log) == 1


def test_a_viewer_that_neither_reads_nor_acknowledges_is_cut(serve, monkeypatch):
    monkeypatch.setattr(connections, "SEND_SECONDS", 0.5)
    served = serve()
    with stalled_viewer(served.port):
        served.wait_for_demand(1, "a")
        served.server.offer(Frame("a", 1, bytes(1000)))
        served.server.offer(Frame("a", 2, bytes(20_000_000)))
        served.wait_for_demand(0)
    served.wait_for_log("does not read")


def test_a_viewer_that_leaves_without_reading_is_cut(serve, monkeypatch):
    monkeypatch.setattr(connections, "SEND_SECONDS", 1.0)
    served = serve()
    with stalled_viewer(served.port) as leaving:
        served.wait_for_demand(1, "a")
        served.server.offer(Frame("a", 1, bytes(20_000_000)))
        while len(leaving.recv(1000, socket.MSG_PEEK)) < 1000:  # the frame is under way
            pass
        leaving.sendall(bytes((0x88, 0x80, 0, 0, 0, 0)))  # the end of a WebSocket
        served.wait_for_demand(0)
        served.wait_for_log("does not read")


def test_a_viewer_that_has_left_the_network_is_no_refusal(serve, monkeypatch):
    monkeypatch.setattr(server_module, "PING_SECONDS", 0.2)
    served = serve()
    with served.raw(handshake(served.port)):  # it answers no ping
        served.wait_for_demand(1)
        served.wait_for_demand(0)
    assert served.log == []


def test_ends_with_its_viewers(serve):
    served = serve()

    async def visit() -> None:
        async with viewer(served.port) as page:
            await page.look("a")
            closing = asyncio.create_task(asyncio.to_thread(served.server.close))
            closed = await page.socket.receive(PATIENCE)
            assert (closed.type, page.socket.close_code) == (aiohttp.WSMsgType.CLOSE, 1001)
            await closing

    asyncio.run(visit())
    served.server.close()
    with pytest.raises(ConnectionRefusedError):
        served.raw()


def test_ends_although_a_viewer_does_not_answer(serve):
    served = serve()
    silent = served.raw(handshake(served.port, {"type": "look", "cameras": ["a"], "rate": 0}))
    served.wait_for_demand(1, "a")
    for number in range(MAX_IN_FLIGHT):
        served.server.offer(Frame("a", number, bytes(20_000_000)))
    closing = threading.Thread(target=served.server.close, daemon=True)
    closing.start()
    closing.join(PATIENCE)
    assert not closing.is_alive()
    silent.close()


def test_a_port_in_use_is_an_error(serve):
    served = serve()
    other = WebServer({}, Access(), Backend(served._execute, lambda _: None, RefusalLog(lambda _: None)))
    with pytest.raises(OSError, match="in use"):
        other.start("127.0.0.1", served.port)
    other.close()
