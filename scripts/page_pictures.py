#!/usr/bin/env python3
"""Write the pictures of the web page in docs/images: light, dark, and on a phone.

    source scripts/setup.bash && scripts/browser && python3 scripts/page_pictures.py

Runs the demo with its page, and waits for the figures and for frames with two kinds of objects.
"""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "test" / "support"))

from browser import DARK, DESKTOP, PHONE, chromium, open_page  # noqa: E402

LAUNCH = ("ros2", "launch", "trt_ssd_ros", "detect.launch.py", "source:=demo", "view:=web", "web_port:=0")
SETTINGS = ("tracking:=true", "score_threshold:=0.4", "web_control:=true")
OPTIONS = {"web_page.jpg": DESKTOP, "web_page_dark.jpg": DARK, "web_page_phone.jpg": PHONE}
QUALITY = 75
IS_READY = """() => {
    const figures = [...document.querySelectorAll('.figures dd')].map((figure) => parseFloat(figure.textContent));
    const objects = [...document.querySelectorAll('td:first-child')].map((object) => object.textContent);
    const tracks = [...document.querySelectorAll('td:nth-child(3)')].map((track) => Number(track.textContent));
    return figures[3] > 20 && figures[4] > 10 && objects.sort().join() === 'cat,person' && tracks.every(Number);
}"""
"""Whether rates are known, and a person and a cat alone are detected, both with a track."""


@contextmanager
def demo(*arguments: str) -> Iterator[str]:
    """Run the demo with launch arguments, and yield the address of its page."""
    command = [*LAUNCH, *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)  # noqa: S603
    try:
        lines = iter(process.stdout.readline, "")
        found = (re.search(r"web page: (http://\S+)", line) for line in lines)
        yield next(match.group(1) for match in found if match)
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate()


def take(page: Any, path: Path) -> None:
    """Take a picture while the page is worth showing: before and after it."""
    page.wait_for_selector("article[data-level=ok]")
    good = False
    while not good:
        page.wait_for_function(IS_READY)
        page.screenshot(path=path, type="jpeg", quality=QUALITY)
        good = page.evaluate(IS_READY)
    print(f"{path.relative_to(ROOT)}: {path.stat().st_size / 1000:.0f} kB")


def set_parameter(page: Any, group: str, name: str, value: str) -> None:
    """Set a parameter of the detector on the page."""
    page.locator("summary", has_text=group).click()
    field = page.locator(f".parameter:has(code:text-is('{name}')) input[type=number]")
    field.fill(value)
    field.press("Enter")


def main() -> None:
    """Write all pictures."""
    with demo(*SETTINGS) as address, chromium() as browser:
        with open_page(browser, address) as page:
            set_parameter(
                page, "Tracking", "track_low_threshold", "0.4"
            )  # else the pictures show doubtful objects
        for name, options in OPTIONS.items():
            with open_page(browser, address, **options) as page:
                take(page, ROOT / "docs" / "images" / name)


if __name__ == "__main__":
    main()
