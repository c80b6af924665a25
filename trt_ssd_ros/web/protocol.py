"""Protocol between the web node and its page: JSON texts and binary frames over one WebSocket.

`GET /` returns the page, `GET /static/NAME` its files, `GET /ws` opens the WebSocket. If the node has a token, the
address `/?token=TOKEN` sets a cookie; without the cookie, `/` and `/ws` answer 401.

Server to page, text. Each message comes once after the connection, and again when its content changes:

    {"type": "state", "detector": {"name": "/detector", "present": true}, "control": false,
     "cameras": [{"name": "front"}], "labels": ["person", ...]}
    {"type": "parameters", "parameters": [PARAMETER, ...]}
    {"type": "diagnostics", "cameras": [{"camera": "front", "level": "ok", "message": "120 images",
     "enabled": true, "figures": FIGURES, "values": {"engine": "...", ...}}]}
    {"type": "answer", "request": 1, "ok": false, "message": "the detector's own words"}

* The only camera of a detector without the parameter `cameras` has the name "".
* `labels` stand in the order of the model's columns; a column without a class has "".
* `control` says whether the node executes `set` and `enable`; otherwise it refuses them.
* PARAMETER is `Parameter` as an object. It is listed only if it can change while the detector runs.
* `level` is one of ok, warn, error, stale; stale: no report for some seconds. `enabled` is null if it is unknown.
* FIGURES is `Figures` as an object; null: unknown. `values` are the values of /diagnostics, all of them texts.

Server to page, binary: one frame, the picture and its boxes from one image:

    uint32, little endian: length of the header in bytes
    header, JSON: {"camera": "front", "frame": 17, "stamp": "1700000000.000000042", "width": 1280, "height": 720,
                   "boxes": [{"x": 10.0, "y": 20.0, "width": 30.0, "height": 40.0, "label": "person",
                              "score": 0.91, "id": "5", "distance": 2.5}, ...],
                   "views": [{"x": 0, "y": 360, "width": 1280, "height": 360, "name": "road"}, ...]}
    picture: JPEG, at most as wide as the detector's parameter `preview_width`

* `width` and `height` are those of the camera's image in pixels, and the boxes are in its pixels; x and y are the
  upper left corner. The JPEG may be smaller. `id` is "" for an object without a track; `distance` is in metres, or
  null.
* `boxes` is null if the camera's images have no stamp: then nothing tells which boxes are those of a picture.
* `views` are the parts of the image that the detector sees, in its pixels, by the parameters of now: region of
  interest, tiles, or regions with a `name`. It is empty for the whole image.
* `frame` grows from frame to frame. The server sends at most `MAX_IN_FLIGHT` frames of a camera that the page
  has not acknowledged, then waits, and goes on with the newest frame. If the page skipped no frame before one, it
  may acknowledge that one with the next: after such an acknowledgement, one more frame may be under way.

Page to server, text:

    {"type": "look", "cameras": ["front"], "rate": 15}          the pictures to send; rate in Hz, 0: no limit
    {"type": "ack", "camera": "front", "frame": 17, "drawn": 2} the page is done with the frames up to this one,
                                                                and has drawn two since the last `ack`
    {"type": "set", "request": 1, "parameter": "score_threshold", "value": 0.4}
    {"type": "enable", "request": 2, "camera": "", "value": false}

* `look` replaces the one before; an empty list of cameras stops the pictures. Before the first, there are none.
* `set` takes the name of a PARAMETER. The value null takes a camera's own value away.
* `enable` with the camera "" is for all cameras.
* `request` is any number, which comes back in the answer.
* A text that is none of these closes the connection with code 1008, one larger than `MAX_REQUEST_BYTES` with code
  1009, and more than `MAX_REQUESTS_PER_SECOND` texts, over some seconds, with code 1008.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from trt_ssd_ros.detection.region import Window

MAX_IN_FLIGHT = 2
"""Frames of a camera under way to one viewer: one is drawn while the next one travels."""
MAX_REQUEST_BYTES = 16384
"""Largest text of a page: all class names of a parameter fit."""
MAX_REQUESTS_PER_SECOND = 400
"""Texts a second of one viewer: the acknowledgements of eight cameras at 30 Hz, and some."""
MAX_CAMERAS = 64
LENGTH = struct.Struct("<I")

LEVELS = ("ok", "warn", "error", "stale")
"""Names of the levels of a DiagnosticStatus, by their numbers."""


class ProtocolError(ValueError):
    """Text of a page that is none of the protocol."""


@dataclass(frozen=True)
class Box:
    """One detection in a frame.

    Attributes:
        x: Left side in pixels of the camera's image.
        y: Upper side in pixels of the camera's image.
        width: Width in pixels of the camera's image.
        height: Height in pixels of the camera's image.
        label: Class name, or the id that the detector publishes instead.
        score: Score from 0 to 1.
        id: Track of the object; empty: none.
        distance: Distance in metres; None: unknown.
    """

    x: float
    y: float
    width: float
    height: float
    label: str
    score: float
    id: str = ""
    distance: float | None = None


@dataclass(frozen=True)
class Parameter:
    """One live parameter of the detector.

    Attributes:
        name: Full name, e.g. `front.roi`.
        camera: Camera whose own value it is; empty: the value of all cameras without their own.
        type: One of bool, integer, double, string, and their lists bool_array, integer_array, double_array,
            string_array.
        value: Value; None: not set, so the camera follows the detector's value.
        lowest: Smallest value; None: no limit.
        highest: Largest value; None: no limit.
        choices: Allowed texts; empty: any text.
        description: Description with unit.
    """

    name: str
    camera: str
    type: str
    value: Any
    lowest: float | None
    highest: float | None
    choices: Sequence[str]
    description: str


@dataclass(frozen=True)
class Figures:
    """Figures of one camera, from /diagnostics.

    Attributes:
        latency_p50_ms: Median time from the image's stamp to the detections.
        latency_p99_ms: 99th percentile of the time from the image's stamp to the detections.
        input_hz: Received images per second.
        output_hz: Published detection arrays per second.
        processed: Number of processed images.
        dropped: Number of dropped images.
        refused: Number of unreadable images.
        tracks: Number of objects with an id.
        engine: Runtime, version and device.
        precision: Precision of the network.
    """

    latency_p50_ms: float | None = None
    latency_p99_ms: float | None = None
    input_hz: float | None = None
    output_hz: float | None = None
    processed: int | None = None
    dropped: int | None = None
    refused: int | None = None
    tracks: int | None = None
    engine: str | None = None
    precision: str | None = None


@dataclass(frozen=True)
class CameraStatus:
    """Status of one camera.

    Attributes:
        camera: Name of the camera.
        level: One of LEVELS.
        message: Status in words.
        enabled: Whether the detector takes the camera's images; None: unknown.
        figures: Figures.
        values: All values of the status.
    """

    camera: str
    level: str
    message: str
    enabled: bool | None
    figures: Figures
    values: Mapping[str, str]


def state_message(
    detector: str, present: bool, control: bool, cameras: Sequence[str], labels: Sequence[str]
) -> str:
    """Return the message `state`; see the module."""
    return _text(
        "state",
        detector={"name": detector, "present": present},
        control=control,
        cameras=[{"name": camera} for camera in cameras],
        labels=list(labels),
    )


def parameters_message(parameters: Sequence[Parameter]) -> str:
    """Return the message `parameters`; see the module."""
    return _text("parameters", parameters=[asdict(parameter) for parameter in parameters])


def diagnostics_message(cameras: Sequence[CameraStatus]) -> str:
    """Return the message `diagnostics`; see the module."""
    return _text("diagnostics", cameras=[asdict(camera) for camera in cameras])


def answer_message(request: int, ok: bool, message: str) -> str:
    """Return the message `answer`; see the module."""
    return _text("answer", request=request, ok=ok, message=message)


def _text(kind: str, **content: Any) -> str:
    return json.dumps({"type": kind, **_finite(content)}, allow_nan=False, separators=(",", ":"))


def _finite(value: Any) -> Any:
    """Return a value with None for the numbers that JSON does not have."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list | tuple) else value


def frame_message(
    camera: str,
    frame: int,
    stamp: int,
    size: tuple[int, int],
    boxes: Sequence[Box] | None,
    jpeg: bytes,
    views: Sequence[Window] = (),
) -> bytes:
    """Return the binary message of a frame; see the module.

    Args:
        camera: Name of the camera.
        frame: Number of the frame.
        stamp: Stamp of the image in nanoseconds.
        size: Width and height of the camera's image in pixels.
        boxes: Detections; None: unknown, because the image has no stamp.
        jpeg: Picture.
        views: Parts of the image that the detector sees; empty: the whole image.
    """
    seconds, rest = divmod(stamp, 10**9)
    content = {
        "camera": camera,
        "frame": frame,
        "stamp": f"{seconds}.{rest:09d}",
        "width": size[0],
        "height": size[1],
        "boxes": None if boxes is None else [_finite(vars(box)) for box in boxes],
        "views": [_view(window) for window in views],
    }
    header = json.dumps(content, allow_nan=False, separators=(",", ":")).encode()
    return b"".join((LENGTH.pack(len(header)), header, jpeg))


def _view(window: Window) -> dict[str, Any]:
    width, height = window.right - window.left, window.bottom - window.top
    return {"x": window.left, "y": window.top, "width": width, "height": height, "name": window.name}


@dataclass(frozen=True)
class Look:
    """Request for pictures: `cameras` by their names, at most `rate` of each per second (0: no limit)."""

    cameras: frozenset[str]
    rate: float


@dataclass(frozen=True)
class Ack:
    """Acknowledgement of the frames of `camera` up to number `frame`; `drawn` were drawn, the others skipped."""

    camera: str
    frame: int
    drawn: int


@dataclass(frozen=True)
class SetParameter:
    """Request number `request` to set `parameter` to `value`; None: take a camera's own value away."""

    request: int
    parameter: str
    value: Any


@dataclass(frozen=True)
class Enable:
    """Request number `request` to start or stop `camera`; empty: all cameras."""

    request: int
    camera: str
    value: bool


Command = SetParameter | Enable


@dataclass(frozen=True)
class Answer:
    """Answer to a command: `ok` if it was executed, and the detector's words."""

    ok: bool
    message: str


Request = Look | Ack | Command


def read_request(text: str) -> Request:
    """Return the request in a text of a page.

    Raises:
        ProtocolError: The text is no request; the message says what was found.
    """
    try:
        content = _DECODER.decode(text)
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"found no JSON ({error})") from error
    kind = content.get("type") if isinstance(content, dict) else None
    read = _READERS.get(kind) if isinstance(kind, str) else None
    if read is None:
        raise ProtocolError(f"found type {str(kind)[:40]!r}, expected {', '.join(_READERS)}")
    return read(content)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)
"""Decoder made once, because `json.loads` makes one for each text."""


def _look(content: Mapping[str, Any]) -> Look:
    cameras = _field(content, "cameras", list)
    if len(cameras) > MAX_CAMERAS or not all(isinstance(camera, str) for camera in cameras):
        raise ProtocolError(f"look: expected at most {MAX_CAMERAS} names of cameras")
    rate = _field(content, "rate", int, float)
    if not 0 <= rate <= 1000:
        raise ProtocolError("look: expected a rate from 0 to 1000 Hz")
    return Look(frozenset(cameras), float(rate))


def _ack(content: Mapping[str, Any]) -> Ack:
    return Ack(_field(content, "camera", str), _field(content, "frame", int), _field(content, "drawn", int))


def _set(content: Mapping[str, Any]) -> SetParameter:
    if "value" not in content:
        raise ProtocolError("set: found no value")
    return SetParameter(_field(content, "request", int), _field(content, "parameter", str), content["value"])


def _enable(content: Mapping[str, Any]) -> Enable:
    return Enable(_field(content, "request", int), _field(content, "camera", str), _field(content, "value", bool))


_READERS: Mapping[str, Callable[[Mapping[str, Any]], Request]] = {
    "look": _look,
    "ack": _ack,
    "set": _set,
    "enable": _enable,
}


def _field(content: Mapping[str, Any], name: str, *kinds: type) -> Any:
    """Return a field of a request; true and false are no numbers."""
    value = content.get(name)
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        expected = " or ".join(kind.__name__ for kind in kinds)
        raise ProtocolError(f"{content['type']}: found {name} {str(value)[:40]!r}, expected {expected}")
    return value
