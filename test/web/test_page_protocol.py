"""The protocol between the web node and its page: what is read, what is refused, what a frame holds."""

from __future__ import annotations

import json
import math
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as some
from page_client import PageFrame

from trt_ssd_ros.detection.region import Window
from trt_ssd_ros.web.protocol import (
    Ack,
    Box,
    Enable,
    Look,
    Parameter,
    ProtocolError,
    SetParameter,
    frame_message,
    parameters_message,
    read_request,
)


@pytest.mark.parametrize(
    ("text", "request_"),
    [
        ('{"type": "look", "cameras": [], "rate": 0}', Look(frozenset(), 0.0)),
        ('{"type": "look", "cameras": ["a", "b"], "rate": 7.5}', Look(frozenset("ab"), 7.5)),
        ('{"type": "ack", "camera": "", "frame": 3, "drawn": 2}', Ack("", 3, 2)),
        ('{"type": "set", "request": 1, "parameter": "roi", "value": [0, 0.5]}', SetParameter(1, "roi", [0, 0.5])),
        ('{"type": "set", "request": 1, "parameter": "a.roi", "value": null}', SetParameter(1, "a.roi", None)),
        ('{"type": "enable", "request": 2, "camera": "a", "value": false}', Enable(2, "a", False)),
    ],
)
def test_reads_requests(text, request_):
    assert read_request(text) == request_


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "no JSON"),
        ("[" * 5000, "no JSON"),
        ("[]", "type 'None'"),
        ('{"type": ["look"]}', "type"),
        ('{"type": "reboot"}', "'reboot'"),
        ('{"type": "look"}', "cameras"),
        ('{"type": "look", "cameras": [1], "rate": 0}', "names of cameras"),
        ('{"type": "look", "cameras": [], "rate": -1}', "rate"),
        ('{"type": "look", "cameras": [], "rate": NaN}', "NaN"),
        ('{"type": "ack", "camera": "", "frame": true}', "frame"),
        ('{"type": "ack", "camera": "", "frame": 1.5}', "frame"),
        ('{"type": "ack", "camera": "", "frame": 1}', "drawn"),
        ('{"type": "set", "request": 1, "parameter": "roi"}', "no value"),
        ('{"type": "enable", "request": 1, "camera": "", "value": 1}', "value"),
    ],
)
def test_refuses_what_is_no_request(text, found):
    with pytest.raises(ProtocolError, match=found):
        read_request(text)


@given(some.text() | some.recursive(some.none() | some.booleans() | some.text(), some.lists).map(json.dumps))
def test_reads_or_refuses_any_text(text):
    with suppress(ProtocolError):
        read_request(text)


def test_a_frame_holds_the_picture_and_its_boxes():
    box = Box(1.0, 2.0, 3.0, 4.0, "<b>", math.nan, "7", math.inf)
    size, seen = (1280, 720), [Window(1, 2, 4, 6, "gate")]
    frame = PageFrame.of(frame_message("front", 5, 1_700_000_000_000_000_042, size, [box], b"jpeg", seen))
    assert frame.jpeg == b"jpeg"
    assert frame.header == {
        **{"camera": "front", "frame": 5, "stamp": "1700000000.000000042", "width": 1280, "height": 720},
        "boxes": [
            {
                **{"x": 1.0, "y": 2.0, "width": 3.0, "height": 4.0},
                **{"label": "<b>", "score": None, "id": "7", "distance": None},
            }
        ],
        "views": [{"x": 1, "y": 2, "width": 3, "height": 4, "name": "gate"}],
    }


def test_boxes_are_unknown_or_none():
    assert PageFrame.of(frame_message("", 1, 0, (2, 2), None, b"")).header["boxes"] is None
    assert PageFrame.of(frame_message("", 1, 1, (2, 2), [], b"")).header["boxes"] == []


def test_parameters_without_a_number_of_json_have_none():
    parameter = Parameter("roi", "", "double_array", [0.0, math.nan], None, math.inf, (), "region")
    [found] = json.loads(parameters_message([parameter]))["parameters"]
    assert (found["value"], found["highest"]) == ([0.0, None], None)
