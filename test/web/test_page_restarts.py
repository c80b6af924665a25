"""The page in a real Chromium: two cameras, hostile names, restarts of the detector and of the web node."""

from __future__ import annotations

import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import browser as browsers
import pytest
import yaml
from browser import chromium, open_page, wait_for_new_picture

pytestmark = [pytest.mark.ros, browsers.needs_browser]
HOSTILE = "<img src=x onerror=\"document.title='owned'\"><b>person</b>"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A Chromium."""
    with chromium() as browser:
        yield browser


@pytest.fixture
def hostile_card(tmp_path: Path, card_path: Path) -> Path:
    """The card of the default model, with HTML as the name of its first class, person."""
    card = yaml.safe_load(card_path.read_text())
    card["labels"][0] = HOSTILE
    card["onnx"]["path"] = str(card_path.parent / card["onnx"]["path"])
    path = tmp_path / "card.yaml"
    path.write_text(yaml.safe_dump(card))
    return path


@pytest.fixture
def port() -> int:
    """A free port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


TOKEN, OTHER_TOKEN = "0123456789abcdef", "fedcba9876543210"


def server(port: int, token: str) -> list[str]:
    """Return the command of a web node that shows the page to those who have a token."""
    command = [sys.executable, "-m", "trt_ssd_ros.web.web_node", "--ros-args"]
    return [*command, "-p", f"port:={port}", "-p", f"token:='{token}'"]


def test_two_cameras_with_hostile_names_survive_restarts(browser, start_launch, start_process, hostile_card, port):
    cameras = ("cameras:=front=demo rear=demo", f"model:={hostile_card}")
    detector, node = start_launch(*cameras), start_process(server(port, TOKEN))
    node.wait_until_it_says(f":{port}")
    with open_page(browser, f"http://127.0.0.1:{port}/?token={TOKEN}") as page:
        wait_for_new_picture(page, camera=1)
        assert TOKEN not in page.url
        assert page.locator("article h2").all_inner_texts() == ["front", "rear"]

        page.locator("td", has_text=HOSTILE).first.wait_for()
        assert page.locator("img, b").count() == 0
        assert "owned" not in page.title()

        assert page.locator(".parameter input").first.is_disabled(), "web_control is off"
        assert "web_control:=true" in page.locator("#control-note").inner_text()

        detector.send_signal(signal.SIGINT)
        detector.wait()
        page.get_by_role("status").filter(has_text="/detector is not running").wait_for()
        start_launch(*cameras)
        page.get_by_role("status").filter(has_text="Connected").wait_for()
        wait_for_new_picture(page, camera=1)

        node.send_signal(signal.SIGINT)
        node.wait()
        page.get_by_role("status").filter(has_text="connecting again").wait_for()
        node = start_process(server(port, TOKEN))
        node.wait_until_it_says(f":{port}")
        wait_for_new_picture(page, camera=0)
        assert page.get_by_role("status").inner_text() == "Connected"

        node.send_signal(signal.SIGINT)
        node.wait()
        start_process(server(port, OTHER_TOKEN)).wait_until_it_says(f":{port}")
        page.get_by_role("status").filter(has_text="The token is not valid any more").wait_for()


def test_each_camera_has_its_own_settings(browser, start_launch, probe, port):
    start_launch(
        "cameras:=front=demo rear=demo", "view:=web", f"web_port:={port}", "web_control:=true"
    ).wait_until_it_says(f":{port}")
    with open_page(browser, f"http://127.0.0.1:{port}/") as page:
        page.get_by_label("Settings of").select_option("rear")
        row = page.locator(".parameter", has=page.locator("code", has_text="score_threshold"))
        row.locator("input[type=number]").fill("0.7")
        row.locator("input[type=number]").press("Enter")
        probe.spin_until(lambda: probe.get_parameter("rear.score_threshold") == 0.7, "the threshold of rear")
        row.get_by_role("button", name="Follow all cameras").click()
        probe.spin_until(lambda: probe.get_parameter("rear.score_threshold") is None, "no threshold of rear")
        assert probe.get_parameter("front.score_threshold") is None
