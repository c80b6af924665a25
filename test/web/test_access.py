"""Access to the page: token, Host, Origin, and the log of refusals."""

from __future__ import annotations

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as some

from trt_ssd_ros.web.security import NO_TOKEN, WRONG_HOST, WRONG_ORIGIN, Access, RefusalLog, choose_token

TOKEN = "0123456789abcdef"  # noqa: S105


@pytest.mark.parametrize(
    ("host", "given_", "expected"),
    [
        ("127.0.0.1", "", ""),
        ("localhost", "", ""),
        ("::1", "", ""),
        ("127.0.0.1", TOKEN, TOKEN),
        ("0.0.0.0", TOKEN, TOKEN),  # noqa: S104
    ],
)
def test_a_token_is_the_users(host, given_, expected):
    assert choose_token(host, given_) == expected


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "robot"])  # noqa: S104
def test_a_page_for_others_has_a_token_of_its_own(host):
    tokens = {choose_token(host, "") for _ in range(10)}
    assert len(tokens) == 10
    assert all(len(token) >= 32 for token in tokens)


@pytest.mark.parametrize("token", ["short", "has space 0123456789", "quote'0123456789", "ä123456789012345"])
def test_a_weak_token_is_refused(token):
    with pytest.raises(ValueError, match="token: found"):
        choose_token("127.0.0.1", token)


@pytest.mark.parametrize(
    ("host", "origin", "refusal"),
    [
        ("127.0.0.1:8080", None, None),
        ("localhost:8080", "http://localhost:8080", None),
        ("[::1]:8080", "http://[::1]:8080", None),
        ("192.168.1.5:8080", "http://192.168.1.5:8080", None),
        (socket.gethostname(), None, None),
        ("Robot.example", "https://robot.example", None),
        ("", None, WRONG_HOST),
        ("evil.example:8080", "http://evil.example:8080", WRONG_HOST),
        ("127.0.0.1.evil.example", None, WRONG_HOST),
        ("127.0.0.1:port", None, WRONG_HOST),
        ("user@127.0.0.1", None, WRONG_HOST),
        ("127.0.0.1/evil.example", None, WRONG_HOST),
        ("127.0.0.1:8080", "http://evil.example", WRONG_ORIGIN),
        ("127.0.0.1:8080", "http://127.0.0.1:8081", WRONG_ORIGIN),
        ("127.0.0.1:8080", "http://localhost:8080", WRONG_ORIGIN),
        ("127.0.0.1:8080", "null", WRONG_ORIGIN),
        ("127.0.0.1:8080", "", WRONG_ORIGIN),
    ],
)
def test_other_sites_are_refused(host, origin, refusal):
    assert Access.of("", ["robot.example"]).check_site(host, origin) == refusal


@given(some.text(), some.none() | some.text())
def test_any_header_is_allowed_or_refused(host, origin):
    assert Access.of("", []).check_site(host, origin) in (None, WRONG_HOST, WRONG_ORIGIN)


def test_only_the_token_is_the_token():
    access = Access(TOKEN)
    assert access.check_token(TOKEN) is None
    for wrong in (None, "", TOKEN[:-1], TOKEN + "0", "\udce4", "ä"):
        assert access.check_token(wrong) == NO_TOKEN
    assert Access("").check_token(None) is None
    assert TOKEN not in repr(access)


def test_a_kind_of_refusal_is_logged_once():
    lines: list[str] = []
    refusals = RefusalLog(lines.append)
    for _ in range(1000):
        refusals.note("wrong token", "from 10.0.0.9")
    refusals.note("other origin")
    assert lines == ["refused: wrong token: from 10.0.0.9", "refused: other origin"]
    assert refusals.counts == {"wrong token": 1000, "other origin": 1}
