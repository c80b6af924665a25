"""RemoteServer: HTTP requests to an inference server, each with a deadline and with no answer but its own."""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as DeadlineError
from contextlib import suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import NamedTuple
from urllib.parse import urlsplit

from trt_ssd_ros.detection.engine import EngineUnavailableError
from trt_ssd_ros.errors import one_line
from trt_ssd_ros.files import read_file

TOKEN_VARIABLE = "TRT_SSD_REMOTE_TOKEN"  # noqa: S105 - the name of a variable
FALLBACKS = ("onnxruntime", "none")
MIN_TIMEOUT = 0.01
MAX_TIMEOUT = 10.0
"""Shortest and longest deadline of a request, in seconds."""
JOIN = 0.1
"""Longest wait in seconds for the end of a closed connection's thread."""
MAX_HEADER = 1 << 16
"""Largest JSON text of an answer, and largest token file, in bytes."""
HEADER_LENGTH = "Inference-Header-Content-Length"
CLOSED = (ConnectionResetError, BrokenPipeError, ConnectionAbortedError, HTTPException)
"""Errors of a request on a connection that the server has closed; it may close an idle one at any time."""


@dataclass(frozen=True)
class RemoteOptions:
    """Server of the backend `remote`.

    Attributes:
        url: Address of the server, http or https, as in http://gpu-server:8000.
        model: Name of the model on the server; empty: the card's name.
        token_file: File with the token that the server expects; empty: the environment variable TOKEN_VARIABLE.
        ca_file: File with the certificates (PEM) that signed the server's; empty: those of the system.
        timeout: Deadline of a request in seconds, from MIN_TIMEOUT to MAX_TIMEOUT.
        fallback: One of FALLBACKS: engine that runs while the server does not answer.

    Raises:
        ValueError: A value is out of range.
    """

    url: str = ""
    model: str = ""
    token_file: str = ""
    ca_file: str = ""
    timeout: float = 0.5
    fallback: str = FALLBACKS[0]

    def __post_init__(self) -> None:
        if not MIN_TIMEOUT <= self.timeout <= MAX_TIMEOUT:
            expected = f"{MIN_TIMEOUT:g} to {MAX_TIMEOUT:g} seconds"
            raise ValueError(f"remote_timeout: found {self.timeout}, expected {expected}")
        if self.fallback not in FALLBACKS:
            raise ValueError(f"remote_fallback: found {self.fallback!r}, expected one of {', '.join(FALLBACKS)}")

    def token(self) -> str:
        """Return the token; empty: none.

        Raises:
            OSError: The file cannot be read.
            ValueError: The token is not one word of printable ASCII; the message does not show it.
        """
        if self.token_file:
            origin, text = f"remote_token_file {self.token_file}", _read_text(self.token_file)
        else:
            origin, text = TOKEN_VARIABLE, os.environ.get(TOKEN_VARIABLE, "")
        token = text.strip()
        if (self.token_file and not token) or not token.isascii() or not token.isprintable() or " " in token:
            raise ValueError(f"{origin}: found no token, expected one word of printable ASCII")
        return token


def _read_text(path: str) -> str:
    return read_file(Path(path), MAX_HEADER).decode("ascii", "replace")


def _split_url(url: str) -> tuple[str, str, int | None, str]:
    """Return scheme, host, port and path of a server's address."""
    found = "an address with a password" if "@" in url else repr(url)  # also if no part of it can be told apart
    try:
        parts = urlsplit(url)
        is_server = parts.scheme in ("http", "https") and not ("@" in url or parts.query or parts.fragment)
        if is_server and parts.hostname:
            return parts.scheme, parts.hostname, parts.port, parts.path
        reason = ""
    except ValueError as error:  # brackets or port
        reason = "" if "@" in url else f" ({error})"
    expected = "the server's address, as in http://gpu-server:8000"
    raise ValueError(f"remote_url: found {found}{reason}, expected {expected}")


class ServerRefusedError(EngineUnavailableError):
    """Answer of a server that refuses the request or is not the expected one; the user must change something."""


class Answer(NamedTuple):
    """Successful answer of a server.

    Attributes:
        text: JSON text.
        binary: Bytes after it, the tensors.
    """

    text: bytes
    binary: bytes


class RemoteServer:
    """Inference server. Like an engine, it belongs to one thread at a time.

    Args:
        options: Address, token and certificates of the server.

    Attributes:
        url: Address of the server.

    Raises:
        OSError: The token or the certificates cannot be read.
        ValueError: The URL or the token has errors.
    """

    def __init__(self, options: RemoteOptions) -> None:
        self.url = options.url.rstrip("/")
        scheme, self._host, self._port, self._prefix = _split_url(self.url)
        self._tls = ssl.create_default_context(cafile=options.ca_file or None) if scheme == "https" else None
        token = options.token()
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._connection: _Connection | None = None

    def request(
        self,
        method: str,
        path: str,
        timeout: float,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        max_bytes: int = MAX_HEADER,
    ) -> Answer:
        """Send a request and wait for its answer.

        A request without an answer at the deadline closes the connection, so that its answer reaches no other one.

        Args:
            method: GET or POST.
            path: Path below the server's address.
            timeout: Deadline in seconds for everything, also the look-up of the name and the TLS handshake.
            body: Content of the request.
            headers: Further headers.
            max_bytes: Largest accepted answer in bytes.

        Raises:
            ServerRefusedError: The server refuses the request or the token, or its certificate is not trusted.
            EngineUnavailableError: No complete answer came in time, or the server does not have the model.
        """
        sent = {**self._headers, **(headers or {})}
        exchange = _Exchange(method, self._prefix + path, body, sent, max_bytes, timeout)
        self._open_connection().start(exchange)
        status, length, content = self._await(exchange)
        if status != 200:
            raise self._failure(status, content)
        return Answer(content[:length], content[length:])

    def _await(self, exchange: _Exchange) -> tuple[int, int, bytes]:
        """Wait for an answer; without one, close the connection and raise the error."""
        cause: Exception
        try:
            return exchange.done.result(exchange.timeout)
        except ssl.SSLCertVerificationError as error:
            reason = f"{self.url}: its certificate is not trusted ({error.verify_message})"
            raise ServerRefusedError(f"{reason}: set remote_ca_file") from error
        except (DeadlineError, TimeoutError) as error:  # of the future, and of the socket
            problem, cause = f"no answer within {exchange.timeout:g} s", error
        except ConnectionRefusedError as error:
            problem, cause = "no server listens there: start it, or correct remote_url", error
        except (OSError, HTTPException, ValueError) as error:
            problem, cause = f"{type(error).__name__}: {one_line(error)}", error
        self.close()
        raise EngineUnavailableError(f"{self.url}: {problem}") from cause

    def _open_connection(self) -> _Connection:
        """Return the connection, or a new one if it was closed; at most one closed one may still wait."""
        if self._connection is None or self._connection.is_closed:
            if self._connection is not None and self._connection.is_running:
                raise EngineUnavailableError(f"{self.url}: an earlier request still waits for the network")
            self._connection = _Connection(self._new_connection)
        return self._connection

    def _new_connection(self, timeout: float) -> HTTPConnection:
        if self._tls is None:
            return HTTPConnection(self._host, self._port, timeout=timeout)
        return HTTPSConnection(self._host, self._port, timeout=timeout, context=self._tls)

    def _failure(self, status: int, content: bytes) -> EngineUnavailableError:
        """Return the error for an answer with another status than 200."""
        text = " ".join(content[:200].decode("utf-8", "replace").split())
        if status in (401, 403):
            advice = f"set remote_token_file or {TOKEN_VARIABLE}"
            return ServerRefusedError(f"{self.url}: the server refuses the token (HTTP {status}): {advice}")
        is_absent = status == 404  # like a server that is gone: it may load the model later
        kind = EngineUnavailableError if status >= 500 or is_absent else ServerRefusedError
        advice = ": load the model (docs/fleet.md), or correct remote_model" if is_absent else ""
        return kind(f"{self.url}: the server answered HTTP {status}: {text}{advice}")

    def close(self) -> None:
        """Close the connection; the next request opens another one."""
        if self._connection is not None:
            self._connection.close()


@dataclass(frozen=True)
class _Exchange:
    """Request, and the future of its status, length of the JSON text, and content."""

    method: str
    path: str
    body: bytes | None
    headers: Mapping[str, str]
    max_bytes: int
    timeout: float
    done: Future[tuple[int, int, bytes]] = field(default_factory=Future)


class _Connection:
    """Keep-alive connection in a thread of its own, because no timeout covers the look-up of a name.

    Args:
        new: Function that returns an unconnected connection, whose socket waits at most some seconds.
    """

    def __init__(self, new: Callable[[float], HTTPConnection]) -> None:
        self._new = new
        self._http: HTTPConnection | None = None
        self._exchanges: SimpleQueue[_Exchange | None] = SimpleQueue()
        self.is_closed = False
        self._thread = Thread(target=self._work, name="remote_server", daemon=True)
        self._thread.start()

    @property
    def is_running(self) -> bool:
        """Whether the thread still works, also after `close`."""
        return self._thread.is_alive()

    def start(self, exchange: _Exchange) -> None:
        """Start a request; its future has the answer."""
        self._exchanges.put(exchange)

    def close(self) -> None:
        """End the thread, also one that waits for the server, unless it looks up a name."""
        if self.is_closed:
            return
        self.is_closed = True
        self._exchanges.put(None)
        opened = self._http.sock if self._http is not None else None
        if opened is not None:
            with suppress(OSError):  # the server may have closed it
                socket.socket.shutdown(opened, socket.SHUT_RDWR)
        self._thread.join(JOIN)

    def _work(self) -> None:
        while (exchange := self._exchanges.get()) is not None:
            try:
                exchange.done.set_result(self._attempt(exchange))
            except Exception as error:  # belongs to the thread that waits for the answer
                exchange.done.set_exception(error)
        if self._http is not None:
            self._http.close()

    def _attempt(self, exchange: _Exchange) -> tuple[int, int, bytes]:
        """Send a request, once more on a new connection if the server has closed the idle one."""
        if self._http is not None:
            try:
                return _send(self._http, exchange)
            except CLOSED:
                self._http.close()
                if self.is_closed:
                    raise
        self._http = self._new(exchange.timeout)
        return _send(self._http, exchange)


def _send(http: HTTPConnection, exchange: _Exchange) -> tuple[int, int, bytes]:
    """Send a request, and return the answer's status, the length of its JSON text, and its content."""
    http.request(exchange.method, exchange.path, exchange.body, dict(exchange.headers))
    with http.getresponse() as response:
        content = response.read(exchange.max_bytes + 1)
        if len(content) > exchange.max_bytes:
            http.close()
            raise ValueError(f"found an answer of more than {exchange.max_bytes} bytes")
        return response.status, int(response.getheader(HEADER_LENGTH) or len(content)), content
