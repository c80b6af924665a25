"""The page in a real Chromium, with a server that sends what few detectors send."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any

import browser as browsers
import cv2
import numpy as np
import pytest

pytest.importorskip("aiohttp")

from browser import IS_WHITE, chromium, open_page

from trt_ssd_ros.bench.acknowledgements import Acknowledgements
from trt_ssd_ros.detection.region import Window
from trt_ssd_ros.web import server as server_module
from trt_ssd_ros.web import web_node
from trt_ssd_ros.web.protocol import (
    Answer,
    Box,
    CameraStatus,
    Command,
    Figures,
    Parameter,
    SetParameter,
    diagnostics_message,
    frame_message,
    parameters_message,
    state_message,
)
from trt_ssd_ros.web.security import Access, RefusalLog
from trt_ssd_ros.web.server import Backend, WebServer, page_files
from trt_ssd_ros.web.viewers import Demand, Frame

pytestmark = browsers.needs_browser
PATIENCE = 30.0
JPEG = bytes(cv2.imencode(".jpg", np.zeros((36, 64, 3), np.uint8))[1])


WATCH = """() => {
    const place = document.getElementById("connection");
    globalThis.texts = [];
    new MutationObserver(() => texts.push(place.textContent)).observe(place, { childList: true });
}"""
"""Keeps all texts of the connection."""


class Node:
    """A server of the real page; the test is its detector, which takes every command."""

    def __init__(self) -> None:
        self.demands: SimpleQueue[Demand] = SimpleQueue()
        self.commands: SimpleQueue[Command] = SimpleQueue()
        folder = web_node.FOLDER
        files = page_files(folder / "page", folder.parent / "common.css")
        backend = Backend(self._execute, self.demands.put, RefusalLog(lambda _: None))
        self.server = WebServer(files, Access.of("", []), backend)
        self.address = f"http://127.0.0.1:{self.server.start('127.0.0.1', 0)}/"
        self.server.tell("state", state_message("/detector", True, True, [""], ["person"]))

    def _execute(self, command: Command) -> Future[Answer]:
        self.commands.put(command)
        answer: Future[Answer] = Future()
        answer.set_result(Answer(True, ""))
        return answer

    def wait_for_look(self) -> None:
        """Wait until a viewer looks at the camera."""
        while "" not in self.demands.get(timeout=PATIENCE).cameras:
            pass

    def show(self, number: int, label: str, jpeg: bytes = JPEG, views: Sequence[Window] = ()) -> None:
        """Send a frame with one box."""
        boxes = [Box(8.0, 8.0, 20.0, 20.0, label, 0.5)]
        self.server.offer(Frame("", number, frame_message("", number, number, (64, 36), boxes, jpeg, views)))

    def tell(self, name: str, kind: str, value: Any) -> None:
        """Send the only parameter."""
        parameter = Parameter(name, "", kind, value, None, None, (), "about")
        self.server.tell("parameters", parameters_message([parameter]))


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A Chromium."""
    with chromium() as browser:
        yield browser


@pytest.fixture
def node() -> Iterator[Node]:
    """A server."""
    node = Node()
    yield node
    node.server.close()


def test_says_why_it_is_refused_until_it_is_served(browser, node, monkeypatch):
    monkeypatch.setattr(server_module, "MAX_VIEWERS", 0)
    with open_page(browser, node.address) as page:
        connection = page.get_by_role("status")
        connection.filter(has_text="viewers are connected").wait_for()
        page.evaluate(WATCH)
        for _ in range(2):
            page.wait_for_event("websocket")
        assert page.evaluate("texts") == [], "a screen reader hears it once, not at each new attempt"
        monkeypatch.setattr(server_module, "MAX_VIEWERS", 1)
        connection.filter(has_text="Connected").wait_for()


def show_all_pictures(page: Any, node: Node) -> None:
    """Choose all pictures, and wait until the node has the choice."""
    node.wait_for_look()
    page.locator("#rate").select_option("all")
    for _ in range(2):  # the node has the new rate when it has these demands
        page.get_by_role("button", name="Pause").click()
    node.wait_for_look()


def test_shows_any_label_and_forgets_an_unreadable_picture(browser, node):
    with open_page(browser, node.address) as page:
        show_all_pictures(page, node)
        node.show(1, "-1")
        page.wait_for_selector("canvas[data-stamp='0.000000001']")
        refusal = page.locator("article .refusal")
        assert refusal.inner_text() == ""
        node.show(2, "person", b"no JPEG")
        refusal.filter(has_text="not readable").wait_for()
        node.show(3, "person")
        page.wait_for_selector("canvas[data-stamp='0.000000003']")
        page.wait_for_function("() => document.querySelector('article .refusal').textContent === ''")


UNKNOWN = "\N{EN DASH}"
FIGURES = "[...document.querySelectorAll('.figures dd')].map((figure) => figure.textContent)"


def test_without_a_connection_level_and_figures_are_unknown(browser, node):
    status = CameraStatus("", "ok", "120 images", True, Figures(12.34, input_hz=30.0), {"engine": "a"})
    node.server.tell("diagnostics", diagnostics_message([status]))
    with open_page(browser, node.address) as page:
        level = page.locator("article .level")
        level.filter(has_text="OK").wait_for()
        assert page.evaluate(FIGURES) == ["12.3 ms", UNKNOWN, "30.0 Hz", UNKNOWN, "0.0 Hz", *[UNKNOWN] * 3]
        node.server.close()
        level.filter(has_text="Unknown").wait_for()
        assert page.evaluate(FIGURES) == [*[UNKNOWN] * 4, "0.0 Hz", *[UNKNOWN] * 3]
        assert page.locator("article .message").inner_text() == ""


def test_each_figure_is_explained_to_the_keyboard_too(browser, node):
    with open_page(browser, node.address) as page:
        meanings = page.locator("#meanings")
        meanings.locator("summary").press("Enter")
        meanings.get_by_text("Pictures that this browser draws per second").wait_for()
        names = page.locator(".figures dt").all_inner_texts()
        assert meanings.locator("dt").all_inner_texts() == names


def test_a_named_region_is_outlined_with_its_name(browser, node):
    with open_page(browser, node.address) as page:
        node.wait_for_look()
        node.show(1, "person", views=[Window(32, 18, 64, 36, "gate")])
        for point in ([0.5, 0.75], [0.75, 0.5], [0.5, 0.49]):  # left edge, upper edge, plate of the name
            page.wait_for_function(IS_WHITE, arg=point)


def test_an_edit_that_ends_where_it_began_does_not_hide_the_nodes_value(browser, node):
    node.tell("max_detections", "integer", 5)
    with open_page(browser, node.address) as page:
        field = page.locator(".parameter input")
        field.fill("6")
        field.fill("5")
        field.blur()
        node.tell("max_detections", "integer", 7)
        page.wait_for_function("() => document.querySelector('.parameter input').value === '7'")


def test_the_button_that_begins_a_region_gives_it_up(browser, node):
    node.tell("roi", "double_array", [0.0, 0.0, 1.0, 1.0])
    with open_page(browser, node.address) as page:
        page.locator("summary", has_text="Region").click()
        draw = page.get_by_role("button", name="Draw on a picture")
        for pressed in ("true", "false", "true"):
            draw.click()
            page.locator(f".region button[aria-pressed={pressed}]").wait_for()
            assert page.locator("canvas.choosing").count() == (pressed == "true")


def test_labels_that_come_late_leave_what_is_typed(browser, node):
    parameters = [
        Parameter(name, "", kind, value, None, None, (), "about")
        for name, kind, value in (("max_rate", "double", 0.0), ("include_classes", "string_array", []))
    ]
    node.server.tell("state", state_message("/detector", True, True, [""], []))
    node.server.tell("parameters", parameters_message(parameters))
    with open_page(browser, node.address) as page:
        page.locator("summary", has_text="Images").click()
        field = page.locator(".parameter input[type=number]")
        field.fill("5")
        node.server.tell("state", state_message("/detector", True, True, [""], ["person", "cat"]))
        page.locator(".picker input[value=cat]").wait_for(state="attached")
        assert field.input_value() == "5"
        field.press("Enter")
        assert node.commands.get(timeout=PATIENCE) == SetParameter(1, "max_rate", 5.0)


ACKNOWLEDGE = """(drawn) => import("/static/acknowledgements.js").then(({ Acknowledgements }) => {
    const acknowledgements = new Acknowledgements();
    return drawn.map(([time, skipped]) => acknowledgements.due(time, skipped));
})"""


def test_chooses_what_it_acknowledges_as_the_viewers_of_the_benchmark_do(browser, node):
    longest = np.repeat([1000 / rate for rate in (60, 15, 7)], 100)
    generator = np.random.default_rng(1)
    times = generator.uniform(0.0, longest).cumsum().tolist()
    skipped = (generator.random(len(times)) < 0.1).tolist()
    with open_page(browser, node.address) as page:
        due = page.evaluate(ACKNOWLEDGE, [*zip(times, skipped, strict=True)])
    acknowledgements = Acknowledgements()
    assert due == [acknowledgements.due(t / 1000, skip) for t, skip in zip(times, skipped, strict=True)]
    assert {*due} == {0, 1, 2}
    assert sum(due) in (len(times), len(times) - 1)


KEEP_ACKNOWLEDGED = """() => {
    globalThis.acknowledged = [];
    const { send } = WebSocket.prototype;
    WebSocket.prototype.send = function (text) {
        const { type, frame } = JSON.parse(text);
        if (type === "ack") acknowledged.push(frame);
        send.call(this, text);
    };
}"""


def test_draws_each_frame_and_holds_back_one_acknowledgement_at_most(browser, node):
    frames = range(1, 31)
    with open_page(browser, node.address) as page:
        show_all_pictures(page, node)
        page.evaluate(KEEP_ACKNOWLEDGED)
        for number in frames:
            node.show(number, "person")
            page.wait_for_selector(f"canvas[data-stamp='0.{number:09d}']")
        acknowledged = page.evaluate("acknowledged")
    assert acknowledged == sorted(set(acknowledged))
    assert [number for number in frames[:-1] if not {number, number + 1} & set(acknowledged)] == []


STOP_TIME = """() => {
    globalThis.time = 0;
    performance.now = () => time;
}"""
STOP_DRAWING = """() => {
    globalThis.goOn = [];
    globalThis.arrived = [];
    globalThis.draw = requestAnimationFrame;
    requestAnimationFrame = (function_) => goOn.push(function_);
    const { parse } = JSON;
    JSON.parse = (text) => {
        const value = parse(text);
        if (value.frame) arrived.push(value.frame);
        return value;
    };
}"""
"""Lets the page draw nothing until GO_ON, and keeps the numbers of the frames that arrive."""
GO_ON = """() => {
    time += 100;
    requestAnimationFrame = draw;
    goOn.forEach((function_) => function_());
}"""


def test_goes_on_after_it_was_too_busy_to_draw(browser, node):
    with open_page(browser, node.address) as page:
        show_all_pictures(page, node)
        page.evaluate(STOP_TIME)
        for number in (1, 2, 3):  # 3 acknowledges 2, too, so that three frames may be under way
            node.show(number, "person")
            page.wait_for_selector(f"canvas[data-stamp='0.{number:09d}']")
        page.evaluate(STOP_DRAWING)
        node.show(4, "person")
        page.wait_for_function("() => goOn.length > 0")
        for number in (5, 6, 7):  # 5 is skipped, 7 waits at the node
            node.show(number, "person")
        page.wait_for_function("() => arrived.includes(6)")
        page.evaluate(GO_ON)
        page.wait_for_selector("canvas[data-stamp='0.000000007']")
        assert page.evaluate("arrived") == [4, 5, 6, 7]
