"""The page of a running launch in a real Chromium: pictures, boxes, settings, refusals, accessibility."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import browser as browsers
import cv2
import pytest
from browser import DARK, DESKTOP, IS_WHITE, PHONE, chromium, open_page, violations, wait_for_new_picture
from node_process import NodeProcess
from probe import Probe, new_domain
from vision_msgs.msg import Detection2DArray

from trt_ssd_ros.detection.draw import class_color, text_color
from trt_ssd_ros.detection.views import Views
from trt_ssd_ros.ros.stamps import nanoseconds

pytestmark = [pytest.mark.ros, browsers.needs_browser]
SLIDER = ".parameter:has(code:text-is('score_threshold')) input"
"""The slider and the field of the threshold; not those of `track_low_threshold`."""


class Show(NamedTuple):
    """A running launch with its page."""

    address: str
    probe: Probe
    answers: list[Detection2DArray]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A Chromium."""
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def show(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Show]:
    """A launch that shows the demo on its page, with permission to change the detector."""
    script = Path(browsers.__file__).with_name("run_launch.py")
    arguments = ("source:=demo", "view:=web", "web_port:=0", "web_control:=true", "tracking:=true")
    command = [sys.executable, str(script), "trt_ssd_ros", "detect.launch.py", *arguments]
    with new_domain() as domain:
        probe = Probe(domain)
        answers = probe.receive(Detection2DArray, "detections", 1000)
        process = NodeProcess(command, domain, tmp_path_factory.mktemp("launch") / "launch.log")
        yield Show(page_address(process), probe, answers)
        process.close()
        probe.close()


def page_address(process: NodeProcess) -> str:
    """Wait for a process to print the address of its page, and return it."""
    process.wait_until_it_says("http://")
    return re.search(r"http://\S+", process.log).group()


@pytest.fixture
def page(request: pytest.FixtureRequest, browser: Any, show: Show) -> Iterator[Any]:
    """The page, which shows a picture and the settings."""
    with open_page(browser, show.address) as page:
        wait_for_new_picture(page)
        page.wait_for_selector(SLIDER)
        failed = request.session.testsfailed
        yield page
        if request.session.testsfailed > failed:
            print(show.probe.graph())
            print(f"the page showed:\n{page.locator('body').inner_text()}")


def test_the_pictures_move_and_show_the_boxes_of_their_stamp(page, show, card, tmp_path):
    first = page.locator("canvas").first.evaluate("canvas => canvas.toDataURL()")
    assert wait_for_new_picture(page) != wait_for_new_picture(page)
    assert page.locator("canvas").first.evaluate("canvas => canvas.toDataURL()") != first

    said, answer, picture = next(filter(None, (snapshot(page, show, tmp_path) for _ in range(5))))
    assert [box_of(box) for box in said["boxes"]] == [box_of_message(item) for item in answer.detections]
    assert (said["width"], said["height"], picture.shape) == (1280, 720, (540, 960, 3))
    assert said["picture"] == {"width": 960, "height": 540}
    assert_drawn(picture, said, card.labels)


def snapshot(page: Any, show: Show, folder: Path) -> tuple[dict[str, Any], Detection2DArray, Any] | None:
    """Return what a snapshot says, the detections of its stamp and its picture; None if the detections were lost.

    On a busy machine Fast DDS overwrites messages of `detections` before this process has taken them.
    """
    page.wait_for_function("() => document.querySelector('tbody').rows.length > 0")
    page.get_by_role("button", name="Snapshot").click()
    said = json.loads(save(page, "JSON", folder).read_text())
    picture = cv2.imread(str(save(page, "PNG", folder)))
    page.get_by_role("button", name="Close").click()
    seconds, rest = said["stamp"].split(".")
    stamp = int(seconds) * 10**9 + int(rest)
    later = lambda: show.answers and nanoseconds(show.answers[-1].header.stamp) >= stamp  # noqa: E731
    show.probe.spin_until(later, "detections as new as the picture")
    answer = answer_of(show.answers, stamp)
    return None if answer is None else (said, answer, picture)


def answer_of(answers: list[Detection2DArray], stamp: int) -> Detection2DArray | None:
    """Return the detections of a stamp."""
    return next((answer for answer in answers if nanoseconds(answer.header.stamp) == stamp), None)


def save(page: Any, kind: str, folder: Path) -> Path:
    """Save a file of the snapshot."""
    with page.expect_download() as download:
        page.get_by_role("link", name=kind).click()
    path = folder / download.value.suggested_filename
    download.value.save_as(path)
    return path


def box_of(box: dict[str, Any]) -> Any:
    """Return what the page knows of a detection."""
    numbers = [box[name] for name in ("x", "y", "width", "height", "score")]
    return box["label"], box["id"], pytest.approx(numbers, abs=0.01)


def box_of_message(detection: Any) -> Any:
    """Return what the detector published of a detection."""
    box, result = detection.bbox, detection.results[0].hypothesis
    corner = (box.center.position.x - box.size_x / 2, box.center.position.y - box.size_y / 2)
    return result.class_id, detection.id, [*corner, box.size_x, box.size_y, result.score]


def assert_drawn(picture: Any, said: dict[str, Any], labels: tuple[str, ...]) -> None:
    """Require the best box in its class's colour on the picture, in the middle of its lower edge."""
    best = max(said["boxes"], key=lambda box: box["score"])
    height, width = picture.shape[:2]
    column = round((best["x"] + best["width"] / 2) * width / said["width"])
    row = round(min(best["y"] + best["height"], said["height"]) * height / said["height"]) - 1
    assert tuple(picture[row, column, ::-1]) == class_color(labels.index(best["label"]))


def test_colours_are_those_of_the_debug_image(page):
    colours = "import('/static/boxes.js').then((m) => [...Array(200).keys()].map(m.classColor))"
    found = page.evaluate(colours)
    assert [tuple(colour) for colour in found] == [class_color(number) for number in range(200)]
    inks = "import('/static/boxes.js').then((m) => [...Array(200).keys()].map(m.classColor).map(m.textColor))"
    wanted = ["#fff" if text_color(class_color(number))[0] else "#000" for number in range(200)]
    assert page.evaluate(inks) == wanted


def test_dragging_the_threshold_sets_the_parameter_and_shows_weaker_boxes(page, show):
    slider, exact = page.locator(SLIDER).first, page.locator(SLIDER).last
    before = show.probe.get_parameter("score_threshold")
    bounds = slider.bounding_box()
    drag(page, bounds, (before, 0.5), (0.05, 0.5))
    wanted = float(exact.input_value())
    assert wanted < before
    show.probe.spin_until(lambda: show.probe.get_parameter("score_threshold") == wanted, "the dragged threshold")
    scores = "[...document.querySelectorAll('td:nth-child(2)')].map((score) => parseInt(score.textContent))"
    page.wait_for_function(f"() => {scores}.some((score) => score < {int(100 * before)})")
    exact.fill(str(before))
    exact.press("Enter")
    show.probe.spin_until(lambda: show.probe.get_parameter("score_threshold") == before, "the typed threshold")


def drag(page: Any, bounds: dict[str, float], start: tuple[float, float], end: tuple[float, float]) -> None:
    """Drag the mouse between two points inside an element, in fractions of its size."""
    points = [(bounds["x"] + x * bounds["width"], bounds["y"] + y * bounds["height"]) for x, y in (start, end)]
    page.mouse.move(*points[0])
    page.mouse.down()
    page.mouse.move(*points[1], steps=20)
    page.mouse.up()


def test_a_region_drawn_on_the_picture_becomes_the_roi(page, show):
    page.locator("summary", has_text="Region").click()
    page.get_by_role("button", name="Draw on a picture").click()
    canvas = page.locator("canvas").first
    canvas.scroll_into_view_if_needed()
    drag(page, canvas.bounding_box(), (0.25, 0.1), (0.75, 0.9))
    whole = [0.0, 0.0, 1.0, 1.0]
    show.probe.spin_until(lambda: list(show.probe.get_parameter("roi")) != whole, "a region")
    x, y, width, height = show.probe.get_parameter("roi")
    assert [x, y, width, height] == pytest.approx([0.25, 0.1, 0.5, 0.8], abs=0.01)
    page.wait_for_function(IS_WHITE, arg=[x + width / 2, y])
    for name, value in zip(("x", "y", "width", "height"), ("0", "0", "1", "1"), strict=True):
        page.get_by_role("group", name="roi").get_by_label(name).fill(value)
    page.keyboard.press("Enter")
    show.probe.spin_until(lambda: list(show.probe.get_parameter("roi")) == whole, "the whole image")


def test_tiles_are_outlined(page, show):
    _, _, right = Views(tiles=(2, 1)).windows(1280, 720)
    assert show.probe.set_parameter("tiles", [2, 1]).successful
    page.wait_for_function(IS_WHITE, arg=[right.left / 1280, 0.3])
    assert show.probe.set_parameter("tiles", [1, 1]).successful


def test_a_paused_picture_stays(page):
    page.get_by_role("button", name="Pause").click()
    page.get_by_text("Paused").wait_for()
    stamp = page.locator("canvas").first.get_attribute("data-stamp")
    page.get_by_role("button", name="Snapshot").click()
    assert stamp in page.locator("dialog canvas").get_attribute("aria-label")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Pause").click()
    assert wait_for_new_picture(page) != stamp


def test_a_refusal_stands_beside_its_control_until_escape(page, show):
    before = show.probe.get_parameter("score_threshold")
    exact = page.locator(SLIDER).last
    exact.fill("7")
    exact.press("Enter")
    refusal = page.locator(".parameter", has=page.locator("code", has_text="score_threshold")).get_by_role("alert")
    refusal.first.filter(has_text="found 7").wait_for()
    assert "score_threshold: found 7" in refusal.first.inner_text()
    assert "from 0 to 1" in refusal.first.inner_text()
    assert exact.get_attribute("aria-invalid") == "true"
    assert show.probe.get_parameter("score_threshold") == before
    exact.press("Escape")
    assert refusal.first.inner_text() == ""
    assert float(exact.input_value()) == pytest.approx(before, abs=1e-6)


def test_the_keyboard_alone_changes_a_setting(page, show):
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the settings"
    page.keyboard.press("Enter")
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.locator(SLIDER).first.evaluate("slider => slider === document.activeElement"):
            break
    assert page.evaluate("document.activeElement.matches(':focus-visible')")
    before = show.probe.get_parameter("score_threshold")
    page.keyboard.press("ArrowRight")
    show.probe.spin_until(lambda: show.probe.get_parameter("score_threshold") > before, "the threshold")
    page.keyboard.press("ArrowLeft")


def test_detection_stops_and_starts(page):
    page.get_by_role("button", name="Stop detection").click()
    page.get_by_text("Detection is stopped").wait_for()
    page.get_by_role("button", name="Start detection").click()
    wait_for_new_picture(page)


def test_classes_are_chosen_from_a_list(page, show):
    chosen = page.locator(".parameter", has=page.locator("code", has_text="exclude_classes"))
    chosen.locator("summary").click()
    chosen.get_by_label("Search the classes").fill("zebr")
    chosen.get_by_label("zebra").check()
    show.probe.spin_until(lambda: show.probe.get_parameter("exclude_classes") == ["zebra"], "the class")
    chosen.get_by_label("zebra").uncheck()
    show.probe.spin_until(lambda: show.probe.get_parameter("exclude_classes") == [], "the empty list")


@pytest.mark.skipif(not (Path(browsers.LIBRARIES) / "axe.min.js").exists(), reason="axe-core: run scripts/browser")
@pytest.mark.parametrize("options", [DESKTOP, DARK, PHONE], ids=["light", "dark", "phone"])
def test_the_page_is_accessible(browser, show, options):
    with open_page(browser, show.address, **options) as page:
        wait_for_new_picture(page)
        page.wait_for_selector(SLIDER)
        page.evaluate("document.querySelectorAll('details').forEach((details) => { details.open = true; })")
        assert violations(page) == []
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "scrolls sideways"


def test_fewer_pictures_for_readers_who_want_less_motion(browser, show):
    with open_page(browser, show.address, **DESKTOP, reduced_motion="reduce") as page:
        assert page.locator("#rate").input_value() == "1"
