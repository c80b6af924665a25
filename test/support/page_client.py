"""A viewer of the web page that is no browser: the protocol of web/protocol.py over a real socket."""

from __future__ import annotations

import asyncio
import json
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

from trt_ssd_ros.bench.acknowledgements import Acknowledgements

PATIENCE = 30.0
"""Seconds to wait for what has to happen."""


@dataclass(frozen=True)
class PageFrame:
    """One frame: its header and its picture."""

    header: dict[str, Any]
    jpeg: bytes

    @classmethod
    def of(cls, message: bytes) -> PageFrame:
        """Read a binary message."""
        length = int.from_bytes(message[:4], "little")
        return cls(json.loads(message[4 : 4 + length]), message[4 + length :])


class PageClient:
    """One open WebSocket."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.texts: dict[str, dict[str, Any]] = {}
        self._acknowledgements: defaultdict[str, Acknowledgements] = defaultdict(Acknowledgements)

    async def next(self, patience: float = PATIENCE) -> PageFrame | dict[str, Any]:
        """Return the next message; raise ConnectionError if the server has closed the socket."""
        message = await self.socket.receive(patience)
        if message.type == aiohttp.WSMsgType.BINARY:
            return PageFrame.of(message.data)
        if message.type != aiohttp.WSMsgType.TEXT:
            raise ConnectionError(f"closed with {self.socket.close_code} {message.extra or message.data}")
        text: dict[str, Any] = json.loads(message.data)
        self.texts[text["type"]] = text
        return text

    async def frame(self, patience: float = PATIENCE) -> PageFrame:
        """Return the next frame, past all texts; it is not acknowledged."""

        async def wait() -> PageFrame:
            while not isinstance(message := await self.next(), PageFrame):
                pass
            return message

        return await asyncio.wait_for(wait(), patience)

    async def text(self, kind: str, fits: Callable[[dict[str, Any]], Any] = lambda _: True) -> dict[str, Any]:
        """Return the next text of a kind that fits; frames before it are acknowledged."""

        async def wait() -> dict[str, Any]:
            while True:
                message = await self.next()
                if isinstance(message, PageFrame):
                    await self.acknowledge(message)
                elif message["type"] == kind and fits(message):
                    return message

        return await asyncio.wait_for(wait(), PATIENCE)

    async def newest(self, kind: str, fits: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
        """Return the newest text of a kind if it fits, else the next that does."""
        known = self.texts.get(kind)
        return known if known is not None and fits(known) else await self.text(kind, fits)

    async def look(self, *cameras: str, rate: float = 0) -> None:
        """Ask for pictures."""
        await self.socket.send_json({"type": "look", "cameras": cameras, "rate": rate})

    async def acknowledge(self, frame: PageFrame) -> None:
        """Make room for the next frames, as the page does."""
        camera, number = frame.header["camera"], frame.header["frame"]
        if drawn := self._acknowledgements[camera].due(time.monotonic()):
            await self.socket.send_json({"type": "ack", "camera": camera, "frame": number, "drawn": drawn})

    async def command(self, **content: Any) -> dict[str, Any]:
        """Send a request, and return its answer."""
        await self.socket.send_json({"request": 7, **content})
        return await self.text("answer", lambda answer: answer["request"] == 7)


@asynccontextmanager
async def viewer(port: int, path: str = "/ws", **headers: str) -> AsyncIterator[PageClient]:
    """Open a WebSocket, and close it after the block."""
    async with (
        aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session,
        session.ws_connect(f"http://127.0.0.1:{port}{path}", headers=headers, max_msg_size=0) as socket,
    ):
        yield PageClient(socket)
