"""A real Chromium for the tests of the web page; `scripts/browser` installs what it needs."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
EXECUTABLE = next((path for path in map(shutil.which, NAMES) if path), "")
LIBRARIES = os.environ.get("TRT_SSD_BROWSER_PATH", "")
PATIENCE_MS = 30_000
"""Milliseconds to wait for what has to happen: generous, because they are only used up when a test fails."""
DESKTOP = {"viewport": {"width": 1280, "height": 800}}
DARK = {**DESKTOP, "color_scheme": "dark"}
PHONE = {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2, "is_mobile": True, "has_touch": True}

needs_browser = pytest.mark.skipif(
    not (EXECUTABLE and LIBRARIES),
    reason=f"{'Playwright' if EXECUTABLE else 'Chromium'} is not installed: run scripts/browser",
)


@contextmanager
def chromium() -> Iterator[Any]:
    """Start a Chromium, and yield Playwright's browser."""
    if LIBRARIES not in sys.path:
        sys.path.append(LIBRARIES)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # No sandbox: it does not start in containers, nor for root.
        browser = playwright.chromium.launch(executable_path=EXECUTABLE, args=["--no-sandbox", "--disable-gpu"])
        with closing(browser):
            yield browser


@contextmanager
def open_page(browser: Any, address: str, **options: Any) -> Iterator[Any]:
    """Open a page in a context of its own, and yield it; fail if the page had errors.

    Args:
        browser: Browser of `chromium`.
        address: Address of the page.
        options: Options of the context, such as `DARK`.
    """
    with closing(browser.new_context(**options or DESKTOP)) as context:
        context.set_default_timeout(PATIENCE_MS)
        page, errors = context.new_page(), []
        page.on("pageerror", lambda error: errors.append(str(error)))
        # A violation of the Content-Security-Policy is such a line.
        page.on("console", lambda line: errors.append(line.text) if _is_error(line) else None)
        page.goto(address)
        try:
            yield page
        except BaseException:  # pytest.fail raises no Exception
            print(f"the page showed:\n{page.locator('body').inner_text()}\nerrors: {errors}")
            raise
    assert not errors, errors


OUTSIDE = ("ERR_CONNECTION", "WebSocket connection", "status of 401", "status of 426", "status of 503")
"""Texts of lines that are no error of the page: a lost connection, a refused token."""


def _is_error(line: Any) -> bool:
    return line.type == "error" and not any(text in line.text for text in OUTSIDE)


def violations(page: Any) -> list[str]:
    """Return the serious and critical violations that axe-core finds in a page."""
    page.evaluate((Path(LIBRARIES) / "axe.min.js").read_text() + ";0")  # evaluate is exempt from the page's CSP
    found = page.evaluate("axe.run()")["violations"]
    return [
        f"{item['id']}: {item['help']}: {[node['html'] for node in item['nodes']]}"
        for item in found
        if item["impact"] in ("serious", "critical")
    ]


IS_WHITE = """([x, y]) => {
    const canvas = document.querySelector('canvas');
    const place = [Math.round(x * canvas.width), Math.round(y * canvas.height), 1, 1];
    return [...canvas.getContext('2d').getImageData(...place).data].every((value) => value === 255);
}"""
"""Function of JavaScript: true if a point of the picture, in fractions of its size, is white."""


def wait_for_new_picture(page: Any, camera: int = 0) -> str:
    """Wait until a camera's canvas shows the picture of another stamp, and return the stamp."""
    canvas = page.locator("article canvas").nth(camera)
    canvas.wait_for()
    before = canvas.get_attribute("data-stamp")
    shown = "document.querySelectorAll('article canvas')[camera]?.dataset.stamp"
    page.wait_for_function(f"([camera, before]) => ({shown} ?? before) !== before", arg=[camera, before])
    return str(canvas.get_attribute("data-stamp"))
