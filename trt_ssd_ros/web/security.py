"""Access to the page: token, Host and Origin, headers of every answer, and the log of what was refused."""

from __future__ import annotations

import hmac
import ipaddress
import re
import secrets
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import urlsplit

LOOPBACK_NAME = "localhost"
LEAST_TOKEN = 16
"""Smallest number of characters of a token."""
QUIET_SECONDS = 60.0
"""Time between two lines of the log about one kind of refusal."""

HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' blob: data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Cache-Control": "no-store",
    "Server": "trt_ssd_ros",
}
"""Headers of every answer: only files and sockets of this server, in no frame, guessed as no other type."""


def is_loopback(host: str) -> bool:
    """Return whether a name or address to listen on is reached from this machine only."""
    if host == LOOPBACK_NAME:
        return True
    address = _address(host)
    return address is not None and address.is_loopback


def choose_token(host: str, token: str) -> str:
    """Return the token that viewers need; empty: none.

    Args:
        host: Name or address to listen on.
        token: Token that the user gave; empty: a new one, unless the host is loopback.

    Raises:
        ValueError: The token is short, or would have to be quoted in an address.
    """
    if token and not re.fullmatch(rf"[A-Za-z0-9_.~-]{{{LEAST_TOKEN},256}}", token):
        raise ValueError(
            f"token: found {len(token)} characters, expected at least {LEAST_TOKEN} of A-Z, a-z, 0-9 and _.~-: "
            "leave it empty, and the node makes one"
        )
    return token or ("" if is_loopback(host) else secrets.token_urlsafe(24))


@dataclass(frozen=True)
class Refusal:
    """Answer to a request that is refused.

    Attributes:
        status: Status of HTTP.
        kind: Kind of the refusal, for the log.
        text: Text of the answer, which says what to do.
    """

    status: HTTPStatus
    kind: str
    text: str


NO_TOKEN = Refusal(
    HTTPStatus.UNAUTHORIZED,
    "wrong token",
    "This page needs its token: open the address that the web node printed.",
)
WRONG_HOST = Refusal(
    HTTPStatus.FORBIDDEN,
    "unknown host",
    "This page is not served under this name: use its address, its hostname or a name in allowed_hosts.",
)
WRONG_ORIGIN = Refusal(HTTPStatus.FORBIDDEN, "other origin", "Other sites may not use this page.")


@dataclass(frozen=True)
class Access:
    """Rules for requests.

    A page of another site can make a browser send requests here, but it cannot set `Host` or `Origin`. If the site
    points its own name to this address (DNS rebinding), `Host` is that name: only addresses and known names are
    served.

    Attributes:
        token: Token that viewers need; empty: none.
        names: Allowed names in `Host` beside addresses, `localhost` and the hostname, in lower case.
    """

    token: str = field(default="", repr=False)
    names: frozenset[str] = frozenset()

    @classmethod
    def of(cls, token: str, names: list[str]) -> Access:
        """Return the rules for a token and more names of this machine, as a reverse proxy may have."""
        own = socket.gethostname().lower()
        known = (LOOPBACK_NAME, own, f"{own.partition('.')[0]}.local", *(name.lower() for name in names))
        return cls(token, frozenset(known))

    def check_site(self, host: str, origin: str | None) -> Refusal | None:
        """Return the refusal of a request by its headers, or None.

        Args:
            host: Header `Host`.
            origin: Header `Origin`, which browsers send with every WebSocket; None: not sent.
        """
        name = _hostname(host)
        if name is None or (name not in self.names and _address(name) is None):
            return WRONG_HOST
        if origin is not None and origin.lower() not in (f"http://{host}".lower(), f"https://{host}".lower()):
            return WRONG_ORIGIN
        return None

    def check_token(self, given: str | None) -> Refusal | None:
        """Return the refusal of a request by its token, or None; it takes the same time for all wrong tokens."""
        if not self.token:
            return None
        found = (given or "").encode(errors="surrogateescape")
        return None if hmac.compare_digest(found, self.token.encode()) else NO_TOKEN


def _hostname(host: str) -> str | None:
    """Return the name or address in a Host header in lower case, without its port; None: it is malformed."""
    try:
        parts = urlsplit(f"//{host}")
        _ = parts.port  # raises the error of a port that is no number
    except ValueError:
        return None
    return parts.hostname if parts.netloc == host and "@" not in host else None


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None


class RefusalLog:
    """Log and counts of what was refused: one line for each kind at first, then at most one a minute.

    Args:
        warn: Function that logs a line.

    Attributes:
        counts: Number of refusals of each kind.
    """

    def __init__(self, warn: Callable[[str], None]) -> None:
        self.counts: dict[str, int] = {}
        self._warn = warn
        self._logged: dict[str, tuple[float, int]] = {}

    def note(self, kind: str, detail: str = "") -> None:
        """Count a refusal, and log it if the log has been quiet about its kind.

        Args:
            kind: Kind of the refusal.
            detail: More about it; what it quotes of a request is quoted with `repr`.
        """
        self.counts[kind] = count = self.counts.get(kind, 0) + 1
        at, before = self._logged.get(kind, (float("-inf"), 0))
        now = time.monotonic()
        if now - at < QUIET_SECONDS:
            return
        self._logged[kind] = now, count
        more = f", {count - before} times since the last line" if before else ""
        self._warn(f"refused: {kind}{detail and ': '}{detail}{more}")
